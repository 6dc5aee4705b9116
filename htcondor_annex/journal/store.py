"""Annexes kept in HTCondor's ClassAd transaction log, with group commit.

What changes while the disk is busy shares the next write and the next fdatasync. All is called
from one thread, the event loop; the disk is waited for in another.

A new annex is not there until its commit returns; nor is a change that must be on the disk. Other
changes are never lost to a full disk: they stand in memory, are written when there is room, and
after a crash in between the steps are repeated from what the journal has, which changes nothing in
AWS. An annex that is over goes to the history first, and out of the journal then.
"""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, Self

from htcondor_annex.annex import Annex
from htcondor_annex.errors import JournalError, RequestError
from htcondor_annex.journal.ads import ads_of
from htcondor_annex.journal.disk import Disk
from htcondor_annex.journal.history import HistoryFile
from htcondor_annex.journal.ondisk import OnDisk, Written
from htcondor_annex.journal.quoting import Quoting

__all__ = ["FileJournal", "HistoryFile", "Quoting", "ads_of"]

_log = logging.getLogger(__name__)

_RETRY_SECONDS = 2.0


class _Commit(NamedTuple):
    """One change that somebody waits for.

    Attributes:
        before: What stood in memory; None for an annex that is new.
        refusable: Whether the change is taken back when it cannot be written.
    """

    key: str
    after: Annex
    before: Annex | None
    refusable: bool
    done: asyncio.Future[None]


class FileJournal:
    """The journal on the disk; use `open`.

    Attributes:
        annexd_id: The daemon's own UUID, as long-lived as the journal.
    """

    def __init__(self, on_disk: OnDisk, quoting: Quoting) -> None:
        """Take up what was found."""
        self._on_disk = on_disk
        self._quoting = quoting
        self._annexes = on_disk.annexes
        self._over = on_disk.over
        self.annexd_id = on_disk.annexd_id
        self._disk = Disk()
        self._commits: list[_Commit] = []
        self._dirty: dict[str, None] = {}  # keys of which the disk has something else
        self._busy = self._closed = False
        self._try_history = bool(self._over)
        self._idle: asyncio.Future[None] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._failing: set[str] = set()

    @classmethod
    def open(cls, path: str, quoting: Quoting, history: HistoryFile | None = None) -> Self:
        """Open a journal, made if there is none; blocking.

        Args:
            path: Its file.
            quoting: How texts become ClassAd strings.
            history: Where annexes go that are over; None is a file beside the journal.

        Raises:
            JournalHeldError: If another daemon holds it.
            JournalError: If it cannot be read, or is damaged (naming the line), or is new and
                cannot be written.
        """
        return cls(OnDisk(path, quoting, history or HistoryFile(path + ".history")), quoting)

    def start(self) -> None:
        """Try again, from now on, what could not be written at open; in the event loop."""
        if self._over:
            self._try_later()

    # -- reading -------------------------------------------------------------------------------

    def get(self, annex_id: str) -> Annex | None:
        """Return the annex of that id, or None if there is none, or it is over."""
        return self._annexes.get(annex_id)

    def annexes(self) -> Sequence[Annex]:
        """Return all annexes that are not over, the oldest first."""
        return tuple(self._annexes.values())

    def recent(self) -> Sequence[Annex]:
        """Return the annexes that ended lately, the oldest first."""
        return tuple(self._on_disk.history.recent)

    # -- changing ------------------------------------------------------------------------------

    async def put(self, annex: Annex, *, must: bool = False) -> None:
        """Keep the annex as it now stands.

        Args:
            annex: New, or changed.
            must: Refuse a change that cannot be written. A new annex always is; any other change
                stays in memory and is written later.

        Raises:
            JournalError: If it is refused: what was before stands (but a change that came after
                it and has not been refused stays).
            RequestError: If it is new, and holds a text that no ClassAd can.
        """
        key = annex.identity.id
        before = self._annexes.get(key)
        if before is None:
            self._check(annex)
        self._annexes[key] = annex
        await self._commit(key, annex, before, refusable=must or before is None)

    async def retire(self, annex: Annex) -> None:
        """Bring an annex that is over to the history, and then out of the journal.

        If the history cannot be written, the annex stays in the journal, and that is tried again.

        Args:
            annex: As it ended; nothing is left of it in AWS. One that is not in the journal is
                let be.

        Raises:
            ValueError: If it is not over; that is a defect of ours.
        """
        key = annex.identity.id
        if not annex.over:
            raise ValueError(f"annex {key} is {annex.state}, and not over")
        if self._annexes.pop(key, None) is None:
            return
        self._over[key] = annex
        self._on_disk.history.recent.append(annex)
        self._try_history = True
        await self._commit(key, annex, annex, refusable=False)

    async def close(self) -> None:
        """Write what is left, and let go of the files."""
        if self._retry is not None:
            self._retry.cancel()
        self._try_history = bool(self._over)
        if self._dirty or self._over:
            self._begin()
        self._closed = True
        while self._busy:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle
        if self._retry is not None:
            self._retry.cancel()
        closed = asyncio.get_running_loop().create_future()
        self._disk.do(self._on_disk.close, closed.set_result)
        if isinstance(outcome := await closed, Exception):
            raise outcome
        self._disk.stop()

    # -- the disk ------------------------------------------------------------------------------

    def _check(self, annex: Annex) -> None:
        try:
            self._quoting.ad(annex)
        except ValueError as error:
            raise RequestError(
                f"the annex {annex.identity.name!r} holds a text that the journal cannot: {error}"
            ) from error

    async def _commit(
        self, key: str, after: Annex, before: Annex | None, *, refusable: bool
    ) -> None:
        if self._closed:
            raise JournalError("the journal is closed")
        done = asyncio.get_running_loop().create_future()
        self._commits.append(_Commit(key, after, before, refusable, done))
        self._dirty[key] = None
        self._begin()
        await done

    def _begin(self) -> None:
        """Write soon, together with what else comes until then."""
        if not self._busy:
            self._busy = True
            asyncio.get_running_loop().call_soon(self._write)

    def _stands(self, key: str) -> Annex | None:
        return self._annexes.get(key) or self._over.get(key)

    def _write(self) -> None:
        commits, self._commits = self._commits, []
        keys, self._dirty = self._dirty, {}
        over = list(self._over.values()) if self._try_history else []
        self._try_history = False
        wanted = {key: self._stands(key) for key in keys}
        # One of the same id may have been found in AWS later, and taken up: it stays.
        then = {one.identity.id: self._annexes.get(one.identity.id) for one in over}
        self._disk.do(
            partial(self._on_disk.write, wanted, over, then),
            partial(self._written, commits, keys, over),
            small=len(keys) == 1 and not over,
        )

    def _written(
        self,
        commits: Sequence[_Commit],
        keys: dict[str, None],
        over: Sequence[Annex],
        outcome: Written | Exception,
    ) -> None:
        if isinstance(outcome, Exception):
            _log.error("writing the journal: a defect", exc_info=outcome)
            error = JournalError(f"the journal fails: {outcome!r}")
            outcome = Written(in_history=False, history_error=None, in_journal=False, error=error)
        if outcome.in_history:
            for annex in over:
                del self._over[annex.identity.id]
                keys[annex.identity.id] = None
        if over:
            self._say("the history", outcome.history_error)
        if outcome.error or outcome.in_journal:
            self._say("the journal", outcome.error)
        if outcome.error:
            self._dirty = {**keys, **self._dirty}
        for commit in reversed(commits):  # each has as its before what came just earlier
            self._settle(commit, outcome.error)
        if outcome.error or self._over:
            self._try_later()
        self._go_on()

    def _go_on(self, *, may_compact: bool = True) -> None:
        """Do what waits for the disk, if anything does."""
        self._busy = False
        if self._commits:
            self._begin()
        elif may_compact and self._on_disk.wants_compaction:
            self._busy = True
            self._disk.do(self._on_disk.compact, self._compacted)
        elif self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _compacted(self, outcome: object) -> None:
        if isinstance(outcome, Exception):
            _log.error("compacting the journal: a defect", exc_info=outcome)
        self._go_on(may_compact=False)

    def _settle(self, commit: _Commit, error: JournalError | None) -> None:
        """Tell who waits; a change that was not written is taken back, or stands for later."""
        refusal = None
        if error is not None and commit.refusable:
            refusal = JournalError(error.message, advice=error.advice)
            if commit.before is None:
                self._annexes.pop(commit.key, None)
            elif self._annexes.get(commit.key) is commit.after:
                self._annexes[commit.key] = commit.before
        if commit.done.done():
            return
        if refusal is None:
            commit.done.set_result(None)
        else:
            commit.done.set_exception(refusal)

    def _say(self, what: str, error: JournalError | None) -> None:
        """Log once that something fails, and once that it does no more."""
        if error is not None and what not in self._failing:
            self._failing.add(what)
            _log.error("%s", error)
        elif error is None and what in self._failing:
            self._failing.discard(what)
            _log.info("%s can be written again", what)

    def _try_later(self) -> None:
        if self._retry is None and not self._closed:
            loop = asyncio.get_running_loop()
            self._retry = loop.call_later(_RETRY_SECONDS, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        self._try_history = bool(self._over)
        if self._dirty or self._over:
            self._begin()
