"""How the cloud behaves today, and what is kept of a Region beside what moto keeps.

The settings are those of `localcloud.controls.Controls`; they are no faults of single calls, but
what AWS may do at any time:

* capacity that comes late, partly or not at all (EC2 User Guide, "Spot Fleet request states");
* things that are not seen at once (EC2 Developer Guide, "Eventual consistency in the Amazon EC2
  API");
* instances that take time to end (EC2 User Guide, "Instance lifecycle").

Nothing runs by itself: whatever time has brought is done when the next call comes, before it is
answered. Calls come one at a time (see `faults.Layer`), and settings change between them, so that
nothing here is locked.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from localcloud.fleets import Fleet
    from localcloud.tokens import Remembered

__all__ = ["LARGEST_PAGE", "Region", "World", "region_of", "world"]

LARGEST_PAGE = 1000
_OURS = "localcloud"


@dataclass(slots=True)
class World:
    """The settings, and whose call is being answered.

    Attributes:
        most: As many instances may live in a Region; None is any number.
        delay: Seconds until the first instance of a Spot Fleet comes.
        step: Seconds from each instance of a Spot Fleet to its next.
        hide: Seconds for which what is made is hidden.
        slow_end: Seconds for which an instance is `shutting-down`.
        page_size: As many items may a page hold.
        stack_pace: Seconds that each resource of a stack takes.
        onlooker: The call is an onlooker's, who sees everything.
    """

    most: int | None = None
    delay: float = 0.0
    step: float = 0.0
    hide: float = 0.0
    slow_end: float = 0.0
    page_size: int = LARGEST_PAGE
    stack_pace: float = 0.0
    onlooker: bool = False


world = World()
"""There is one, as there is one moto in a process."""


@dataclass(slots=True)
class Region:
    """A Region of an account: what moto does not keep, or not so that it is found quickly.

    Attributes:
        instances: All by id, those that ended too; moto's own objects.
        living: The ids of those that have not ended or begun to.
        reservations: By numbers, in the order in which they were made; moto's own objects.
        reservation_of: Instance id to its reservation's number.
        fleets: Spot Fleets by id.
        fleet_of: Instance id to its Spot Fleet.
        wanting: The Spot Fleets that lack instances, by id.
        expiring: When Spot Fleets expire, epoch seconds, and their ids; a heap.
        hidden: Until when an id is hidden, epoch seconds.
        ending: When an instance that is shutting down will be terminated, epoch seconds.
        made: What the call that is being answered has made; it is hidden when the call is over.
        tokens: Action and client token to what was answered.
    """

    instances: dict[str, Any] = field(default_factory=dict)
    living: set[str] = field(default_factory=set)
    reservations: dict[int, Any] = field(default_factory=dict)
    reservation_of: dict[str, int] = field(default_factory=dict)
    fleets: dict[str, "Fleet"] = field(default_factory=dict)
    fleet_of: dict[str, "Fleet"] = field(default_factory=dict)
    wanting: dict[str, "Fleet"] = field(default_factory=dict)
    expiring: list[tuple[float, str]] = field(default_factory=list)
    hidden: dict[str, float] = field(default_factory=dict)
    ending: dict[str, float] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    tokens: dict[tuple[str, str], "Remembered"] = field(default_factory=dict)
    numbers: int = 0

    def number(self) -> int:
        """Return the next of the numbers that keep the order in which things were made."""
        self.numbers += 1
        return self.numbers

    @property
    def room(self) -> int:
        """How many more instances may live here."""
        return 2**31 if world.most is None else max(0, world.most - len(self.living))

    def sees(self, identity: str) -> bool:
        """Whether whoever asks now sees the fleet or instance of this id."""
        return identity not in self.hidden_now

    @property
    def hidden_now(self) -> Collection[str]:
        """The ids that whoever asks now does not see."""
        return () if world.onlooker else self.hidden

    def hide_made(self, seconds: float) -> None:
        """Hide what was just made for so long."""
        if seconds > 0:
            until = time.time() + seconds
            self.hidden.update(dict.fromkeys(self.made, until))
        self.made.clear()

    def show_due(self, now: float) -> None:
        """Show what has been hidden long enough."""
        if self.hidden:
            self.hidden = {one: until for one, until in self.hidden.items() if until > now}


def region_of(backend: Any) -> Region:  # noqa: ANN401  (moto)
    """Return what is kept of the Region that a backend of moto's stands for.

    It is kept in the backend itself, and so is gone when moto is emptied.
    """
    kept: Region | None = vars(backend).get(_OURS)
    if kept is None:
        kept = vars(backend)[_OURS] = Region()
    return kept
