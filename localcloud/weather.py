"""Random faults that can be had again: what meets a call follows from a seed. Pure.

The draw depends on the seed, the service, the action and how often that action was called since
the weather began, and on nothing else: not on the order in which different actions arrive, nor on
time. So a run that makes the same calls meets the same faults.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from localcloud.wire import Call

__all__ = ["KINDS", "MAKING", "Gust", "Weather"]

KINDS = ("throttled", "failed", "failed-after", "lost", "lost-after", "latency", "hidden")
"""What may meet a call: see `Weather`."""

MAKING = ("RequestSpotFleet", "RunInstances", "CreateFleet")
"""Actions of EC2 whose fruit may be hidden for a while."""

# The codes of the services' API references ("Common errors", and each action's own). EC2: "Error
# codes for the Amazon EC2 API"; Lambda and S3 have their own words for throttling.
_THROTTLED = {
    "ec2": ("RequestLimitExceeded", 503),
    "lambda": ("TooManyRequestsException", 429),
    "s3": ("SlowDown", 503),
    "iam": ("Throttling", 400),
    "sts": ("Throttling", 400),
    "cloudformation": ("Throttling", 400),
}
_FAILED = {
    "ec2": ("InternalError", 500),
    "events": ("InternalException", 500),
    "lambda": ("ServiceException", 500),
    "s3": ("InternalError", 500),
    "iam": ("ServiceFailure", 500),
}


@dataclass(frozen=True, slots=True)
class Gust:
    """What meets one call.

    Attributes:
        kind: Of `KINDS`.
        code: AWS's error code; empty if the answer is lost or given.
        status: HTTP status of the error.
        wait: Seconds by which the call is late.
        hide: Seconds for which what it makes is hidden.
    """

    kind: str
    code: str = ""
    status: int = 0
    wait: float = 0.0
    hide: float = 0.0


@dataclass(slots=True)
class Weather:
    """Meets each call with some probability.

    `throttled` and `failed` are answered instead of acted on, with the code and the status that
    the service uses; `failed-after` has acted. `lost` breaks the connection before the call acts,
    `lost-after` when it has. `latency` makes it late. `hidden` lets what it makes be absent for a
    while (see `localcloud.world`), and meets only the actions of `MAKING`.

    Attributes:
        seed: Any text or number.
        chance: The probability, from 0 to 1, that a call meets anything.
        kinds: What it may be, of `KINDS`, each as likely.
        latency: The longest that a call is late, seconds.
        hidden: The longest that something is hidden, seconds.
    """

    seed: str | int
    chance: float
    kinds: Sequence[str] = KINDS
    latency: float = 0.05
    hidden: float = 1.0
    _called: dict[tuple[str, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            ValueError: Naming the field that is wrong.
        """
        if not 0 <= self.chance <= 1:
            raise ValueError(f"chance is from 0 to 1, not {self.chance!r}")
        if unknown := [kind for kind in self.kinds if kind not in KINDS]:
            raise ValueError(f"kinds are of {KINDS}, not {unknown!r}")
        if self.latency < 0 or self.hidden < 0:
            raise ValueError("latency and hidden are seconds, at least 0")

    def meet(self, call: Call) -> Gust | None:
        """Count a call, and return what meets it."""
        nth = self._called.get((call.service, call.action), 0)
        self._called[call.service, call.action] = nth + 1
        kinds = [kind for kind in self.kinds if kind != "hidden" or call.action in MAKING]
        draw = random.Random(f"{self.seed}/{call.service}/{call.action}/{nth}")  # noqa: S311  (no secret)
        if not kinds or draw.random() >= self.chance:
            return None
        kind, share = draw.choice(kinds), draw.random()
        if kind == "throttled":
            return Gust(kind, *_THROTTLED.get(call.service, ("ThrottlingException", 400)))
        if kind.startswith("failed"):
            return Gust(kind, *_FAILED.get(call.service, ("InternalFailure", 500)))
        if kind == "latency":
            return Gust(kind, wait=share * self.latency)
        if kind == "hidden":
            return Gust(kind, hide=share * self.hidden)
        return Gust(kind)
