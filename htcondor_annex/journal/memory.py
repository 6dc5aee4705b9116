"""A journal in memory: what it holds ends with the process."""

from collections.abc import Sequence

from htcondor_annex.annex import Annex

__all__ = ["MemoryJournal"]


class MemoryJournal:
    """Annexes by id; used from one thread, the daemon's event loop."""

    def __init__(self, annexd_id: str) -> None:
        """Start empty, under the daemon's UUID."""
        self.annexd_id = annexd_id
        self._annexes: dict[str, Annex] = {}

    async def put(self, annex: Annex) -> None:
        """Keep the annex as it now stands."""
        self._annexes[annex.identity.id] = annex

    def get(self, annex_id: str) -> Annex | None:
        """Return the annex of that id, or None."""
        return self._annexes.get(annex_id)

    def annexes(self) -> Sequence[Annex]:
        """Return all annexes, the oldest first."""
        return tuple(self._annexes.values())

    async def remove(self, annex_id: str) -> None:
        """Forget an annex."""
        self._annexes.pop(annex_id, None)
