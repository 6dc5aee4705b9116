"""The journal on the disk: what was committed is there, whatever happens."""

import asyncio
import json
import logging
import os
import stat
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from htcondor_annex.annex import Annex, AnnexState, StepName
from htcondor_annex.errors import JournalError, JournalHeldError, RequestError
from htcondor_annex.journal.logfile import LogFile
from htcondor_annex.journal.store import FileJournal
from tests.journals import (
    QUOTING,
    an_annex,
    ended,
    ids,
    in_journal,
    journal_in,
    recent,
    reopened,
    size_in,
    text_in,
    until,
)

# -- what was committed is there -------------------------------------------------------------------


def test_an_annex_comes_back_as_it_was(tmp_path: Path) -> None:
    """All that an annex holds survives, quotes, line breaks and unicode included."""
    wanted = an_annex(
        1,
        state=AnnexState.ACTIVE,
        done=(StepName.PUT_RULE, StepName.PUT_TARGETS),
        capacity_id="sfr-1",
        last_error="none\t'really'",
    )

    async def write(journal: FileJournal) -> None:
        await journal.put(an_annex(1))
        await journal.put(wanted)

    in_journal(tmp_path, write)
    assert [wanted] == reopened(tmp_path)


def test_an_attribute_that_went_stays_away(tmp_path: Path) -> None:
    """What an annex no longer has, it does not have after a restart."""

    async def write(journal: FileJournal) -> None:
        await journal.put(an_annex(1, waiting_for="a key", lease_wanted=5))
        await journal.put(an_annex(1))

    in_journal(tmp_path, write)
    assert [an_annex(1)] == reopened(tmp_path)


def test_parameters_come_back_byte_for_byte(tmp_path: Path) -> None:
    """A retry after a restart sends what the first try sent, to the order of the fields."""
    parameters = {"b": 1, "a": {"z": [1.0, "ü"], "y": None}}

    async def write(journal: FileJournal) -> None:
        await journal.put(an_annex(1, parameters=parameters))

    in_journal(tmp_path, write)
    (annex,) = reopened(tmp_path)
    assert json.dumps(parameters) == json.dumps(dict(annex.parameters))


def test_the_daemons_id_is_as_old_as_the_journal(tmp_path: Path) -> None:
    """The daemon's UUID is made once, and kept."""
    seen: set[str] = set()

    async def look(journal: FileJournal) -> None:
        seen.add(journal.annexd_id)

    for _ in range(3):
        in_journal(tmp_path, look)
    assert len(seen) == 1


def test_commits_at_once_share_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many commits at once take far fewer writes than commits, and all are there."""
    writes: list[int] = []
    append = LogFile.append

    def counted(self: LogFile, data: bytes) -> None:
        writes.append(len(data))
        append(self, data)

    monkeypatch.setattr(LogFile, "append", counted)

    async def write(journal: FileJournal) -> None:
        await asyncio.gather(*(journal.put(an_annex(number)) for number in range(200)))

    in_journal(tmp_path, write)
    assert len(reopened(tmp_path)) == 200
    assert len(writes) <= 3


def test_a_commit_is_one_write_and_one_fdatasync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one commit asks of the disk."""
    calls: list[str] = []

    def counted(name: str) -> None:
        original = getattr(os, name)

        def wrapped(*given: object) -> object:
            calls.append(name)
            return original(*given)

        monkeypatch.setattr(os, name, wrapped)

    async def write(journal: FileJournal) -> None:
        for name in ("write", "fsync", "fdatasync", "ftruncate", "open"):
            counted(name)
        await journal.put(an_annex(1))
        await journal.put(an_annex(1, state=AnnexState.ACTIVE))
        monkeypatch.undo()

    in_journal(tmp_path, write)
    assert ["write", "fdatasync"] * 2 == calls


def test_a_second_opening_is_refused(tmp_path: Path) -> None:
    """The journal has one writer, and says which process that is."""

    async def again(journal: FileJournal) -> None:
        assert journal.annexd_id
        with pytest.raises(JournalHeldError, match=rf"process {os.getpid()}\)"):
            FileJournal.open(str(journal_in(tmp_path)), QUOTING)

    in_journal(tmp_path, again)


def test_the_files_are_closed_to_others(tmp_path: Path) -> None:
    """Journal, lock and history are 0600 whatever the umask."""
    before = os.umask(0)
    try:

        async def write(journal: FileJournal) -> None:
            await journal.put(an_annex(1))
            await journal.retire(ended(1))

        in_journal(tmp_path, write)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    names = ("annexd.journal", "annexd.journal.history", "annexd.journal.lock")
    assert dict.fromkeys(names, 0o600) == modes


def test_the_text_is_one_operation_a_line(tmp_path: Path) -> None:
    """However wild its texts, an annex's attributes stand on one line each."""

    async def write(journal: FileJournal) -> None:
        await journal.put(an_annex(1))

    in_journal(tmp_path, write)
    lines = journal_in(tmp_path).read_text().splitlines()
    assert {line.split(" ")[0] for line in lines} <= {"101", "103", "105", "106", "107"}
    (parameters,) = [line for line in lines if " Parameters " in line]
    assert json.loads(QUOTING.unquote(parameters.split(" ", 3)[3]))["TargetCapacity"] == 2


@pytest.mark.parametrize("text", ["/keys/\udcff", "a\0b"])
def test_a_text_that_no_classad_can_hold_is_refused(tmp_path: Path, text: str) -> None:
    """Such an annex is refused before it is there; the journal goes on."""

    async def story(journal: FileJournal) -> None:
        with pytest.raises(RequestError, match="holds a text that the journal cannot"):
            await journal.put(an_annex(1, access_key_file=text))
        assert journal.get("id-1") is None
        await journal.put(an_annex(2))

    in_journal(tmp_path, story)
    assert ["id-2"] == ids(reopened(tmp_path))


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory, where there is one: these tests sync thousands of times."""
    memory = Path("/dev/shm")  # noqa: S108  (a directory of the test's own in it)
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as name:
        yield Path(name)


def _snapshots(directory: Path) -> list[tuple[int, list[Annex]]]:
    """Write a journal with several kinds of changes.

    Return its length after each commit, with the annexes as they then were.
    """
    lengths: list[tuple[int, list[Annex]]] = []

    async def write(journal: FileJournal) -> None:
        async def note(work: Awaitable[None]) -> None:
            await work
            lengths.append((size_in(directory), list(journal.annexes())))

        for number in range(4):
            await note(journal.put(an_annex(number, parameters={"UserData": "x" * 900})))
        for number in range(4, 8):
            await note(journal.put(an_annex(number)))
            await note(journal.put(an_annex(number, state=AnnexState.ACTIVE, waiting_for='"\\')))
            await note(journal.put(an_annex(number, state=AnnexState.ENDING, done=tuple(StepName))))
            if number % 2:
                await note(journal.retire(ended(number)))

    in_journal(directory, write)
    return lengths


def _cut_anywhere(directory: Path, check: Callable[[int, list[Annex]], None]) -> None:
    """Cut a journal at every byte of its last 4 KiB, and check what each then opens with."""
    whole = journal_in(directory).read_bytes()
    place = directory / "cut"
    place.mkdir()

    def opened(cut: int) -> FileJournal:
        journal_in(place).write_bytes(whole[:cut])
        return FileJournal.open(str(journal_in(place)), QUOTING)

    async def tell() -> None:
        for cut in range(len(whole) - 4096, len(whole) + 1):
            journal = opened(cut)
            check(cut, list(journal.annexes()))
            await journal.close()

    asyncio.run(tell())


def test_a_journal_cut_anywhere_opens(quick: Path) -> None:
    """Cut at every byte of its last 4 KiB it opens, with exactly what was committed by then."""
    snapshots = _snapshots(quick)

    def check(cut: int, found: list[Annex]) -> None:
        wanted = [annexes for length, annexes in snapshots if length <= cut]
        assert wanted[-1] == found, cut

    _cut_anywhere(quick, check)


def test_a_compacted_journal_cut_anywhere_opens(quick: Path) -> None:
    """What compaction has written is cut at every byte too: no annex comes back half."""
    _snapshots(quick)
    annexes = reopened(quick)  # compacted by this
    counts = set()

    def check(cut: int, found: list[Annex]) -> None:
        assert annexes[: len(found)] == found, cut
        counts.add(len(found))

    _cut_anywhere(quick, check)
    assert {len(annexes), len(annexes) - 1} <= counts


# -- damage ----------------------------------------------------------------------------------------


def _damaged(directory: Path, old: str, new: str) -> str:
    """Write a journal, change its text, and return what opening it says."""

    async def write(journal: FileJournal) -> None:
        await journal.put(an_annex(1))
        await journal.put(an_annex(2))

    in_journal(directory, write)
    path = journal_in(directory)
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    before = path.read_bytes()
    with pytest.raises(JournalError) as caught:
        FileJournal.open(str(journal_in(directory)), QUOTING)
    assert path.read_bytes() == before
    assert "condor_annexd -check-journal" in caught.value.advice
    return caught.value.message


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("101 id-2 Annex", "1x1 id-2 Annex", "no operation has the number '1x1'"),
        ("101 id-2 Annex", "101 id-3 Annex", "annex id-3 has no AnnexID"),
        ("101 id-2 Annex", "101 id-2 Annix", "id-2 is of the type Annix"),
        ("103 id-2 State", "103 id-2 Stage", "annex id-2 has no State"),
        ("103 annexd AnnexdID", "103 annexd AnnexdIE", "'AnnexdID' is missing"),
        ("103 id-2 OwnerUid 1002", "103 id-2 OwnerUid 1o02", "OwnerUid: '1o02' is no literal"),
        ('103 id-2 AnnexID "id-2"', '103 id-2 AnnexID "id-7"', "the ad id-2 holds the annex id-7"),
        ('103 id-2 AccessKeyFile "/a"', '103 id-2 AccessKeyFile "/a', "is no ClassAd string"),
        ("101 annexd Annexd", "101 anmexd Annexd", "annexd has no type"),
    ],
)
def test_damage_stops_the_opening(tmp_path: Path, old: str, new: str, reason: str) -> None:
    """Whatever cannot be, says what is wrong and the way out, and changes nothing."""
    said = _damaged(tmp_path, old, new)
    assert reason in said
    assert "is damaged" in said


def test_htcondors_own_form_of_the_type_is_understood(tmp_path: Path) -> None:
    """A journal that HTCondor rewrote has the type as an attribute too: nothing is lost by it."""

    async def write(journal: FileJournal) -> None:
        await journal.put(an_annex(1))

    in_journal(tmp_path, write)
    path = journal_in(tmp_path)
    line = "101 id-1 Annex (empty)\n"
    text = path.read_text().replace(line, f'{line}103 id-1 MyType "Annex"\n')
    path.write_text(text.replace("105 \n", "").replace("106 \n", ""))
    assert [an_annex(1)] == reopened(tmp_path)


# -- what is over ----------------------------------------------------------------------------------


def test_what_is_retired_is_in_the_history_and_nowhere_else(tmp_path: Path) -> None:
    """A retired annex is among the recent ones, also after a restart; the others stay."""

    async def write(journal: FileJournal) -> None:
        for number in range(3):
            await journal.put(an_annex(number))
        await journal.retire(ended(1))
        assert ["id-0", "id-2"] == ids(journal.annexes())
        assert [ended(1)] == list(journal.recent())
        assert journal.get("id-1") is None

    in_journal(tmp_path, write)
    assert ["id-0", "id-2"] == ids(reopened(tmp_path))
    assert [ended(1)] == recent(tmp_path)


def test_what_is_not_over_is_not_retired(tmp_path: Path) -> None:
    """Retiring an annex that may have something in AWS is a defect, and does nothing."""

    async def story(journal: FileJournal) -> None:
        await journal.put(an_annex(1))
        with pytest.raises(ValueError, match="is requested, and not over"):
            await journal.retire(an_annex(1))

    in_journal(tmp_path, story)
    assert ["id-1"] == ids(reopened(tmp_path))


def test_a_crash_between_history_and_journal_records_once(tmp_path: Path) -> None:
    """With the history written and the journal not, the annex is over, and recorded once."""

    async def write(journal: FileJournal) -> None:
        await journal.put(an_annex(1, state=AnnexState.ENDING))
        await journal.put(an_annex(2))

    async def retire(journal: FileJournal) -> None:
        await journal.retire(ended(1))

    in_journal(tmp_path, write)
    before = journal_in(tmp_path).read_bytes()
    in_journal(tmp_path, retire)
    journal_in(tmp_path).write_bytes(before)  # as if its write had never happened
    assert ["id-2"] == ids(reopened(tmp_path))
    assert [ended(1)] == recent(tmp_path)


def test_what_is_taken_up_again_after_its_end_is_kept(tmp_path: Path) -> None:
    """What was found in AWS under the id of an annex that is over lives on, and ends once more."""
    orphan = an_annex(1, state=AnnexState.ENDING, created=1_700_000_200, parameters={})

    async def write(journal: FileJournal) -> None:
        await journal.put(an_annex(1))
        await journal.retire(ended(1))
        await journal.put(orphan)

    in_journal(tmp_path, write)
    assert [orphan] == reopened(tmp_path)
    again = replace(orphan, state=AnnexState.ENDED, ended=1_700_000_300)

    async def retire(journal: FileJournal) -> None:
        await journal.retire(again)

    in_journal(tmp_path, retire)
    assert ([], [ended(1), again]) == (reopened(tmp_path), recent(tmp_path))


def _in_the_way(directory: Path) -> Path:
    """Put a directory where the history would be."""
    path = directory / "annexd.journal.history"
    path.mkdir()
    return path


def _take_away(directory: Path) -> None:
    directory.rmdir()


def test_with_no_history_an_annex_stays_in_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It stays there as ended until the history can be written, which is tried again; once said."""
    monkeypatch.setattr("htcondor_annex.journal.store._RETRY_SECONDS", 0.05)
    blocker = _in_the_way(tmp_path)
    kept: list[str] = []

    async def story(journal: FileJournal) -> None:
        await journal.put(an_annex(1))
        await journal.retire(ended(1))
        kept.append(text_in(tmp_path))
        assert ([], [ended(1)]) == (list(journal.annexes()), list(journal.recent()))
        await asyncio.sleep(0.2)
        _take_away(blocker)
        await until(lambda: "the history can be written again" in caplog.text)

    with caplog.at_level(logging.INFO):
        in_journal(tmp_path, story)
    assert '103 id-1 State "ended"' in kept[0]
    assert 1 == caplog.text.count("cannot be opened")
    assert ([], [ended(1)]) == (reopened(tmp_path), recent(tmp_path))


def test_what_is_taken_up_again_before_it_was_recorded_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An annex waits for the history while an orphan of its id is found: both get their due."""
    monkeypatch.setattr("htcondor_annex.journal.store._RETRY_SECONDS", 0.05)
    blocker = _in_the_way(tmp_path)
    orphan = an_annex(1, state=AnnexState.ENDING, created=1_700_000_200, parameters={})

    async def story(journal: FileJournal) -> None:
        await journal.put(an_annex(1))
        await journal.retire(ended(1))
        await journal.put(orphan)
        assert "103 id-1 Created 1700000200\n" in text_in(tmp_path)
        _take_away(blocker)
        await until(blocker.is_file)

    in_journal(tmp_path, story)
    assert ([orphan], [ended(1)]) == (reopened(tmp_path), recent(tmp_path))


def test_what_is_over_is_retired_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If the history could not be written, the next daemon tries at its start, and goes on."""
    monkeypatch.setattr("htcondor_annex.journal.store._RETRY_SECONDS", 0.05)
    blocker = _in_the_way(tmp_path)

    async def write(journal: FileJournal) -> None:
        await journal.put(an_annex(1))
        await journal.retire(ended(1))

    async def wait(journal: FileJournal) -> None:
        journal.start()
        assert ([], [ended(1)]) == (list(journal.annexes()), list(journal.recent()))
        _take_away(blocker)
        await until(blocker.is_file)

    in_journal(tmp_path, write)
    in_journal(tmp_path, wait)
    assert "cannot be opened: Is a directory" in caplog.text
    assert ([], [ended(1)]) == (reopened(tmp_path), recent(tmp_path))
