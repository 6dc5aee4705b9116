"""The walk through the stacks: each is looked at, acted on, and followed until AWS is done with it.

One thread goes round, and in each round every stack takes one step, so that stacks that do not need
each other come up side by side. What a step does depends on nothing but what AWS shows: a walk
that was cut off at any instant goes on where it was when it is begun anew.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from htcondor_annex.errors import AnnexError, AwsError, SetupError
from htcondor_annex.setup.cloudformation import CloudFormation
from htcondor_annex.setup.events import Operation, cause, of_operation
from htcondor_annex.setup.stacks import Found, Spec, in_progress

__all__ = ["Begun", "Clock", "Outcome", "Task", "Walk"]

_PATIENCE = 300.0
"""Seconds for which a call that AWS throttles, fails or does not answer is made again."""
_SHORTEST, _LONGEST = 0.1, 3.0  # seconds between two rounds in which nothing happens
_GONE = "DELETE_COMPLETE"
_OVERTAKEN = frozenset(
    {"ValidationError", "AlreadyExistsException", "OperationInProgressException"}
)
"""What CloudFormation says, among other things, when a stack is not as it was a moment ago."""


class Clock(Protocol):
    """Tells the time and waits; seconds."""

    def monotonic(self) -> float:
        """Return a time that only grows."""

    def sleep(self, seconds: float, /) -> None:
        """Wait."""


class Outcome(Enum):
    """What became of a stack, in words."""

    CREATED = "made"
    UPDATED = "updated"
    UNCHANGED = "is up to date"
    REMOVED = "removed"
    ABSENT = "is not there"
    LEFT = "is not ours, and is left alone"


@dataclass(frozen=True, slots=True)
class Begun:
    """What a call has begun.

    Attributes:
        what: In words, such as `is being made`.
        stack_id: Of the stack to follow; empty if there is nothing to follow.
        goal: The status in which it must end.
        outcome: What has been reached then, or now if there is nothing to follow; None has the
            stack looked at once more.
    """

    what: str = ""
    stack_id: str = ""
    goal: str = ""
    outcome: Outcome | None = None


class Task(Protocol):
    """What is done with every stack: -setup's task, or -teardown's."""

    def foreign(self, spec: Spec) -> Outcome:
        """Return what becomes of a stack of that name that is not ours, or raise SetupError."""

    def begin(
        self, spec: Spec, found: Found | None, done: Mapping[str, Found], token: str
    ) -> Begun:
        """Make the call that a stack needs.

        Args:
            spec: The stack.
            found: As it is; AWS is not at work on it.
            done: The stacks that are done.
            token: The same if the same call is to be made again.

        Raises:
            AnnexError: If it cannot be made.
        """


@dataclass(slots=True)
class _Run:
    """One stack on its way."""

    spec: Spec
    token: str
    started: float = 0.0
    following: Begun | None = None
    told: Operation = field(default_factory=Operation)
    trouble: float | None = None
    outcome: Outcome | None = None
    error: AnnexError | None = None
    found: Found | None = None


class Walk:
    """Goes through the stacks."""

    def __init__(
        self,
        cloudformation: CloudFormation,
        specs: Sequence[Spec],
        task: Task,
        *,
        say: Callable[[str], None],
        clock: Clock,
        new_token: Callable[[], str],
    ) -> None:
        """Hold what is to be done.

        Args:
            cloudformation: Of one region.
            specs: The stacks, and which of them each needs done before.
            task: What is done.
            say: Hears what happens, line by line.
            clock: For waiting.
            new_token: Returns a new random text of letters and digits.
        """
        self._cloudformation = cloudformation
        self._task = task
        self._say = say
        self._clock = clock
        self._new_token = new_token
        self._runs = {spec.name: _Run(spec, new_token()) for spec in specs}

    def go(self) -> dict[str, Found]:
        """Go until every stack is done, or cannot be; return the stacks that are there.

        Raises:
            SetupError: Listing what could not be done; all the rest is.
        """
        delay = _SHORTEST
        while True:
            waiting = [run for run in self._runs.values() if not run.outcome and not run.error]
            ready = [run for run in waiting if self._may(run)]
            if not ready:
                break
            happened = [self._step(run) for run in ready]
            if any(happened):
                delay = _SHORTEST
            else:
                self._clock.sleep(delay)
                delay = min(delay * 1.5, _LONGEST)
        failed = [run for run in self._runs.values() if run.error]
        if failed:
            raise SetupError(
                "not everything could be done",
                problems=[f"{one.spec.name}: {_words(one.error)}" for one in failed if one.error]
                + [f"{one.spec.name}: waits for {', '.join(one.spec.needs)}" for one in waiting],
                advice="Mend that and repeat the command: it goes on from here.",
            )
        return {name: run.found for name, run in self._runs.items() if run.found}

    def at_work(self) -> list[str]:
        """Return the stacks that AWS goes on with by itself, should we stop now."""
        return [name for name, run in self._runs.items() if run.following]

    def _may(self, run: _Run) -> bool:
        return all(self._runs[name].outcome for name in run.spec.needs)

    def _step(self, run: _Run) -> bool:
        """Take one step with one stack; tell whether anything happened."""
        try:
            happened = self._follow(run, run.following) if run.following else self._look(run)
        except AwsError as error:
            return self._stumbled(run, error)
        except AnnexError as error:
            return self._fail(run, error)
        run.trouble = None
        return happened

    def _stumbled(self, run: _Run, error: AwsError) -> bool:
        """Wait out what passes by itself."""
        now = self._clock.monotonic()
        if not error.retryable or (run.trouble is not None and now - run.trouble > _PATIENCE):
            return self._fail(run, error)
        if run.trouble is None:
            run.trouble = now
            self._tell(run, f"{error.message}; asking again")
        return False

    def _fail(self, run: _Run, error: AnnexError) -> bool:
        run.error, run.following = error, None
        self._tell(run, f"failed: {error.message}")
        return True

    def _look(self, run: _Run) -> bool:
        """See how a stack is, and do what that asks for."""
        name = run.spec.name
        found = self._cloudformation.find(name)
        if found and not found.ours:
            run.outcome = self._task.foreign(run.spec)
            self._tell(run, run.outcome.value)
            return True
        run.told = Operation()
        if found and in_progress(found.status):
            run.following = Begun(stack_id=found.stack_id)
            self._tell(run, f"is {found.status} since before; waiting for its end")
            return True
        if found:  # what has been before is not told again
            run.told.lines(of_operation(self._cloudformation.events(found.stack_id)))
        done = {name: one.found for name, one in self._runs.items() if one.outcome and one.found}
        try:
            begun = self._task.begin(run.spec, found, done, run.token)
        except AwsError as error:
            if error.aws_code in _OVERTAKEN and self._overtaken(name, found):
                return True  # somebody else is at work on it: decide anew
            raise
        if begun.what:
            run.started = run.started or self._clock.monotonic()
            self._tell(run, begun.what)
        if begun.stack_id:
            run.following = begun
        else:
            self._done(run, found, begun.outcome)
        return True

    def _overtaken(self, name: str, before: Found | None) -> bool:
        now = self._cloudformation.find(name)
        return (now and (now.stack_id, now.status)) != (before and (before.stack_id, before.status))

    def _follow(self, run: _Run, begun: Begun) -> bool:
        """Tell what is new, and see whether AWS is done with it."""
        found = self._cloudformation.find(begun.stack_id)
        events = of_operation(self._cloudformation.events(begun.stack_id)) if found else []
        lines = run.told.lines(events)
        for line in lines:
            self._tell(run, line)
        status = found.status if found else _GONE
        if in_progress(status):
            return bool(lines)
        run.following = None
        if begun.goal and status != begun.goal:
            reason = cause(events) or f"it is {status}"
            raise SetupError(reason)
        if begun.outcome:
            self._done(run, found, begun.outcome)
        else:
            run.token = self._new_token()
        return True

    def _done(self, run: _Run, found: Found | None, outcome: Outcome | None) -> None:
        run.found, run.outcome = found, outcome
        took = ""
        if outcome in {Outcome.CREATED, Outcome.UPDATED, Outcome.REMOVED}:
            took = f" ({self._clock.monotonic() - run.started:.1f} s)"
        self._tell(run, f"{outcome.value if outcome else ''}{took}")

    def _tell(self, run: _Run, text: str) -> None:
        self._say(f"{run.spec.name}: {text}")


def _words(error: AnnexError) -> str:
    return ". ".join(filter(None, [error.message, error.advice]))
