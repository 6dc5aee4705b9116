"""What can be read of a damaged journal, and what is said of it."""

import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from htcondor_annex.annex import AnnexState
from htcondor_annex.errors import JournalError
from htcondor_annex.journal.store import FileJournal
from htcondor_annex.journal.survey import Damage, Survey, survey
from tests.journals import QUOTING, an_annex, ended, in_journal, journal_in


def _written(directory: Path) -> bytes:
    """Return a journal with several kinds of changes."""

    async def write(journal: FileJournal) -> None:
        for number in range(3):
            await journal.put(an_annex(number))
        await journal.put(an_annex(0, state=AnnexState.ACTIVE, waiting_for="x"))
        await journal.put(an_annex(0, state=AnnexState.ENDING))
        await journal.retire(ended(2))

    in_journal(directory, write)
    return journal_in(directory).read_bytes()


def _survey(data: bytes) -> Survey:
    return survey(io.TextIOWrapper(io.BytesIO(data), "utf-8", "surrogateescape", "\n"), QUOTING)


def _line(data: bytes, start: bytes) -> int:
    """Return the number of the last line that starts so."""
    lines = data.split(b"\n")
    return max(number for number, line in enumerate(lines, 1) if line.startswith(start))


def test_a_whole_journal_has_no_damage(tmp_path: Path) -> None:
    """What it holds is told: sizes, the daemon's id, the annexes as they stand."""
    data = _written(tmp_path)
    found = _survey(data)
    assert ([], [], len(data), 0) == (
        found.damages,
        found.incomplete,
        found.size,
        found.unfinished,
    )
    assert {"id-0": an_annex(0, state=AnnexState.ENDING), "id-1": an_annex(1)} == found.annexes
    assert f'AnnexdID "{found.annexd_id}"'.encode() in data
    assert data.count(b"106 \n") == found.transactions


def test_an_unfinished_end_is_no_damage(tmp_path: Path) -> None:
    """A last transaction that was not finished is told with its length, zeros included."""
    data = _written(tmp_path)
    for tail in (b"105 \n102 id-0\n103 id", b"105 \n103 id-0 St\0\0\0\0\n", b"105"):
        found = _survey(data + tail)
        assert ([], len(tail)) == (found.damages, found.unfinished)
        assert {"id-0", "id-1"} == found.annexes.keys()


def test_every_damaged_line_is_told(tmp_path: Path) -> None:
    """Several damages at once are told each with its line, its reason and whose it is."""
    data = _written(tmp_path)
    data = data.replace(b"101 id-1 Annex", b"1x1 id-1 Annex")
    data = data.replace(b'103 id-0 Owner "', b"103 id-0 Owner ")
    data = data.replace(b"103 id-1 Created 1", b"103 id-1 Created x1")
    found = _survey(data)
    assert [
        (_line(data, b"103 id-0 Owner "), "id-0"),
        (_line(data, b"1x1"), "id-1"),
        (_line(data, b"103 id-1 Created"), "id-1"),
    ] == [(one.line, one.key) for one in found.damages if "has no type" not in one.reason]
    reasons = " | ".join(one.reason for one in found.damages)
    assert "no operation has the number '1x1'" in reasons
    assert "Owner: " in reasons
    assert "Created: 'x1699999999' is no literal" in reasons


def test_an_annex_is_saved_by_what_is_told_twice(tmp_path: Path) -> None:
    """Its type, its id and the daemon's are known from elsewhere: the annex is whole again."""
    data = _written(tmp_path)
    data = data.replace(b"101 id-1 Annex", b"1x1 id-1 Annex")
    data = data.replace(b'103 id-1 AnnexID "id-1"', b'103 id-1 AnnexID "id-9"')
    data = data.replace(b"103 id-1 AnnexdID ", b"103 id-1 AnnexdIE ")
    found = _survey(data)
    assert [] == found.incomplete
    saved = found.annexes["id-1"]
    assert ("id-1", found.annexd_id) == (saved.identity.id, saved.identity.annexd_id)


def test_an_annex_that_lost_too_much_is_named(tmp_path: Path) -> None:
    """What is missing is told, with the name for people; the others are whole."""
    data = _written(tmp_path)
    data = data.replace(b"103 id-1 Parameters ", b"103 id-1\0Parameters ")
    data = data.replace(b'103 id-1 State "requested"', b'103 id-1 State "requestee"')
    found = _survey(data)
    (one,) = found.incomplete
    assert ("id-1", 'a "name"\n\\') == (one.key, one.name)
    assert {"Parameters", "State"} == set(one.missing)
    assert ["id-0"] == list(found.annexes)


def test_the_daemons_id_is_found_in_an_annex(tmp_path: Path) -> None:
    """Without the daemon's own ad its id is the annexes' one."""
    data = _written(tmp_path)
    lines = [line for line in data.split(b"\n") if b" annexd " not in line]
    found = _survey(b"\n".join(lines))
    assert "daemon" == found.annexd_id
    assert [Damage(0, "there is no ad 'annexd' with the daemon's own id", "annexd")] == (
        found.damages
    )


def test_a_transaction_whose_end_is_damaged_counts(tmp_path: Path) -> None:
    """It may have been committed, and the next one proves nothing against it."""
    data = _written(tmp_path)
    for broken in (b"1o6 \n", b""):
        at = data.index(b'103 id-0 State "active"')
        end = data.index(b"106 \n", at)
        found = _survey(data[:end] + broken + data[end + 5 :])
        assert (2 if broken else 1) == len(found.damages)
        assert AnnexState.ENDING == found.annexes["id-0"].state


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_it_finds_damage_exactly_where_a_journal_does_not_open(
    tmp_path: Path, data: st.DataObject
) -> None:
    """Whatever is changed in a journal: it opens with what the survey found, or has damages."""
    if not journal_in(tmp_path).exists():
        (tmp_path / "whole").write_bytes(_written(tmp_path))
    whole = bytearray((tmp_path / "whole").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(whole) - 1))
        length = data.draw(st.sampled_from([0, 1, 1, 5, 200]))
        whole[at : at + length] = data.draw(
            st.sampled_from([b"", b"\0" * length, b"x", b"\n", b"106 \n", b'"'])
        )
    journal_in(tmp_path).write_bytes(whole)
    (tmp_path / "annexd.journal.history").unlink(missing_ok=True)
    found = _survey(bytes(whole))
    opened: dict[str, object] = {}

    async def look(journal: FileJournal) -> None:
        opened.update({one.identity.id: one for one in journal.annexes()})

    try:
        in_journal(tmp_path, look)
    except JournalError:
        assert found.damages
    else:
        assert ([], found.annexes) == (found.damages, opened)


def test_bytes_that_are_no_text_are_damage(tmp_path: Path) -> None:
    """A byte that is not UTF-8 in a text is told like any other damage."""
    data = _written(tmp_path).replace(b'103 id-1 Region "us-', b'103 id-1 Region "\xffs-')
    (damage,) = _survey(data).damages
    assert ("id-1", True) == (damage.key, damage.reason.startswith("Region: "))
    journal_in(tmp_path).write_bytes(data)
    with pytest.raises(JournalError, match="Region"):
        in_journal(tmp_path, _nothing)


async def _nothing(journal: FileJournal) -> None:
    assert journal


def test_a_quotation_mark_in_a_type_is_damage(tmp_path: Path) -> None:
    """Operation 101 has the type bare: the survey and the journal agree on that."""
    data = _written(tmp_path).replace(b"101 id-1 Annex", b'101 id-1 "Annex')
    (damage,) = _survey(data).damages
    assert ("id-1", True) == (damage.key, '"Annex' in damage.reason)
    journal_in(tmp_path).write_bytes(data)
    with pytest.raises(JournalError, match="id-1"):
        in_journal(tmp_path, _nothing)
