"""Waiting: what is tried again, how long, and what is told at the end."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from instance_agent.aws import healing_of
from instance_agent.bounded import WIDTH, in_time, together
from instance_agent.errors import (
    AgentError,
    AWSError,
    Healing,
    MetadataError,
    NoGrantYetError,
    NotByDeadlineError,
)
from instance_agent.retry import LONGEST_DELAY, Patience


@dataclass
class Clock:
    """A clock that moves only when somebody sleeps."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def read(self) -> float:
        """Seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Move on."""
        self.slept.append(seconds)
        self.now += seconds

    def patience(self, deadline: float = 3000, settled: float = 120) -> Patience:
        """Patience by this clock, with the longest of each delay."""
        return Patience(
            self.read, self.sleep, lambda _, most: most, self.now + deadline, self.now + settled
        )


def failing(times: int, error: AgentError) -> Callable[[], str]:
    """Something that fails so many times, and then does not."""
    left = [error] * times

    def attempt() -> str:
        if left:
            raise left.pop()
        return "done"

    return attempt


def aws(healing: Healing) -> AWSError:
    """An error of AWS that heals so."""
    return AWSError("it failed", code="X", healing=healing)


def test_trouble_that_passes_is_tried_again_until_it_has_passed() -> None:
    """With delays that double up to a bound."""
    clock = Clock()
    assert clock.patience().persist(failing(9, aws(Healing.ALWAYS)), lambda _: None) == "done"
    assert clock.slept == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, LONGEST_DELAY, LONGEST_DELAY]


def test_delays_are_spread_by_chance() -> None:
    """Between half and the whole of each."""
    clock, asked = Clock(), []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return low

    patience = Patience(clock.read, clock.sleep, uniform, clock.now + 100, clock.now + 100)
    patience.persist(failing(2, aws(Healing.ALWAYS)), lambda _: None)
    assert asked == [(0.1, 0.2), (0.2, 0.4)]


def test_trouble_that_does_not_pass_ends_at_the_deadline_with_3() -> None:
    """Never later, and with what was wrong."""
    clock = Clock()
    with pytest.raises(NotByDeadlineError, match="it failed") as caught:
        clock.patience(deadline=50).persist(failing(99, aws(Healing.ALWAYS)), lambda _: None)
    assert caught.value.exit_status == 3
    assert sum(clock.slept) < 50


def test_a_refusal_is_final_once_a_new_role_would_have_settled() -> None:
    """With its own exit status, long before the deadline."""
    clock = Clock()
    with pytest.raises(NoGrantYetError) as caught:
        clock.patience().persist(failing(99, NoGrantYetError("no grant")), lambda _: None)
    assert caught.value.exit_status == 2
    assert 60 < sum(clock.slept) < 120


def test_what_cannot_heal_ends_at_once() -> None:
    """Without a second attempt."""
    clock = Clock()
    with pytest.raises(AWSError):
        clock.patience().persist(failing(1, aws(Healing.NEVER)), lambda _: None)
    assert clock.slept == []


def test_the_same_trouble_is_told_once() -> None:
    """An hour of throttling is one line."""
    said: list[str] = []
    Clock().patience().persist(failing(9, MetadataError("busy")), said.append)
    assert said == ["busy"]


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("Throttling", 400, Healing.ALWAYS),
        ("SlowDown", 503, Healing.ALWAYS),
        ("RequestLimitExceeded", 503, Healing.ALWAYS),
        ("Whatever", 500, Healing.ALWAYS),
        ("Whatever", 429, Healing.ALWAYS),
        ("InternalError", 200, Healing.ALWAYS),
        ("RequestTimeTooSkewed", 403, Healing.ALWAYS),
        ("ExpiredToken", 400, Healing.ALWAYS),
        ("AccessDenied", 403, Healing.SETTLING),
        ("InvalidAccessKeyId", 403, Healing.SETTLING),
        ("InvalidClientTokenId", 403, Healing.SETTLING),
        ("NoSuchEntity", 404, Healing.SETTLING),
        ("NoSuchKey", 404, Healing.NEVER),
        ("NoSuchBucket", 404, Healing.NEVER),
        ("InvalidObjectState", 403, Healing.NEVER),
        ("SignatureDoesNotMatch", 403, Healing.NEVER),
        ("ValidationError", 400, Healing.NEVER),
    ],
)
def test_aws_codes_are_in_named_sets(code: str, status: int, expected: Healing) -> None:
    """Each code heals as its set does."""
    assert healing_of(code, status) is expected


def test_calls_run_together_and_answer_in_their_order() -> None:
    """More calls than threads, too; two of them at least at the same time."""
    both = threading.Barrier(2, timeout=10)

    def meet(name: int) -> int:
        if name < 2:
            both.wait()
        return name

    calls = [lambda name=name: meet(name) for name in range(WIDTH * 3)]
    assert together(calls, 10) == list(range(WIDTH * 3))


def test_the_first_failure_in_order_is_the_one_that_is_told() -> None:
    """Whichever came first in time."""

    def fail(name: str) -> None:
        raise MetadataError(name)

    with pytest.raises(MetadataError, match="first"):
        together([lambda: None, lambda: fail("first"), lambda: fail("second")], 10)


def test_a_call_that_does_not_end_is_left_alone() -> None:
    """The caller goes on."""
    never = threading.Event()
    with pytest.raises(TimeoutError):
        in_time(never.wait, 0.05)
    never.set()


def test_no_calls_have_no_answers() -> None:
    """Nothing to ask is nothing to wait for."""
    assert together([], 1) == []
