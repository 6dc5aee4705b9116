"""The journal on disks that are full, and on disks that fail."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from htcondor_annex.annex import AnnexState
from htcondor_annex.errors import JournalError
from htcondor_annex.journal.logfile import LogFile
from htcondor_annex.journal.store import FileJournal
from tests.disks import FailingDisk, SmallDisk, failing_disk, small_disk
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
)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallDisk]:
    """A file system of 64 KiB."""
    with small_disk(tmp_path) as disk:
        yield disk


@pytest.fixture
def failing(tmp_path: Path) -> Iterator[FailingDisk]:
    """A file system that can be made to fail."""
    with failing_disk(tmp_path) as disk:
        yield disk


BIG = {"UserData": "x" * 8000}


def test_a_full_disk_refuses_new_annexes_and_loses_nothing(small: SmallDisk) -> None:
    """With no room a new annex is refused, a change of an old one is kept and written later."""

    async def story(journal: FileJournal) -> None:
        await journal.put(an_annex(1))
        small.fill()
        with pytest.raises(JournalError, match="No space left on device"):
            await journal.put(an_annex(2, parameters=BIG))
        assert journal.get("id-2") is None
        ending = an_annex(1, state=AnnexState.ENDING, last_error="y" * 8000)
        await journal.put(ending)
        assert journal.get("id-1") == ending
        small.free()
        await journal.put(an_annex(3))

    in_journal(small.path, story)
    found = {annex.identity.id: annex.state for annex in reopened(small.path)}
    assert {"id-1": AnnexState.ENDING, "id-3": AnnexState.REQUESTED} == found


def test_a_change_that_must_be_on_the_disk_is_refused(small: SmallDisk) -> None:
    """With no room it is an error, and memory has what was before, earlier changes included."""
    waiting = an_annex(1, last_error="y" * 4000)

    async def story(journal: FileJournal) -> None:
        await journal.put(an_annex(1))
        small.fill()
        await journal.put(waiting)  # stays in memory
        with pytest.raises(JournalError, match="No space left on device"):
            await journal.put(replace(waiting, lease_wanted=5), must=True)
        assert waiting == journal.get("id-1")
        small.free()
        await journal.put(replace(waiting, lease_wanted=6), must=True)

    in_journal(small.path, story)
    assert [replace(waiting, lease_wanted=6)] == reopened(small.path)


def test_what_was_refused_is_not_written_with_what_comes_next(small: SmallDisk) -> None:
    """Of two that are refused at once neither is written by the commit that follows them."""

    async def story(journal: FileJournal) -> None:
        await journal.put(an_annex(1))
        small.fill()
        asked = [
            journal.put(an_annex(2, parameters=BIG)),
            journal.put(an_annex(1, lease_wanted=5, last_error="z" * 8000), must=True),
        ]
        said = await asyncio.gather(*asked, return_exceptions=True)
        assert [JournalError, JournalError] == [type(one) for one in said]
        small.free()
        await journal.put(an_annex(3))

    in_journal(small.path, story)
    assert [an_annex(1), an_annex(3)] == reopened(small.path)


def test_a_full_disk_does_not_keep_the_daemon_down(small: SmallDisk) -> None:
    """With no room at all a journal that is there opens, torn end and all, and serves again."""

    async def write(journal: FileJournal) -> None:
        await journal.put(an_annex(1, parameters=BIG))
        await journal.put(an_annex(1, parameters=BIG, state=AnnexState.ACTIVE))

    async def story(journal: FileJournal) -> None:
        assert [AnnexState.ACTIVE] == [one.state for one in journal.annexes()]
        with pytest.raises(JournalError, match="No space left on device"):
            await journal.put(an_annex(2, parameters=BIG))
        small.free()
        await journal.put(an_annex(3))

    in_journal(small.path, write)
    with journal_in(small.path).open("ab") as file:
        file.write(b"105 \n103 id-1 State")
    small.fill()
    in_journal(small.path, story)
    assert ["id-1", "id-3"] == ids(reopened(small.path))


def test_a_new_journal_with_no_room_is_an_error(small: SmallDisk) -> None:
    """A journal that never was must be written: nothing would be known of the daemon's id."""
    small.fill()
    with pytest.raises(JournalError, match="No space left on device"):
        FileJournal.open(str(journal_in(small.path)), QUOTING)


def test_a_compaction_that_fails_fails_no_commit(
    small: SmallDisk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Room for changes but not for a second copy: commits go on, it is said once, tried later."""
    monkeypatch.setattr("htcondor_annex.journal.ondisk._COMPACT_BYTES", 1000)
    monkeypatch.setattr("htcondor_annex.journal.ondisk._COMPACT_AGAIN_SECONDS", 0.0)
    sizes: list[int] = []

    async def story(journal: FileJournal) -> None:
        await journal.put(an_annex(1, parameters=BIG))
        await journal.put(an_annex(1, parameters=BIG, last_error="the first compaction is over"))
        small.fill(leave=4 * 4096)
        for number in range(85):
            await journal.put(an_annex(1, parameters=BIG, last_error="ab"[number % 2] * 100))
        sizes.append(size_in(small.path))
        small.free()
        await journal.put(an_annex(1, parameters=BIG, last_error="at last"))

    in_journal(small.path, story)
    assert "at last" == reopened(small.path)[0].last_error
    assert 1 == caplog.text.count("No space left on device")
    assert size_in(small.path) < sizes[0]


def test_after_an_error_of_the_disk_everything_is_written_anew(failing: FailingDisk) -> None:
    """What the kernel threw away after EIO is not believed to be there: the disk itself has all."""

    async def story(journal: FileJournal) -> None:
        await journal.put(an_annex(1))
        failing.fail()
        with pytest.raises(JournalError, match="Input/output error"):
            await journal.put(an_annex(2))
        await journal.put(an_annex(1, state=AnnexState.ENDING))
        assert journal.get("id-2") is None
        failing.mend()
        await journal.put(an_annex(3))
        await journal.put(an_annex(3, state=AnnexState.ACTIVE))

    in_journal(failing.path, story)
    failing.forget()
    found = {annex.identity.id: annex.state for annex in reopened(failing.path)}
    assert {"id-1": AnnexState.ENDING, "id-3": AnnexState.ACTIVE} == found


def test_what_the_disk_does_not_have_is_suspect(failing: FailingDisk) -> None:
    """What EIO has lost can still be read from the kernel's memory: nothing may be added to it."""
    path = failing.path / "file"
    file = LogFile.open(str(path), "the file")
    file.append(b"whole\n")
    file.prove()
    before = file.suspect
    failing.fail()
    with path.open("ab", buffering=0) as other:
        other.write(b"lost\n" * 1000)
        with pytest.raises(OSError, match="Input/output error"):
            os.fdatasync(other.fileno())
    failing.mend()
    assert path.read_bytes().endswith(b"lost\n")
    file.prove()
    assert (False, True) == (before, file.suspect)
    file.close()


def test_a_failing_disk_does_not_keep_the_daemon_down(failing: FailingDisk) -> None:
    """While nothing can be written a journal that is there opens; when it can, all is written."""

    async def write(journal: FileJournal) -> None:
        await journal.put(an_annex(1))

    async def story(journal: FileJournal) -> None:
        assert [an_annex(1)] == list(journal.annexes())
        await journal.put(an_annex(1, state=AnnexState.ENDING))
        with pytest.raises(JournalError, match="Input/output error"):
            await journal.put(an_annex(2))
        failing.mend()
        await journal.put(an_annex(3))

    in_journal(failing.path, write)
    failing.fail()
    in_journal(failing.path, story)
    failing.forget()
    found = {annex.identity.id: annex.state for annex in reopened(failing.path)}
    assert {"id-1": AnnexState.ENDING, "id-3": AnnexState.REQUESTED} == found


def test_what_is_over_is_not_lost_on_a_failing_disk(failing: FailingDisk) -> None:
    """Neither history nor journal can be written; when they can, the annex is in the history."""

    async def story(journal: FileJournal) -> None:
        await journal.put(an_annex(1))
        await journal.put(an_annex(2))
        await journal.retire(ended(2))
        failing.fail()
        await journal.retire(ended(1))
        failing.mend()
        await journal.put(an_annex(3))

    in_journal(failing.path, story)
    failing.forget()
    assert ["id-3"] == ids(reopened(failing.path))
    assert ["id-2", "id-1"] == ids(recent(failing.path))
