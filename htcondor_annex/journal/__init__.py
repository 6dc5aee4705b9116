"""The journal: the annexes that the daemon answers for."""

from collections.abc import Sequence
from typing import Protocol

from htcondor_annex.annex import Annex

__all__ = ["Journal"]


class Journal(Protocol):
    """Where annexes are kept; a commit has happened when `put` or `retire` returns.

    Attributes:
        annexd_id: The daemon's own UUID, as long-lived as the journal.
    """

    annexd_id: str

    async def put(self, annex: Annex, *, must: bool = False) -> None:
        """Keep the annex as it now stands.

        A new annex, and with `must` any change, is refused when it cannot be written; every other
        change then stays in memory, and is written later.

        Raises:
            JournalError: If it is refused; what was before stands.
        """

    def get(self, annex_id: str) -> Annex | None:
        """Return the annex of that id, or None if there is none that is not over."""

    def annexes(self) -> Sequence[Annex]:
        """Return all annexes that are not over, the oldest first."""

    async def retire(self, annex: Annex) -> None:
        """Bring an annex that is over, and of which nothing is left in AWS, to the history."""

    def recent(self) -> Sequence[Annex]:
        """Return the annexes that ended lately, the oldest first: a bounded number."""
