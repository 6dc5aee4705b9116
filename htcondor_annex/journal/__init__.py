"""The journal: the annexes that the daemon answers for."""

from collections.abc import Sequence
from typing import Protocol

from htcondor_annex.annex import Annex

__all__ = ["Journal"]


class Journal(Protocol):
    """Where annexes are kept; a commit has happened when `put` or `remove` returns.

    Attributes:
        annexd_id: The daemon's own UUID, as long-lived as the journal.
    """

    annexd_id: str

    async def put(self, annex: Annex) -> None:
        """Keep the annex as it now stands."""

    def get(self, annex_id: str) -> Annex | None:
        """Return the annex of that id, or None."""

    def annexes(self) -> Sequence[Annex]:
        """Return all annexes."""

    async def remove(self, annex_id: str) -> None:
        """Forget an annex of which nothing is left in AWS."""
