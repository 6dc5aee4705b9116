"""Carries out the table of steps for one annex: starts what may start, undoes what failed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from htcondor_annex.annex import Annex, AnnexEvent, AnnexState, StepName, advance
from htcondor_annex.errors import AnnexError, AwsError, ShuttingDownError
from htcondor_annex.journal import Journal
from htcondor_annex.provision import actions, table

__all__ = ["Progress", "Runner"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 60.0


@dataclass(frozen=True, slots=True)
class Progress:
    """One thing that happened, for the one who waits.

    Attributes:
        what: `done`, `failed`, `undone` or `undo failed`.
        seconds: How long it took.
    """

    step: StepName
    what: str
    seconds: float
    error: str = ""


class Runner:
    """Provisions annexes, many at once.

    Args:
        journal: Told of every change before the next thing is done.
        executor: Where the blocking calls to AWS run.
        clock: Monotonic seconds.
    """

    def __init__(self, journal: Journal, executor: Executor, clock: Callable[[], float]) -> None:
        """Start with nothing under way."""
        self._journal = journal
        self._executor = executor
        self._clock = clock
        self._stopping = False

    def stop(self) -> None:
        """Start no further step; what is half done is undone."""
        self._stopping = True

    async def _in_thread(self, call: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    async def provision(
        self, annex: Annex, aws: actions.Caller, tell: Callable[[Progress], None]
    ) -> tuple[Annex, AnnexError | None]:
        """Carry out every step of an annex that is not done; the journal already holds it.

        Args:
            annex: `requested`; or `provisioning`, taken up again: then any step may have been
                carried out without the journal knowing.
            aws: Makes the calls.
            tell: Hears what happens.

        Returns:
            The annex, `active` or `rolling back`, and what failed.
        """
        unknown: set[StepName] = set()
        if annex.state is AnnexState.PROVISIONING:
            unknown.update(table.STEPS)
        else:
            annex = advance(annex, AnnexEvent.STARTED)
            await self._journal.put(annex)
        started: set[StepName] = set(annex.done)
        failure: AnnexError | None = None
        running: dict[asyncio.Task[str | None], tuple[StepName, float]] = {}
        while True:
            if self._stopping and failure is None and not table.all_done(annex.done):
                failure = ShuttingDownError("annexd is shutting down", advice="Try again later.")
            for step in [] if failure else table.ready(annex.done, started):
                call = self._in_thread(partial(actions.do, step, annex, aws))
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
                    failure = failure or error
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
            annex = advance(annex, AnnexEvent.PROVISIONED)
        else:
            # A step of unknown outcome is undone like one that is done.
            touched = tuple(s for s in table.STEPS if s in {*annex.done, *unknown})
            annex = advance(
                replace(annex, done=touched), AnnexEvent.STEP_FAILED, error=failure.message
            )
        await self._journal.put(annex)
        return annex, failure

    async def undo_all(
        self,
        annex: Annex,
        aws: actions.Caller,
        tell: Callable[[Progress], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> Annex:
        """Undo every step of an annex that is rolling back or ending, for as long as it takes.

        Returns:
            The annex, `failed` or `ended`; by then nothing of it is left.
        """
        wait = _FIRST_WAIT
        while left := table.undo_order(annex.done):
            step, began = left[0], self._clock()
            try:
                await self._in_thread(partial(actions.undo, step, annex, aws))
            except AwsError as error:
                # What comes later in the order guards what is still there: it waits too.
                tell(Progress(step, "undo failed", self._clock() - began, error.message))
                _log.warning("annex %s: undoing '%s': %s", annex.identity.id, step, error)
                await sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT)
                continue
            wait = _FIRST_WAIT
            annex = replace(annex, done=tuple(one for one in annex.done if one != step))
            await self._journal.put(annex)
            tell(Progress(step, "undone", self._clock() - began))
        over = AnnexEvent.GONE if annex.state is AnnexState.ENDING else AnnexEvent.UNDONE
        annex = advance(replace(annex, done=()), over)
        await self._journal.put(annex)
        return annex
