"""What the tests of the journal share: annexes, and journals that are opened for a while."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from htcondor_annex import condor
from htcondor_annex.annex import Annex, AnnexState, Endpoints, Identity, Lease, Owner
from htcondor_annex.journal.store import FileJournal, Quoting

__all__ = [
    "QUOTING",
    "an_annex",
    "ended",
    "ids",
    "in_journal",
    "inode_in",
    "journal_in",
    "recent",
    "reopened",
    "size_in",
    "text_in",
    "until",
]

_LOOKS = 1000
QUOTING = Quoting(condor.quote, condor.unquote)


def an_annex(number: int, **changes: Any) -> Annex:  # noqa: ANN401  (the fields' own types)
    """Return an annex with texts that need quoting."""
    annex = Annex(
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
    return replace(annex, **changes)


def ended(number: int, **changes: Any) -> Annex:  # noqa: ANN401  (as above)
    """Return an annex that has come to its end."""
    return an_annex(number, **{"state": AnnexState.ENDED, "ended": 1_700_000_100, **changes})


def journal_in(directory: Path) -> Path:
    """Return where a directory's journal is."""
    return directory / "annexd.journal"


def in_journal(directory: Path, story: Callable[[FileJournal], Awaitable[None]]) -> None:
    """Open the journal of a directory, let a story happen, and close it."""

    async def tell() -> None:
        journal = FileJournal.open(str(journal_in(directory)), QUOTING)
        try:
            await story(journal)
        finally:
            await journal.close()

    asyncio.run(tell())


def reopened(directory: Path) -> list[Annex]:
    """Open a directory's journal; return its annexes."""
    found: list[Annex] = []

    async def look(journal: FileJournal) -> None:
        found.extend(journal.annexes())

    in_journal(directory, look)
    return found


def recent(directory: Path) -> list[Annex]:
    """Open a directory's journal; return the annexes that ended lately."""
    found: list[Annex] = []

    async def look(journal: FileJournal) -> None:
        found.extend(journal.recent())

    in_journal(directory, look)
    return found


def ids(annexes: Sequence[Annex]) -> list[str]:
    """Return the annexes' ids."""
    return [annex.identity.id for annex in annexes]


def text_in(directory: Path) -> str:
    """Return the text of a directory's journal."""
    return journal_in(directory).read_text()


def size_in(directory: Path) -> int:
    """Return how many bytes a directory's journal has."""
    return journal_in(directory).stat().st_size


def inode_in(directory: Path) -> int:
    """Return which file a directory's journal is."""
    return journal_in(directory).stat().st_ino


async def until(look: Callable[[], bool]) -> None:
    """Wait until something is so."""
    for _ in range(_LOOKS):
        if look():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it is not so within 20 s")
