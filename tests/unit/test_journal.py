"""The journal on the disk: what was committed is there, whatever happens."""

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from htcondor_annex import condor
from htcondor_annex.annex import Annex, AnnexState, Endpoints, Identity, Lease, Owner, StepName
from htcondor_annex.errors import JournalError, JournalHeldError
from htcondor_annex.journal import classadlog
from htcondor_annex.journal.logfile import LogFile
from htcondor_annex.journal.store import FileJournal, Quoting

QUOTING = Quoting(condor.quote, condor.unquote)


def an_annex(number: int) -> Annex:
    """Return an annex with texts that need quoting."""
    return Annex(
        identity=Identity(f"id-{number}", 'a "name"\n\\', "daemon"),
        owner=Owner(1000 + number, "ünïcode"),
        lease=Lease(1_700_000_000 + number, "arn:aws:lambda:us-east-1:1:function:f"),
        endpoints=Endpoints("us-east-1", "https://ec2", "https://events", "https://lambda"),
        access_key_file="/a",
        secret_key_file="/s",
        client_token=f"id-{number}",
        parameters={"TargetCapacity": 2, "LaunchSpecifications": [{"UserData": "x" * 50}]},
        created=1_699_999_999,
    )


def _path(directory: Path) -> str:
    return str(directory / "annexd.journal")


def _reopened(directory: Path) -> list[Annex]:
    async def look() -> list[Annex]:
        journal = FileJournal.open(_path(directory), QUOTING)
        found = list(journal.annexes())
        await journal.close()
        return found

    return asyncio.run(look())


def test_an_annex_comes_back_as_it_was(tmp_path: Path) -> None:
    """All that an annex holds survives, quotes, line breaks and unicode included."""
    wanted = replace(
        an_annex(1),
        state=AnnexState.ACTIVE,
        done=(StepName.PUT_RULE, StepName.PUT_TARGETS),
        capacity_id="sfr-1",
        last_error="none\t'really'",
    )

    async def write() -> None:
        journal = FileJournal.open(_path(tmp_path), QUOTING)
        await journal.put(an_annex(1))
        await journal.put(wanted)
        await journal.close()

    asyncio.run(write())
    assert [wanted] == _reopened(tmp_path)


def test_what_is_removed_stays_removed(tmp_path: Path) -> None:
    """A removed annex does not come back; the others do."""

    async def write() -> None:
        journal = FileJournal.open(_path(tmp_path), QUOTING)
        for number in range(3):
            await journal.put(an_annex(number))
        await journal.remove("id-1")
        await journal.close()

    asyncio.run(write())
    assert ["id-0", "id-2"] == [annex.identity.id for annex in _reopened(tmp_path)]


def test_the_daemons_id_is_as_old_as_the_journal(tmp_path: Path) -> None:
    """The daemon's UUID is made once, and kept."""

    async def look() -> str:
        journal = FileJournal.open(_path(tmp_path), QUOTING)
        await journal.close()
        return journal.annexd_id

    assert asyncio.run(look()) == asyncio.run(look())


def test_commits_at_once_share_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many commits at once take far fewer writes than commits, and all are there."""
    writes: list[int] = []
    append = LogFile.append

    def counted(self: LogFile, data: bytes) -> None:
        writes.append(len(data))
        append(self, data)

    monkeypatch.setattr(LogFile, "append", counted)

    async def write() -> None:
        journal = FileJournal.open(_path(tmp_path), QUOTING)
        await asyncio.gather(*(journal.put(an_annex(number)) for number in range(200)))
        await journal.close()

    asyncio.run(write())
    assert len(_reopened(tmp_path)) == 200
    assert len(writes) <= 3


def test_a_journal_cut_anywhere_loads(tmp_path: Path) -> None:
    """Cut at every byte of its last 4 KiB, the journal loads, and loses one transaction at most."""

    async def write() -> list[int]:
        journal = FileJournal.open(_path(tmp_path), QUOTING)
        lengths = []
        for number in range(8):
            await journal.put(an_annex(number))
            lengths.append(journal._file.length)
        await journal.close()
        return lengths

    lengths = asyncio.run(write())
    whole = Path(_path(tmp_path)).read_bytes()
    for cut in range(max(0, len(whole) - 4096), len(whole) + 1):
        loaded = classadlog.load(whole[:cut])
        born = [one for one in loaded.operations if isinstance(one, classadlog.NewClassAd)]
        annexes = [one for one in born if one.mytype == "Annex"]
        assert len(annexes) == sum(length <= cut for length in lengths)


def test_a_second_opening_is_refused(tmp_path: Path) -> None:
    """The journal has one writer, and says which process that is."""

    async def twice() -> None:
        journal = FileJournal.open(_path(tmp_path), QUOTING)
        try:
            with pytest.raises(JournalHeldError, match=f"process {os.getpid()}"):
                FileJournal.open(_path(tmp_path), QUOTING)
        finally:
            await journal.close()

    asyncio.run(twice())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    if os.geteuid() != 0 and not os.environ.get("CI"):
        pytest.skip("mounting a small file system needs root")
    disk = tmp_path / "small"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_refuses_new_annexes_and_loses_nothing(small_disk: Path) -> None:
    """With no room a new annex is refused, a change of an old one is kept and written later."""
    filler = small_disk / "filler"

    async def story() -> None:
        journal = FileJournal.open(_path(small_disk), QUOTING)
        await journal.put(an_annex(1))
        with pytest.raises(OSError, match="No space"):
            filler.write_bytes(b"x" * 1_000_000)
        big = replace(an_annex(2), parameters={"UserData": "x" * 8000})
        with pytest.raises(JournalError, match="No space left on device"):
            await journal.put(big)
        assert journal.get("id-2") is None
        ending = replace(an_annex(1), state=AnnexState.ENDING, last_error="y" * 8000)
        await journal.put(ending)
        assert journal.get("id-1") == ending
        filler.unlink()
        await journal.put(an_annex(3))
        await journal.close()

    asyncio.run(story())
    found = {annex.identity.id: annex.state for annex in _reopened(small_disk)}
    assert found == {"id-1": AnnexState.ENDING, "id-3": AnnexState.REQUESTED}


def test_the_text_is_one_operation_a_line(tmp_path: Path) -> None:
    """However wild its texts, an annex's attributes stand on one line each."""

    async def write() -> None:
        journal = FileJournal.open(_path(tmp_path), QUOTING)
        await journal.put(an_annex(1))
        await journal.close()

    asyncio.run(write())
    lines = Path(_path(tmp_path)).read_text().splitlines()
    assert {line.split(" ")[0] for line in lines} <= {"101", "103", "105", "106", "107"}
    (parameters,) = [line for line in lines if " Parameters " in line]
    assert json.loads(QUOTING.unquote(parameters.split(" ", 3)[3]))["TargetCapacity"] == 2
