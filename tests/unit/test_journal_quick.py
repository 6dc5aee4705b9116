"""The quick ways of the journal come to the same as the slow ones."""

import asyncio
import threading
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from htcondor_annex import condor
from htcondor_annex.annex import Annex, StepName
from htcondor_annex.journal import classadlog, quickread
from htcondor_annex.journal.ads import MYTYPE, Ad, ads_of, block, transaction
from htcondor_annex.journal.classadlog import (
    DamageError,
    DeleteAttribute,
    DestroyClassAd,
    HistoricalSequenceNumber,
    NewClassAd,
    Operation,
    SetAttribute,
)
from htcondor_annex.journal.disk import Disk
from htcondor_annex.journal.keptjson import KeptJson, json_text
from tests.journals import QUOTING, an_annex

TEXTS = st.one_of(
    st.text(),
    st.text(st.sampled_from('ab "\\\n\té€'), max_size=12),
    st.text(st.characters(min_codepoint=1, max_codepoint=0x7F), max_size=12),
).filter(lambda text: "\0" not in text)
KEYS = st.sampled_from(["id-1", "id-2", "0.0"])
NAMES = st.sampled_from(["State", "Owner", "N"])
VALUES = st.sampled_from(["1", '"x"', "a + b", '"a b"', "undefined", '"\\302\\240"', '"é"'])
OPERATIONS: st.SearchStrategy[Operation] = st.one_of(
    st.builds(NewClassAd, KEYS, st.sampled_from(["Annex", "Job"]), st.just("(empty)")),
    st.builds(SetAttribute, KEYS, st.just(MYTYPE), st.just('"Annex"')),
    st.builds(DestroyClassAd, KEYS),
    st.builds(SetAttribute, KEYS, NAMES, VALUES),
    st.builds(DeleteAttribute, KEYS, NAMES),
)


@settings(deadline=None, max_examples=300)
@given(TEXTS)
def test_strings_are_quoted_as_the_bindings_do(text: str) -> None:
    """The short way gives the bindings' own text, and each reads the other's."""
    quoted = condor.quote(text)
    assert quoted == QUOTING.quote(text)
    assert text == QUOTING.unquote(quoted) == condor.unquote(quoted)


@settings(deadline=None, max_examples=300)
@given(st.text(st.sampled_from('ab" \\n1'), max_size=8))
def test_strings_are_unquoted_as_the_bindings_do(inner: str) -> None:
    """Whatever stands there, the short way reads what the bindings read, or refuses it too."""
    for expression in (f'"{inner}"', f'"{inner}', inner):
        try:
            wanted = condor.unquote(expression)
        except ValueError:
            with pytest.raises(ValueError, match="is no ClassAd string"):
                QUOTING.unquote(expression)
        else:
            assert wanted == QUOTING.unquote(expression)


def _pops(texts: quickread.Texts) -> dict[str, Ad]:
    """Return all ads; check that each one's block makes it."""
    found = {}
    for key in list(texts.found):
        try:
            found[key] = texts.put_together(key)
        except ValueError:
            continue  # of no type: the journal has none of these
        made = texts.block(key)
        assert made.startswith(f"101 {key} ".encode())
        assert {key: found[key]} == ads_of(classadlog.load(made).operations)
    return found


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.booleans(), st.lists(OPERATIONS, max_size=5)), max_size=5))
def test_a_log_is_read_quickly_as_it_is_read_slowly(
    parts: list[tuple[bool, list[Operation]]],
) -> None:
    """Transactions of one ad or many, bare operations, ads that come and go: the same ads."""
    text = classadlog.encode(HistoricalSequenceNumber(7, 8))
    for bare, operations in parts:
        if bare:
            text += "".join(map(classadlog.encode, operations))
        else:
            text += classadlog.encode_transaction(operations)
    loaded = classadlog.load(text.encode())
    texts, end = quickread.read(text.encode())
    wanted = {key: ad for key, ad in ads_of(loaded.operations).items() if MYTYPE in ad}
    assert wanted == _pops(texts)
    assert (loaded.good, loaded.transactions) == end
    assert HistoricalSequenceNumber(7, 8) == texts.first


LOG = (
    classadlog.encode(HistoricalSequenceNumber(1, 2)).encode()
    + transaction(block("a", {MYTYPE: "Annex", "State": '"x"', "N": "1"}))
    + transaction(block("b", {MYTYPE: "Annex", "State": '"y"'}))
)


def _fate(read: Callable[[bytes], classadlog.End], data: bytes) -> classadlog.End | str:
    """Return how far a log is good, or what is said of its damage."""
    try:
        return read(data)
    except DamageError as damage:
        return str(damage)


def _slowly(data: bytes) -> classadlog.End:
    loaded = classadlog.load(data)
    return classadlog.End(loaded.good, loaded.transactions)


def _quickly(data: bytes) -> classadlog.End:
    return quickread.read(data)[1]


@settings(deadline=None, max_examples=300)
@given(st.integers(0, len(LOG)), st.sampled_from([b"", b"\n", b"x", b"\0", b"106 \n"]))
def test_damage_is_found_at_the_same_line(at: int, change: bytes) -> None:
    """Quick or slow, the first damage is told with its line and reason."""
    for data in (LOG[:at] + change + LOG[at:], LOG[:at] + change + LOG[at + len(change) :]):
        assert _fate(_slowly, data) == _fate(_quickly, data)


ANNEXES = st.builds(
    an_annex,
    st.just(1),
    capacity_id=st.sampled_from([None, "sfr-1", "sfr-2"]),
    lease_wanted=st.sampled_from([None, 5, 6]),
    last_error=st.sampled_from(["", "a", 'b "c"\n']),
    done=st.lists(st.sampled_from(StepName), max_size=2).map(tuple),
)


@settings(deadline=None)
@given(st.none() | ANNEXES, st.none() | ANNEXES)
def test_a_change_turns_one_annex_into_another(before: Annex | None, after: Annex | None) -> None:
    """Only what differs is in it; read after the first annex it gives the second."""
    first = QUOTING.change("id-1", None, before)
    lines = QUOTING.change("id-1", before, after)
    found = ads_of(classadlog.load(first + transaction(lines)).operations)
    assert ({} if after is None else {"id-1": QUOTING.ad(after)}) == found
    if before is not None and after is not None:
        old, new = QUOTING.ad(before), QUOTING.ad(after)
        differ = {name for name in {*old, *new} if old.get(name) != new.get(name)}
        assert len(differ) == lines.count(b"\n")


def test_a_message_that_no_classad_can_hold_is_written_all_the_same() -> None:
    """What AWS says must not stop the journal: the rest of such a text is kept."""
    lines = QUOTING.change("id-1", an_annex(1), an_annex(1, last_error="a\0b\udcff"))
    assert b'103 id-1 LastError "ab?"\n' == lines


def test_a_value_that_breaks_the_line_is_refused() -> None:
    """A block holds one line for each attribute, whatever it is given."""
    with pytest.raises(ValueError, match="longer than a line"):
        block("k", {MYTYPE: "Annex", "A": '"x"\n102 k'})


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON))
def test_kept_json_is_as_good_as_a_dictionary(found: dict[str, object]) -> None:
    """It equals what it was made of, field by field, and its text is the same."""
    kept = KeptJson(json_text(found))
    assert found == kept
    assert kept == found
    assert kept == KeptJson(kept.text)
    assert (list(found.items()), len(found)) == (list(kept.items()), len(kept))
    assert found == dict(kept) == {name: kept[name] for name in kept}
    assert json_text(found) == json_text(kept)


@pytest.mark.parametrize("text", ["", "[]", '"a"', "{"])
def test_only_an_object_is_kept(text: str) -> None:
    """Anything else than a JSON object is refused at once, not when it is looked at."""
    with pytest.raises(ValueError, match=r"object|Expecting"):
        KeptJson(text)


def _where(jobs: Sequence[bool]) -> list[bool]:
    """Do jobs that are small or not, one after the other; tell which were done in place."""
    own, disk = threading.get_ident(), Disk()

    async def do() -> list[bool]:
        done = []
        for small in jobs:
            ended: asyncio.Future[object] = asyncio.get_running_loop().create_future()
            disk.do(threading.get_ident, ended.set_result, small=small)
            done.append(await ended == own)
        return done

    try:
        return asyncio.run(do())
    finally:
        disk.stop()


def test_small_jobs_are_done_in_place_while_the_disk_is_quick(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After eight quick jobs a small one is done in the event loop's own thread, no large one."""
    monkeypatch.setattr("htcondor_annex.journal.disk._QUICK_SECONDS", 60.0)
    assert [False] * 8 + [True, True, False, True] == _where([True] * 10 + [False, True])


def test_no_job_is_done_in_place_while_the_disk_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """With jobs that take their time the event loop never waits for one."""
    monkeypatch.setattr("htcondor_annex.journal.disk._QUICK_SECONDS", 0.0)
    assert [False] * 12 == _where([True] * 12)


def test_whoever_waits_for_the_disk_hears_of_a_defect() -> None:
    """What a job raises is handed on, in place or not, and the thread goes on."""
    disk = Disk()

    async def do() -> object:
        ended: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        disk.do(lambda: 1 // 0, ended.set_result)
        return await ended

    try:
        assert [ZeroDivisionError] * 2 == [type(asyncio.run(do())) for _ in range(2)]
    finally:
        disk.stop()
