"""Trying again: jittered back-off under one deadline, with the clock passed in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from instance_agent.errors import AgentError, Healing, NotByDeadlineError

__all__ = ["SETTLE_SECONDS", "Patience"]

T = TypeVar("T")

SETTLE_SECONDS = 120.0
"""How long a refusal is taken for the spreading of a new role through AWS.

IAM is eventually consistent and names no bound ("Changes that I make are not always immediately
visible", IAM User Guide); seconds are the rule. Two minutes are short enough that a role that is
wrong for good is still told in time to be noticed.
"""

FIRST_DELAY = 0.2
LONGEST_DELAY = 20.0
"""Thousands of instances may start at once: the longer it takes, the wider they spread."""


@dataclass(frozen=True)
class Patience:
    """How long to go on, and by which clock.

    Attributes:
        clock: Seconds from any fixed point, never going back (`time.monotonic`).
        sleep: Waits so many seconds.
        uniform: A random number between its two arguments (`random.uniform`).
        deadline: The clock's reading at which everything ends.
        settled: The clock's reading from which a refusal is final.
    """

    clock: Callable[[], float]
    sleep: Callable[[float], None]
    uniform: Callable[[float, float], float]
    deadline: float
    settled: float

    @property
    def remaining(self) -> float:
        """Seconds until the deadline, never negative."""
        return max(0.0, self.deadline - self.clock())

    def persist(self, attempt: Callable[[], T], say: Callable[[str], None]) -> T:
        """Run `attempt` until it succeeds, fails for good, or its time is over.

        Args:
            attempt: What to try; only its `AgentError`s are looked at.
            say: Told of each failure that is tried again, once for each text.

        Raises:
            NotByDeadlineError: The deadline came before the error healed.
            AgentError: The attempt's own, if it cannot heal (any more).
        """
        ceiling, said = FIRST_DELAY, ""
        while True:
            try:
                return attempt()
            except AgentError as error:
                if error.healing is Healing.NEVER:
                    raise
                settling = error.healing is Healing.SETTLING
                end = min(self.deadline, self.settled) if settling else self.deadline
                # Half of the delay is fixed, so that a crowd slows down, half is chance, so that
                # it does not come back as a crowd.
                delay = self.uniform(ceiling / 2, ceiling)
                if self.clock() + delay >= end:
                    if settling:
                        raise
                    raise NotByDeadlineError(f"by the deadline still: {error}") from error
                if str(error) != said:
                    said = str(error)
                    say(said)
            self.sleep(delay)
            ceiling = min(ceiling * 2, LONGEST_DELAY)
