"""Carries out the tables of steps for one annex: does, tries again, undoes, looks.

Nothing here is given up half way: a step whose outcome is unknown is asked again with the same
token and parameters, and an undo goes on until AWS shows that nothing is left.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from htcondor_annex.annex import Annex, AnnexEvent, AnnexState, StepName, advance
from htcondor_annex.errors import AnnexError, KeyFileError
from htcondor_annex.journal import Journal
from htcondor_annex.provision import actions, table
from htcondor_annex.provision.actions import Caller, Undone
from htcondor_annex.provision.waiting import Halt, Patience, backoff

__all__ = ["Progress", "Runner", "Tell"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_KEYS_INTERVAL = 5.0
"""The longest wait, in seconds, between two looks for a key file that has gone."""


@dataclass(frozen=True, slots=True)
class Progress:
    """One thing that happened, for the one who waits.

    Attributes:
        what: `done`, `failed`, `tried again`, `undone`, `undo failed` or `looked for`.
        seconds: How long it took.
    """

    step: StepName
    what: str
    seconds: float
    error: str = ""


Tell = Callable[[Progress], None]


class Runner:
    """Carries out steps, for many annexes at once.

    Args:
        journal: Told of every change before the next thing is done.
        executor: Where the blocking calls to AWS run.
        patience: How long to persist; may be replaced when the configuration is read again.
        clock: Monotonic seconds.
        wall: Epoch seconds.
    """

    def __init__(
        self,
        journal: Journal,
        executor: Executor,
        patience: Patience,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Start with nothing under way."""
        self.patience = patience
        self._journal = journal
        self._executor = executor
        self._clock = clock
        self._wall = wall

    async def _in_thread(self, call: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    async def _persist(
        self, step: StepName, annex: Annex, aws: Caller, halt: Halt, tell: Tell
    ) -> str | None:
        """Carry out one step, again where that can help; raises the last try's error."""
        began, acted = self._clock(), False
        for wait in backoff():
            tried = self._clock()
            try:
                return await self._in_thread(partial(actions.do, step, annex, aws))
            except AnnexError as error:
                # Once it may have acted, no later refusal makes that certain.
                acted = error.aws_may_have_acted = acted or error.aws_may_have_acted
                out_of_time = self._clock() + wait - began > self.patience.retry
                too_late = self._wall() + wait >= annex.lease.expires
                if not error.retryable or halt.reason or out_of_time or too_late:
                    raise
                tell(Progress(step, "tried again", self._clock() - tried, error.message))
                await halt.sleep(wait)
        raise AssertionError  # the waits never end

    async def provision(
        self, annex: Annex, aws: Caller, halt: Halt, tell: Tell, *, resumed: bool = False
    ) -> tuple[Annex, AnnexError | None]:
        """Carry out every step of an annex that is not done; the journal already holds it.

        Args:
            annex: `requested` or `provisioning`.
            aws: Makes the calls.
            resumed: It is taken up again: any step may have been carried out without the journal
                knowing, whatever its state there (a full disk keeps changes in memory).
            halt: Once it is said, no further step starts.
            tell: Hears what happens.

        Returns:
            The annex, `active` or `rolling back`, and what failed.
        """
        steps = table.STEPS[annex.lease.method]
        unknown: set[StepName] = set(steps) if resumed else set()
        if annex.state is AnnexState.REQUESTED:
            annex = advance(annex, AnnexEvent.STARTED)
            await self._journal.put(annex)
        started: set[StepName] = set(annex.done)
        failure: AnnexError | None = None
        running: dict[asyncio.Task[str | None], tuple[StepName, float]] = {}
        while True:
            if halt.reason is not None and not table.all_done(steps, annex.done):
                failure = failure or halt.reason
            for step in [] if failure else table.ready(steps, annex.done, started):
                call = self._persist(step, annex, aws, halt, tell)
                started.add(step)
                running[asyncio.ensure_future(call)] = (step, self._clock())
            if not running:
                break
            ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                step, began = running.pop(task)
                took = self._clock() - began
                try:
                    capacity_id = task.result()
                except AnnexError as error:
                    if error.aws_may_have_acted:
                        unknown.add(step)
                    failure = failure or halt.reason or error
                    tell(Progress(step, "failed", took, error.message))
                    continue
                annex = replace(
                    annex,
                    done=(*annex.done, step),
                    capacity_id=capacity_id or annex.capacity_id,
                )
                await self._journal.put(annex)
                tell(Progress(step, "done", took))
        if failure is None:
            annex = advance(
                replace(annex, activated=int(self._wall()), waiting_for=""), AnnexEvent.PROVISIONED
            )
        else:
            # A step of unknown outcome is undone like one that is done.
            touched = tuple(s for s in steps if s in {*annex.done, *unknown})
            annex = advance(
                replace(annex, done=touched), AnnexEvent.STEP_FAILED, error=failure.message
            )
        await self._journal.put(annex)
        return annex, failure

    async def update_lease(
        self, annex: Annex, aws: Caller, halt: Halt, tell: Tell
    ) -> tuple[Annex, AnnexError | None]:
        """Bring AWS in line with the lease's end that is wanted; the journal already holds it.

        Returns:
            The annex, and what failed. Without a failure its lease is the wanted one. After a
            failure the old one is wanted again; it stays so, to be tried again, until AWS has it.
        """
        failure, changed = await self._update(annex, aws, halt, tell)
        if failure is not None:
            if halt.reason is not None or annex.expires == annex.lease.expires:
                return annex, failure
            if changed:
                annex = replace(annex, lease_wanted=annex.lease.expires)
                await self._journal.put(annex)
                back, _ = await self._update(annex, aws, halt, tell)
                if back is not None:
                    return annex, failure
            annex = replace(annex, lease_wanted=None)
        else:
            lease = replace(annex.lease, expires=annex.expires)
            annex = replace(annex, lease=lease, lease_wanted=None, waiting_for="")
        await self._journal.put(annex)
        return annex, failure

    async def _update(
        self, annex: Annex, aws: Caller, halt: Halt, tell: Tell
    ) -> tuple[AnnexError | None, bool]:
        """Return what failed, and whether anything may have been changed in AWS by then."""
        aimed = replace(annex, lease=replace(annex.lease, expires=annex.expires))
        changed = False
        for step in table.UPDATE[annex.lease.method]:
            began = self._clock()
            try:
                await self._persist(step, aimed, aws, halt, tell)
            except AnnexError as error:
                tell(Progress(step, "failed", self._clock() - began, error.message))
                return error, changed or error.aws_may_have_acted
            changed = True
            tell(Progress(step, "done", self._clock() - began))
        return None, changed

    async def undo_all(
        self,
        annex: Annex,
        caller: Callable[[], Awaitable[Caller]],
        halt: Halt,
        tell: Tell,
    ) -> Annex:
        """Undo every step of an annex that is rolling back or ending, for as long as it takes.

        Args:
            annex: `rolling back` or `ending`.
            caller: Gives what makes the calls, anew for each try: keys may be changed meanwhile.
            halt: Once it is said, nothing is waited for that will take long.
            tell: Hears what happens.

        Returns:
            The annex, `failed` or `ended`, when nothing of it is left; it is not yet in the
            journal as such. As it was, if halted before.
        """
        waits, unseen_since = backoff(), None
        steps = table.STEPS[annex.lease.method]
        while left := table.undo_order(steps, annex.done):
            step, began = left[0], self._clock()
            try:
                aws = await caller()
                undone = await self._in_thread(partial(actions.undo, step, annex, aws))
            except AnnexError as error:
                # What comes later in the order guards what is still there: it waits too.
                unseen_since = None
                annex = await self._hindered(annex, step, error, self._clock() - began, tell)
                wait = next(waits)
                if isinstance(error, KeyFileError):
                    wait = min(wait, _KEYS_INTERVAL)
                if halt.reason is not None and (wait > 1 or isinstance(error, KeyFileError)):
                    return annex
                # Told to stop, it tries once or twice more.
                await (halt.sleep(wait) if halt.reason is None else asyncio.sleep(wait))
                continue
            now = self._clock()
            if undone is Undone.UNSEEN:
                unseen_since = now if unseen_since is None else unseen_since
                missing = unseen_since + self.patience.confirm - began
                if missing > 0:
                    tell(Progress(step, "looked for", now - began))
                    if halt.reason is not None:
                        return annex
                    await halt.sleep(min(next(waits), missing))
                    continue
            waits, unseen_since = backoff(), None
            left_over = tuple(one for one in annex.done if one != step)
            annex = replace(annex, done=left_over, waiting_for="")
            await self._journal.put(annex)
            tell(Progress(step, "undone", now - began))
        over = AnnexEvent.GONE if annex.state is AnnexState.ENDING else AnnexEvent.UNDONE
        return advance(replace(annex, done=(), ended=int(self._wall())), over)

    async def _hindered(
        self, annex: Annex, step: StepName, error: AnnexError, took: float, tell: Tell
    ) -> Annex:
        """Tell what keeps an undo from its end: to the one who waits, the log and the annex."""
        tell(Progress(step, "undo failed", took, error.message))
        if annex.waiting_for == error.message:
            return annex
        _log.warning("annex %s waits: %s", annex.identity.id, error)
        annex = replace(annex, waiting_for=error.message)
        await self._journal.put(annex)
        return annex
