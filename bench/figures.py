"""Samples, their spread, and the aims beside them."""

import random
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Aim", "Spread", "head", "interleaved", "show", "show_aim"]

_LEAST_FOR_QUARTILES = 2


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some samples, and their quartiles."""

    low: float
    median: float
    high: float
    count: int

    @classmethod
    def of(cls, samples: Sequence[float]) -> "Spread":
        """Return the spread of at least one sample."""
        if len(samples) < _LEAST_FOR_QUARTILES:
            return cls(samples[0], samples[0], samples[0], len(samples))
        low, median, high = statistics.quantiles(samples, n=4, method="inclusive")
        return cls(low, median, high, len(samples))


@dataclass(frozen=True, slots=True)
class Aim:
    """What a figure should be at most, or (with `least`) at least."""

    what: str
    most: float
    unit: str = "times"
    least: bool = False

    def met(self, figure: float) -> bool:
        """Whether a figure is good enough."""
        return figure >= self.most if self.least else figure <= self.most


def interleaved(
    contestants: Mapping[str, Callable[[], float]], runs: int, *, warm_up: int = 1
) -> dict[str, Spread]:
    """Measure several things in turns, so that a noisy minute meets all of them.

    Args:
        contestants: Name to what makes one sample.
        runs: Samples of each.
        warm_up: Rounds that are not counted.
    """
    samples: dict[str, list[float]] = {name: [] for name in contestants}
    for number, names in enumerate(_rounds(tuple(contestants), runs + warm_up)):
        for name in names:
            sample = contestants[name]()
            if number >= warm_up:
                samples[name].append(sample)
    return {name: Spread.of(found) for name, found in samples.items()}


def _rounds(names: Sequence[str], count: int) -> Iterator[list[str]]:
    """Give the names in another order each round: whoever follows whom must not matter."""
    order = random.Random(0)  # noqa: S311  (a shuffle, no secret)
    for _ in range(count):
        yield order.sample(names, len(names))


def head(text: str) -> None:
    """Print a bench's title."""
    print(f"\n{text}", flush=True)


def show(name: str, spread: Spread, unit: str, note: str = "", *, digits: int = 1) -> None:
    """Print one line: the median, and the quartiles in brackets."""
    print(
        f"  {name:<46}{spread.median:9.{digits}f} {unit:<4}"
        f" [{spread.low:.{digits}f} .. {spread.high:.{digits}f}]"
        f"  n={spread.count}{note and '  ' + note}",
        flush=True,
    )


def show_aim(aim: Aim, figure: float) -> bool:
    """Print a figure with its aim; return whether it is met."""
    met = aim.met(figure)
    print(
        f"  {aim.what:<46}{figure:9.3f} {aim.unit:<5} "
        f"aim: at {'least' if aim.least else 'most'} {aim.most:g}: "
        f"{'met' if met else 'NOT MET'}",
        flush=True,
    )
    return met
