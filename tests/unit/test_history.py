"""The history: annexes that are over, in HTCondor's long form."""

import os
import re
import stat
from pathlib import Path

import pytest

from htcondor_annex.annex import Annex
from htcondor_annex.errors import JournalError
from htcondor_annex.journal import history as module
from htcondor_annex.journal.history import History, HistoryFile
from tests.disks import FailingDisk, SmallDisk
from tests.journals import QUOTING, ended, ids


def _opened(path: Path, max_bytes: int = 1_000_000, rotations: int = 2) -> History:
    return History(HistoryFile(str(path), max_bytes, rotations), QUOTING)


def _append(path: Path, *annexes: Annex) -> None:
    history = _opened(path)
    history.append(annexes)
    history.close()


def _recent(path: Path) -> list[str]:
    return ids(list(_opened(path).recent))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the history is."""
    return tmp_path / "annexd.history"


def test_the_text_is_htcondors_long_form(path: Path) -> None:
    """An ad is lines of `Name = value`, then a banner with all that HTCondor's own have in it."""
    _append(path, ended(1), ended(2))
    text = path.read_text()
    one, two, rest = text.split("*** ")[0], text.split("*** ")[1], text.split("*** ")[2]
    assert one.startswith('MyType = "Annex"\nAnnexID = "id-1"\n')
    assert re.fullmatch(r'([A-Z]\w* = ("([^"\\]|\\.)*"|\d+)\n)+', one)
    banner = r'Offset = {} ClusterId = 0 ProcId = 0 Owner = "[^"]+" CompletionDate = 1700000100\n'
    assert re.match(banner.format(0), two)
    assert re.fullmatch(banner.format(text.index('MyType = "Annex"\nAnnexID = "id-2"')), rest)


def test_it_is_closed_to_others(path: Path) -> None:
    """The file is 0600 whatever the umask."""
    before = os.umask(0)
    try:
        _append(path, ended(1))
    finally:
        os.umask(before)
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)


def test_annexes_come_back_as_they_were(path: Path) -> None:
    """All that an annex holds is read again, the oldest first."""
    wanted = [ended(1, last_error='a "b"\n\\'), ended(2, waiting_for="ü")]
    for annex in wanted:
        _append(path, annex)
    assert wanted == list(_opened(path).recent)


def test_a_torn_last_ad_is_left_out_and_spoils_nothing(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Cut at any byte of its last ad the history gives the others, says so, and takes the next."""
    _append(path, ended(1))
    first = path.stat().st_size
    _append(path, ended(2))
    whole = path.read_bytes()
    for cut in range(first, len(whole)):
        path.write_bytes(whole[:cut])
        caplog.clear()
        assert ["id-1"] == _recent(path), cut
        assert ("its last ad was not finished" in caplog.text) == (cut > first)
        _append(path, ended(3))
        assert ["id-1", "id-3"] == _recent(path), cut


def test_what_is_not_ours_is_left_alone(path: Path) -> None:
    """A file that ends in something else is not cut: that is an error, and nothing is written."""
    path.write_text("Dear diary,\ntoday")
    with pytest.raises(JournalError, match="is no ad of annexd's"):
        _append(path, ended(1))
    assert "Dear diary,\ntoday" == path.read_text()


def test_an_ad_that_cannot_be_read_hides_no_other(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A damaged ad is passed over with a remark."""
    for number in (1, 2, 3):
        _append(path, ended(number))
    path.write_text(path.read_text().replace('State = "ended"', 'State = "endet"', 1))
    assert ["id-2", "id-3"] == _recent(path)
    assert "1 ads cannot be read" in caplog.text


def _files(path: Path) -> list[str]:
    return sorted(one.name for one in path.parent.iterdir())


def test_a_full_file_is_renamed_as_htcondor_does(path: Path) -> None:
    """Files are renamed with the time, as many kept as the knob says, and all are read."""
    size = 2_500  # two ads and a half
    for number in range(9):
        history = _opened(path, size)
        history.append([ended(number)])
        history.close()
    names = _files(path)
    rotated = [name for name in names if re.fullmatch(r"annexd\.history\.\d{8}T\d{6}", name)]
    assert [path.name, *rotated] == names
    assert 2 == len(rotated)
    assert all((path.parent / name).stat().st_size <= size for name in names)
    found = ids(list(_opened(path, size).recent))
    assert [f"id-{number}" for number in range(9 - len(found), 9)] == found
    assert len(found) >= 3


def test_other_files_beside_it_are_let_be(path: Path) -> None:
    """What only looks like a renamed file is neither read nor deleted."""
    beside = path.parent / "annexd.history.backup"
    beside.write_text("x")
    for number in range(6):
        history = _opened(path, 1_000, 1)
        history.append([ended(number)])
        history.close()
    assert beside.exists()
    assert 3 == len(_files(path))


def test_the_number_of_recent_ones_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the newest are remembered, at start and later."""
    monkeypatch.setattr(module, "RECENT", 3)
    history = _opened(path)
    history.append([ended(number) for number in range(5)])
    history.close()
    assert ["id-2", "id-3", "id-4"] == _recent(path)


def test_only_the_tail_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Of much history no more is read than is worth it; the first ad may be half of one."""
    for number in range(5):
        _append(path, ended(number))
    monkeypatch.setattr(module, "_TAIL_BYTES", path.stat().st_size // 2)
    assert (["id-3", "id-4"], "") == (_recent(path), caplog.text)


def test_a_full_disk_leaves_the_history_as_it_was(small: SmallDisk) -> None:
    """What cannot be added whole is not there at all, and is when there is room."""
    path = small.path / "annexd.history"
    history = _opened(path)
    history.append([ended(1)])
    before = path.read_bytes()
    small.fill()
    with pytest.raises(JournalError, match=r"the history .* cannot be written: No space left"):
        history.append([ended(2, last_error="x" * 9000)])
    assert before == path.read_bytes()
    small.free()
    history.append([ended(2)])
    history.close()
    assert ["id-1", "id-2"] == _recent(path)


def test_a_failing_disk_loses_no_history(failing: FailingDisk) -> None:
    """After EIO the file is written anew, so that the disk has all that was added."""
    path = failing.path / "annexd.history"
    history = _opened(path)
    history.append([ended(1)])
    before = path.stat().st_ino
    failing.fail()
    for _ in range(2):
        with pytest.raises(JournalError, match="Input/output error"):
            history.append([ended(2)])
    failing.mend()
    history.append([ended(2)])
    history.close()
    assert before != path.stat().st_ino
    failing.forget()
    assert ["id-1", "id-2"] == _recent(path)
