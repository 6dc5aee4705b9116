"""A random story: annexes that live side by side, the weather over them, and when the daemon dies.

A story is data alone, so that a failing one can be told as JSON and played again.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

from hypothesis import strategies as st

from htcondor_annex.annex import LeaseMethod
from localcloud.weather import KINDS

__all__ = ["Fault", "Life", "Sky", "Step", "Story", "from_json", "stories", "to_json"]

LONG = 3000
"""A lease that no story outlives, seconds."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that an owner does about an annex.

    Attributes:
        what: `create`, `extend`, `end` or `wait`; or `restart`, which the daemon is told.
        seconds: The lease, or how long to wait.
        tools: How many tools ask at once.
    """

    what: str
    seconds: float = 0
    tools: int = 1


@dataclass(frozen=True, slots=True)
class Life:
    """What is done about one annex name, one step after the other."""

    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """Calls that fail; see `localcloud.faults.Fault`. An empty code loses the answer."""

    action: str
    code: str
    status: int
    when: str
    skip: int
    times: int


@dataclass(frozen=True, slots=True)
class Sky:
    """What AWS is like in general; see `localcloud.controls.Controls`.

    Attributes:
        seed: The weather's.
        chance: The weather's, percent of the calls.
        kinds: The weather's.
        most: How many instances there is room for; None is any number.
        delay: Seconds until a fleet's first instance comes.
        hide: Seconds for which what is made is not seen.
        slow_end: Seconds that an instance takes to end.
    """

    seed: int
    chance: int
    kinds: tuple[str, ...]
    most: int | None
    delay: float
    hide: float
    slow_end: float


@dataclass(frozen=True, slots=True)
class Story:
    """What happens.

    Attributes:
        lives: Of the annexes, all at once.
        faults: Set before the first of them is asked for.
        sky: As is that.
        kills: At which of its crash points each daemon dies, one daemon after the other; 0 is
            none. The points count from the daemon's start.
        method: What ends the annexes in AWS (ANNEX_LEASE_METHOD).
    """

    lives: tuple[Life, ...]
    faults: tuple[Fault, ...]
    sky: Sky
    kills: tuple[int, ...]
    method: str


def to_json(story: Story) -> str:
    """Return a story as one line."""
    return json.dumps(asdict(story), separators=(",", ":"))


def from_json(text: str) -> Story:
    """Return the story that a line tells.

    Raises:
        KeyError: If something of it is missing.
        TypeError: If something of it is unknown.
    """
    told: dict[str, Any] = json.loads(text)
    return Story(
        tuple(Life(tuple(Step(**step) for step in life["steps"])) for life in told["lives"]),
        tuple(Fault(**fault) for fault in told["faults"]),
        Sky(**{**told["sky"], "kinds": tuple(told["sky"]["kinds"])}),
        tuple(told["kills"]),
        told["method"],
    )


# What AWS refuses for good, per action: the services' API references, "Errors".
_REFUSALS = (
    ("RequestSpotFleet", "UnauthorizedOperation", 403),
    ("RequestSpotFleet", "InvalidParameterValue", 400),
    ("PutRule", "LimitExceededException", 400),
    ("PutTargets", "LimitExceededException", 400),
    ("GetFunction", "AccessDeniedException", 403),
    ("GetPolicy", "AccessDeniedException", 403),
    ("DescribeRule", "AccessDeniedException", 403),
)
_CALLS = (
    "RequestSpotFleet",
    "CancelSpotFleetRequests",
    "DescribeSpotFleetRequests",
    "PutRule",
    "PutTargets",
    "RemoveTargets",
    "DeleteRule",
    "GetFunction",
    "GetPolicy",
    "ListRuleNamesByTarget",
    "ListTargetsByRule",
    "CreateTags",
)
_SOON = (0.0, 0.0, 0.1, 0.4)
_tools = st.sampled_from((1, 1, 1, 1, 2))
_creates = st.builds(Step, st.just("create"), st.sampled_from((LONG, LONG, LONG, 2)), _tools)
_later = st.one_of(
    st.builds(Step, st.just("extend"), st.sampled_from((2 * LONG, 3 * LONG, 2)), _tools),
    st.builds(Step, st.just("end"), st.just(0), _tools),
    st.builds(Step, st.just("wait"), st.sampled_from((0.05, 0.2, 0.5)), st.just(1)),
    st.just(Step("restart")),
)


@st.composite
def _lives(draw: st.DrawFn) -> Life:
    """Return a life: it is made, what follows follows, and perhaps it is made once more."""
    first = [draw(_creates), *draw(st.lists(_later, max_size=3))]
    again = [draw(_creates)] if first[-1].what == "end" and draw(st.booleans()) else []
    return Life((*first, *again))


_refusals = st.builds(
    lambda named, skip, times: Fault(named[0], named[1], named[2], "before", skip, times),
    st.sampled_from(_REFUSALS),
    st.integers(0, 3),
    st.integers(1, 3),
)
_losses = st.builds(
    Fault,
    st.sampled_from(_CALLS),
    st.just(""),
    st.just(400),
    st.sampled_from(("before", "after")),
    st.integers(0, 3),
    st.integers(1, 2),
)
_skies = st.builds(
    Sky,
    seed=st.integers(0, 2**32 - 1),
    chance=st.sampled_from((0, 0, 5, 15, 30)),
    kinds=st.sets(st.sampled_from(KINDS), min_size=1).map(lambda kinds: tuple(sorted(kinds))),
    most=st.sampled_from((None, None, None, 0, 3)),
    delay=st.sampled_from(_SOON),
    hide=st.sampled_from(_SOON),
    slow_end=st.sampled_from(_SOON),
)

# A start passes some twenty points, the making of an annex some fifty.
stories = st.builds(
    Story,
    lives=st.lists(_lives(), min_size=2, max_size=6).map(tuple),
    faults=st.lists(st.one_of(_refusals, _losses), max_size=3).map(tuple),
    sky=_skies,
    kills=st.lists(st.integers(1, 160), max_size=4).map(tuple),
    method=st.sampled_from((LeaseMethod.RULE, LeaseMethod.RULE, LeaseMethod.SWEEP)).map(str),
)
"""All stories."""
