"""Brings each annex from where it stands to where nobody need wait for it: one work at a time.

An annex that is being made or ended belongs to one task, which alone changes it. An active one is
changed under its lock.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any, TypeVar

from htcondor_annex.annex import Annex, AnnexEvent, AnnexState, advance
from htcondor_annex.aws import codes
from htcondor_annex.daemon.keyring import Keyring, account_of
from htcondor_annex.errors import AnnexError, AwsError, CalledOffError, ShuttingDownError
from htcondor_annex.journal import Journal
from htcondor_annex.provision.actions import Caller
from htcondor_annex.provision.runner import Progress, Runner
from htcondor_annex.provision.table import STEPS
from htcondor_annex.provision.waiting import Halt

__all__ = ["Tell", "Worker", "nobody", "shutting_down"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

Tell = Callable[[Mapping[str, Any]], None]
"""Takes one JSON-able event for the one who waits."""

_UNDO_PATIENCE = 30.0  # seconds that a caller waits to hear that all is undone
_KEYS_INTERVAL = 5.0  # seconds between two looks for key files that have gone
_MAKING = frozenset({AnnexState.REQUESTED, AnnexState.PROVISIONING})
_UNDOING = frozenset({AnnexState.ROLLING_BACK, AnnexState.ENDING})


def shutting_down() -> ShuttingDownError:
    """Return what callers are told whose work is not begun, or is cut short."""
    return ShuttingDownError("annexd is shutting down", advice="Try again later.")


def nobody(event: Mapping[str, Any]) -> None:
    """Hear what nobody waits for."""


class Worker:
    """The work under way; used from one thread, the event loop.

    Args:
        journal: What the daemon answers for.
        runner: Carries out steps.
        keyring: Gives what calls AWS.
        changed: Called with an annex's id when it has changed.
    """

    def __init__(
        self, journal: Journal, runner: Runner, keyring: Keyring, changed: Callable[[str], None]
    ) -> None:
        """Start with no work."""
        self._journal = journal
        self._runner = runner
        self._keyring = keyring
        self._changed = changed
        self._work: set[asyncio.Task[Any]] = set()
        self._tasks: dict[str, asyncio.Task[Annex]] = {}
        self._halts: dict[str, Halt] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._reserved: set[str] = set()
        self.stopping = False

    def start(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Do something that `stop` waits for, whether or not anybody stays to hear of it."""
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, work: asyncio.Task[Any]) -> None:
        self._work.discard(work)
        if not work.cancelled() and (error := work.exception()) is not None:
            known = isinstance(error, AnnexError)
            _log.log(logging.INFO if known else logging.ERROR, "request ended: %s", error)

    def _halt(self, annex_id: str) -> Halt:
        halt = self._halts.setdefault(annex_id, Halt())
        if self.stopping:
            halt.set(shutting_down())
        return halt

    def lock(self, annex_id: str) -> asyncio.Lock:
        """Return the lock under which an active annex is changed."""
        return self._locks.setdefault(annex_id, asyncio.Lock())

    def busy(self, annex_id: str) -> bool:
        """Whether it is being changed just now."""
        if annex_id in self._tasks or annex_id in self._reserved:
            return True
        lock = self._locks.get(annex_id)
        return lock is not None and lock.locked()

    @contextlib.contextmanager
    def reserved(self, annex_id: str) -> Iterator[None]:
        """Keep an annex from being taken up while it is put into the journal."""
        self._reserved.add(annex_id)
        try:
            yield
        finally:
            self._reserved.discard(annex_id)

    def _main(self, annex_id: str, work: Coroutine[Any, Any, Annex]) -> asyncio.Task[Annex]:
        """Start the one task that an annex belongs to until it ends."""
        task = self.start(work)
        self._tasks[annex_id] = task

        def over(_: asyncio.Task[Annex]) -> None:
            if self._tasks.get(annex_id) is task:
                del self._tasks[annex_id]
            if self._journal.get(annex_id) is None:
                self._halts.pop(annex_id, None)
                self._locks.pop(annex_id, None)

        task.add_done_callback(over)
        return task

    async def _caller(self, annex: Annex) -> Caller:
        """Return what calls AWS for an annex; where its keys were refused they are read again."""
        return _Watched(await self._keyring.calls(account_of(annex)), self._keyring, annex)

    def _heard(self, annex: Annex, tell: Tell) -> Callable[[Progress], None]:
        """Return what logs an annex's progress, and tells it."""

        def heard(progress: Progress) -> None:
            _log.info(
                "annex %s: %s: %s (%.3f s)%s",
                annex.identity.id,
                progress.step,
                progress.what,
                progress.seconds,
                f": {progress.error}" if progress.error else "",
            )
            tell({"progress": asdict(progress)})

        return heard

    # -- making --------------------------------------------------------------------------------

    def provision(self, annex: Annex, tell: Tell, aws: Caller) -> asyncio.Task[Annex]:
        """Make an annex that the journal holds; the task gives it active, or raises why not."""
        return self._main(annex.identity.id, self._provision(annex, tell, aws))

    async def _provision(
        self, annex: Annex, tell: Tell, aws: Caller, *, resumed: bool = False
    ) -> Annex:
        annex_id = annex.identity.id
        heard = self._heard(annex, tell)
        annex, failure = await self._runner.provision(
            annex, aws, self._halt(annex_id), heard, resumed=resumed
        )
        self._changed(annex_id)
        if failure is None:
            _log.info("annex %s: active as %s", annex_id, annex.capacity_id)
            return annex
        undoing = self._main(annex_id, self._undo(annex, tell))
        done, _ = await asyncio.wait({undoing}, timeout=_UNDO_PATIENCE)
        if not done or not undoing.result().over:
            failure.advice += " Not all is undone yet: annexd goes on with it, and logs it."
        raise failure

    # -- ending --------------------------------------------------------------------------------

    async def _undo(self, annex: Annex, tell: Tell) -> Annex:
        annex_id = annex.identity.id
        self._halts.pop(annex_id, None)  # what called off the making must not hurry the undoing
        annex = await self._runner.undo_all(
            annex, partial(self._caller, annex), self._halt(annex_id), self._heard(annex, tell)
        )
        if annex.over:
            await self._journal.retire(annex)
            _log.info("annex %s: %s; nothing of it is left in AWS", annex_id, annex.state)
            self._changed(annex_id)
        return annex

    async def end(self, annex_id: str, reason: str, tell: Tell = nobody) -> Annex | None:
        """End an annex now, whatever it is doing.

        Args:
            annex_id: Which.
            reason: Goes into its record.
            tell: Hears what happens.

        Returns:
            It, with nothing left of it; None if there is no such annex any more. As it is, if
            the daemon is shutting down.
        """
        known = self._journal.get(annex_id)
        if known is not None and known.state not in _UNDOING:
            self._halt(annex_id).set(CalledOffError(f"called off: {reason}"))
        async with self.lock(annex_id):
            annex = self._journal.get(annex_id)
            making = self._tasks.get(annex_id)
            if making is not None and annex is not None and annex.state is AnnexState.ACTIVE:
                await asyncio.wait({making})  # it became active too late to be called off
                annex = self._journal.get(annex_id)
            if annex is None or annex.over:
                return annex
            if annex.state is AnnexState.ACTIVE:
                annex = advance(replace(annex, lease_wanted=None), AnnexEvent.END, error=reason)
                _log.info("annex %s is ended: %s", annex_id, reason)
                await self._journal.put(annex)
                self._changed(annex_id)
                self._main(annex_id, self._undo(annex, tell))
        return await self._outcome(annex_id)

    async def _outcome(self, annex_id: str) -> Annex | None:
        """Wait until no task has the annex, and return it as it is then."""
        last: Annex | None = None
        while (task := self._tasks.get(annex_id)) is not None:
            await asyncio.wait({task})
            if not task.cancelled() and task.exception() is None:
                last = task.result()
        return self._journal.get(annex_id) or last

    # -- the lease -----------------------------------------------------------------------------

    async def update_lease(self, annex_id: str, expires: int | None, tell: Tell = nobody) -> Annex:
        """Give an active annex another end, or go on with one that is promised.

        Args:
            annex_id: Which.
            expires: Epoch seconds; None for what the journal says is wanted.
            tell: Hears what happens.

        Raises:
            CalledOffError: If it is not active.
            JournalError: If the promise cannot be written; nothing was begun.
            AnnexError: If AWS refused; the old lease stands, or is being put back.
        """
        async with self.lock(annex_id):
            annex = self._journal.get(annex_id)
            if annex is None or annex.state is not AnnexState.ACTIVE:
                state = "gone" if annex is None else annex.state
                raise CalledOffError(f"the annex is {state}: it has no lease to change")
            aws = await self._caller(annex)  # with no keys nothing is promised
            if expires is not None:
                annex = replace(annex, lease_wanted=expires)
                await self._journal.put(annex, must=True)
            if annex.lease_wanted is None:
                return annex
            halt = self._halt(annex_id)
            annex, failure = await self._runner.update_lease(
                annex, aws, halt, self._heard(annex, tell)
            )
        self._changed(annex_id)
        if isinstance(halt.reason, ShuttingDownError) and failure is not None:
            cut_off = ShuttingDownError(
                "annexd is shutting down; the new end of the lease is promised, and comes about at "
                "its next start",
                advice="`condor_annex status` tells.",
            )
            cut_off.aws_may_have_acted = True
            raise cut_off
        if failure is not None:
            raise halt.reason or failure
        _log.info("annex %s: lease until %d", annex_id, annex.lease.expires)
        return annex

    # -- after a restart -----------------------------------------------------------------------

    def resume(self) -> None:
        """Take up what the journal holds and nobody works at: go on with what is half done."""
        for annex in self._journal.annexes():
            annex_id = annex.identity.id
            if self.stopping or self.busy(annex_id):
                continue
            if annex.state in _UNDOING:
                self._main(annex_id, self._undo(annex, nobody))
            elif annex.state in _MAKING:
                self._main(annex_id, self._go_on(annex))
            elif annex.lease_wanted is not None:
                self.start(self.update_lease(annex_id, None))
            else:
                continue
            _log.info("annex %s: taken up again, %s", annex_id, annex.state)

    def adopt(self, annex: Annex) -> None:
        """End what was found in AWS; the journal holds it as ending."""
        self._changed(annex.identity.id)
        self._main(annex.identity.id, self._undo(annex, nobody))

    async def _go_on(self, annex: Annex) -> Annex:
        """Make what was half made, or undo it if its lease is over by now."""
        halt = self._halt(annex.identity.id)
        while halt.reason is None and time.time() < annex.lease.expires:
            try:
                aws = await self._caller(annex)
            except AnnexError as error:
                if annex.waiting_for != error.message:
                    _log.warning("annex %s waits: %s", annex.identity.id, error)
                    annex = replace(annex, waiting_for=error.message)
                    await self._journal.put(annex)
                    self._changed(annex.identity.id)
                await halt.sleep(min(_KEYS_INTERVAL, max(0.0, annex.lease.expires - time.time())))
            else:
                return await self._provision(annex, nobody, aws, resumed=True)
        if isinstance(halt.reason, ShuttingDownError):
            return annex
        why = halt.reason.message if halt.reason else "its lease was over before it was made"
        # Whatever was begun may have been carried out.
        annex = advance(
            replace(annex, done=tuple(STEPS[annex.lease.method])), AnnexEvent.STEP_FAILED, error=why
        )
        await self._journal.put(annex)
        return await self._undo(annex, nobody)

    def following(self, annex_id: str) -> asyncio.Task[Annex] | None:
        """Return the task that makes or ends an annex, if there is one."""
        return self._tasks.get(annex_id)

    async def stop(self, patience: float) -> None:
        """Take no new work, let the steps under way end, and undo what is half done.

        Args:
            patience: Seconds to wait for that.
        """
        self.stopping = True
        for halt in self._halts.values():
            halt.set(shutting_down())
        if self._work:
            _log.info("waiting for %d annexes under way", len(self._work))
            await asyncio.wait(self._work, timeout=patience)
        for annex in self._journal.annexes():
            if annex.state is not AnnexState.ACTIVE:
                _log.warning(
                    "annex %s is left %s, to be gone on with at the next start; "
                    "these steps stand in AWS: %s",
                    annex.identity.id,
                    annex.state,
                    ", ".join(annex.done) or "none",
                )


class _Watched:
    """Calls of an annex; keys that AWS does not take are read again the next time."""

    def __init__(self, calls: Caller, keyring: Keyring, annex: Annex) -> None:
        self._calls = calls
        self._keyring = keyring
        self._annex = annex

    def call(self, service: str, action: str, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401
        try:
            return self._calls.call(service, action, **parameters)
        except AwsError as error:
            if error.aws_code in codes.CREDENTIALS:
                self._keyring.forget(account_of(self._annex))
            raise
