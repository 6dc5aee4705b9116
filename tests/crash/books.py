"""The journal and the history as they stand on the disk, read with the project's own readers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from htcondor_annex import condor
from htcondor_annex.annex import Annex
from htcondor_annex.journal import attributes, classadlog
from htcondor_annex.journal.ads import MYTYPE, ads_of
from htcondor_annex.journal.history import History, HistoryFile
from htcondor_annex.journal.quoting import Quoting

__all__ = ["Books", "read"]

_QUOTING = Quoting(condor.quote, condor.unquote)


@dataclass(frozen=True, slots=True)
class Books:
    """What the daemon would know if it were started now.

    Attributes:
        living: The annexes that it answers for: all that the journal holds.
        ended: Those that have come to their end, the oldest first.
    """

    living: Sequence[Annex]
    ended: Sequence[Annex]

    @property
    def at_rest(self) -> bool:
        """Whether no annex is on its way from one state to another."""
        return all(
            one.state == "active" and one.expires == one.lease.expires for one in self.living
        )

    def named(self, name: str) -> list[Annex]:
        """Return the annexes of that name that are living."""
        return [annex for annex in self.living if annex.identity.name == name]


def read(journal: Path, history: Path) -> Books:
    """Read both; a daemon may be writing them. A file that is not there is empty.

    Raises:
        DamageError: If the journal is not as a journal must be.
    """
    data = journal.read_bytes() if journal.exists() else b""
    ads = ads_of(classadlog.load(data).operations)
    annexes = [_QUOTING.annex(ad) for ad in ads.values() if ad.get(MYTYPE) == attributes.MYTYPE]
    return Books(annexes, list(History(HistoryFile(str(history)), _QUOTING).recent))
