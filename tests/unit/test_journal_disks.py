"""The journal on disks that are full, and on disks that fail."""

import asyncio
import logging
import os
import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from htcondor_annex.annex import AnnexState
from htcondor_annex.errors import JournalError
from htcondor_annex.journal.logfile import LogFile
from htcondor_annex.journal.store import FileJournal
from tests.disks import (
    FailingDisk,
    SmallDisk,
    ThinDisk,
    thin_disk,
)
from tests.journals import (
    QUOTING,
    an_annex,
    ended,
    ids,
    in_journal,
    inode_in,
    journal_in,
    recent,
    reopened,
    size_in,
    until,
)


@pytest.fixture
def thin(tmp_path: Path) -> Iterator[ThinDisk]:
    """A file system that promises more room than its device has."""
    with thin_disk(tmp_path) as disk:
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


def test_it_is_said_once_that_the_disk_is_full_and_once_that_it_is_not(
    small: SmallDisk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """However many requests are refused, and however often nothing is tried again."""
    monkeypatch.setattr("htcondor_annex.journal.store._RETRY_SECONDS", 0.02)

    async def story(journal: FileJournal) -> None:
        small.fill()
        for number in range(3):
            with pytest.raises(JournalError):
                await journal.put(an_annex(number, parameters=BIG))
            await asyncio.sleep(0.1)
        assert "can be written again" not in caplog.text
        small.free()
        await journal.put(an_annex(4))

    with caplog.at_level(logging.INFO):
        in_journal(small.path, story)
    assert 1 == caplog.text.count("No space left on device")
    assert 1 == caplog.text.count("the journal can be written again")


def test_a_disk_that_is_mended_is_written_to_at_once(
    failing: FailingDisk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The whole state is written anew when that is possible, whether or not anything changed."""
    monkeypatch.setattr("htcondor_annex.journal.store._RETRY_SECONDS", 0.02)
    before = []

    async def story(journal: FileJournal) -> None:
        await journal.put(an_annex(1))
        before.append(inode_in(failing.path))
        failing.fail()
        with pytest.raises(JournalError):
            await journal.put(an_annex(2))
        failing.mend()
        await until(lambda: "the journal can be written again" in caplog.text)
        assert before != [inode_in(failing.path)]

    with caplog.at_level(logging.INFO):
        in_journal(failing.path, story)
    assert ["id-1"] == ids(reopened(failing.path))


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


def test_room_that_is_missing_at_fdatasync_is_an_error_of_the_disk(thin: ThinDisk) -> None:
    """On a thin device the kernel has lost what it had no room for: all is written anew."""

    async def story(journal: FileJournal) -> None:
        await journal.put(an_annex(1))
        thin.fill()
        with pytest.raises(JournalError, match="No space left on device"):
            await journal.put(an_annex(2, parameters={"UserData": "x" * 400_000}))
        await journal.put(an_annex(1, state=AnnexState.ENDING))
        thin.free()
        await journal.put(an_annex(3))

    in_journal(thin.path, story)
    thin.forget()
    found = {annex.identity.id: annex.state for annex in reopened(thin.path)}
    assert {"id-1": AnnexState.ENDING, "id-3": AnnexState.REQUESTED} == found


def test_after_which_errors_a_file_is_suspect(
    tmp_path: Path, small: SmallDisk, thin: ThinDisk
) -> None:
    """A write that found no room has left the file alone; any other error may have lost some."""
    plain, full, lost = (
        LogFile.open(str(place / "file"), "the file") for place in (tmp_path, small.path, thin.path)
    )
    small.fill()
    thin.fill()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(JournalError, match="File too large"):
            plain.append(b"x" * 20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    for file in (full, lost):
        with pytest.raises(JournalError, match="No space left on device"):
            file.append(b"x" * 400_000)
    assert [True, False, True] == [one.suspect for one in (plain, full, lost)]
    with pytest.raises(JournalError, match="cannot be trusted"):
        plain.append(b"x")
    plain.replace([b"whole"])
    plain.append(b"!")
    assert b"whole!" == (tmp_path / "file").read_bytes() == plain.read()
    for file in (plain, full, lost):
        file.close()


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
