"""One scenario, killed at every point that is found, one run for each.

The points are found by a run that only records them; whatever a later run passes that was not
seen before is swept as well. A point is a label and the how-manieth of its label it is, so that
calls that run side by side do not change what a number means.
"""

import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.crash.host import QUIET, Asked, Host, Site
from tests.support import Ended

__all__ = ["NOWHERE", "Outcome", "Point", "Scenario", "Sweep"]

_TRIES = 2  # two commits may share a write in one run and not in the next
_MOST_FAILURES = 4
_STRAGGLING = 0.5  # seconds between two points that nobody waits for


class Point(NamedTuple):
    """A crash point: its label, and the how-manieth of its label it is, from 1."""

    label: str
    occurrence: int

    def __str__(self) -> str:
        """Return it for people."""
        return f"{self.label} ({self.occurrence})"


NOWHERE = Point("", 0)
"""No point: what passes any is recorded."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is done while the daemon is killed.

    Attributes:
        prepare: Brings about what is there before; no point counts yet.
        ask: Starts the tool.
        check: Sees that the tool's answer was true, and what it is told when it asks again; all
            is settled by then. Raises AssertionError.
        method: What ends the annex in AWS (ANNEX_LEASE_METHOD).
    """

    name: str
    prepare: Callable[[Host], None]
    ask: Callable[[Host], Asked]
    check: Callable[[Host, Ended], None]
    method: str = "RULE"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run.

    Attributes:
        point: Where the daemon was to die.
        reached: Whether it did.
        passed: The points that it passed.
        status: The tool's exit status; None if there was no answer.
        seconds: What the run took.
        failure: What was wrong, or empty.
    """

    point: Point
    reached: bool
    passed: tuple[Point, ...]
    status: int | None
    seconds: float
    failure: str


def _numbered(labels: Iterable[str]) -> tuple[Point, ...]:
    seen: Counter[str] = Counter()
    points = []
    for label in labels:
        seen[label] += 1
        points.append(Point(label, seen[label]))
    return tuple(points)


def _let_it_die(host: Host, trace: Path, deaths: int) -> None:
    """Wait for what the daemon does behind the tool's back, and for its death in it.

    Args:
        host: All that was asked is done there.
        trace: Grows while the daemon passes points.
        deaths: How many there will be, if the point comes; 0 is none.
    """
    if deaths:
        host.happens(lambda: host.deaths >= deaths, _STRAGGLING)
        return
    while True:
        size = trace.stat().st_size
        if not host.happens(lambda size=size: trace.stat().st_size > size, _STRAGGLING):  # type: ignore[misc]  # it is bound at once
            return


def run(
    site: Site, directory: Path, scenario: Scenario, point: Point, first: Point | None = None
) -> Outcome:
    """Run a scenario once, with a daemon that dies at a point.

    Args:
        site: Where.
        directory: A new one; it is left where something was wrong.
        scenario: Which.
        point: The daemon's last; `NOWHERE` only records. Points count from the question on.
        first: If given, a daemon dies there before, and it is the next that dies at `point`: its
            points count from its start.
    """
    began = time.monotonic()
    status: int | None = None
    failure = ""
    site.empty()
    deaths = 1 if first is None else 2
    knobs = {**QUIET, "ANNEX_LEASE_METHOD": scenario.method}
    with Host(site, directory, knobs) as host:
        if first is not None:
            host.plan_crash(*first)
        trace = host.plan_crash(*point)
        try:
            host.start()
            scenario.prepare(host)
            host.arm()
            answer = host.answer(scenario.ask(host))
            status = answer.status
            host.settle()
            assert host.deaths or not first, f"nobody died at {first}"
            _let_it_die(host, trace, 0 if point == NOWHERE else deaths)
            host.settle()
            host.disarm()
            scenario.check(host, answer)
        except (AssertionError, TimeoutError):
            failure = f"{traceback.format_exc()}\n{host.log}"
        passed = _numbered(trace.read_text().splitlines())
        reached = host.deaths == deaths
    if not failure:
        host.remove()
    return Outcome(point, reached, passed, status, time.monotonic() - began, failure)


@dataclass(slots=True)
class Sweep:
    """All runs of one scenario, some side by side.

    Attributes:
        first: As `run` has it.
        known: Points that need not be swept again.
        points: Those that were found, and how often each was tried.
        recorded: Those of the run in which nobody died, in their order.
    """

    scenario: Scenario
    directory: Path
    first: Point | None = None
    known: Collection[Point] = ()
    outcomes: list[Outcome] = field(default_factory=list)
    points: dict[Point, int] = field(default_factory=dict)
    recorded: Sequence[Point] = ()
    _waiting: deque[Point] = field(default_factory=deque)
    _busy: int = 0
    _runs: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def run(self, sites: Sequence[Site]) -> None:
        """Record, then die at each point; one run at a time on each site."""
        self.record(sites[0])
        with ThreadPoolExecutor(len(sites)) as workers:
            for work in [workers.submit(self._work, site) for site in sites]:
                work.result()

    def record(self, site: Site) -> None:
        """Run it once with nobody dying, but for the first."""
        outcome = run(site, self.directory / "recording", self.scenario, NOWHERE, self.first)
        assert not outcome.failure, f"without a crash: {outcome.failure}"
        self.recorded = outcome.passed
        self._note(outcome)

    def _next(self) -> Point | None:
        """Return a point to die at, None when there is none left."""
        with self._changed:
            while not self._waiting and self._busy:
                self._changed.wait()
            if not self._waiting or len(self.failures) >= _MOST_FAILURES:
                return None
            self._busy += 1
            self._runs += 1
            return self._waiting.popleft()

    def _work(self, site: Site) -> None:
        while (point := self._next()) is not None:
            directory = self.directory / str(self._runs)
            try:
                self._note(run(site, directory, self.scenario, point, self.first))
            finally:
                with self._changed:
                    self._busy -= 1
                    self._changed.notify_all()

    def _note(self, outcome: Outcome) -> None:
        with self._changed:
            self.outcomes.append(outcome)
            for point in outcome.passed:
                if point not in self.points and point not in self.known:
                    self.points[point] = 0
                    self._waiting.append(point)
            if outcome.point == NOWHERE:
                return
            self.points[outcome.point] += 1
            if not outcome.reached and self.points[outcome.point] < _TRIES:
                self._waiting.append(outcome.point)

    @property
    def failures(self) -> list[Outcome]:
        """The runs that ended wrong."""
        return [outcome for outcome in self.outcomes if outcome.failure]

    @property
    def reached(self) -> set[Point]:
        """The points at which a daemon died."""
        return {outcome.point for outcome in self.outcomes if outcome.reached}

    def report(self) -> str:
        """Return the figures, for people."""
        answers = Counter(outcome.status for outcome in self.outcomes)
        seconds = sum(outcome.seconds for outcome in self.outcomes)
        kinds = Counter(point.label.split()[0] for point in self.points)
        return (
            f"{self.scenario.name}{f' after {self.first}' if self.first else ''}: "
            f"{len(self.points)} points ({dict(kinds)}), {len(self.reached)} died at; "
            f"{len(self.outcomes)} runs of {seconds / len(self.outcomes):.2f} s; "
            f"tool's exit statuses {dict(answers)}"
        )
