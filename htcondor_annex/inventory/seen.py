"""What AWS describes, as frozen records: fleets, instances and rules with the annex's tags. Pure.

Sources: EC2 API reference, SpotFleetRequestConfig and Instance; EC2 User Guide, "Spot Fleet request
states" and "Instance lifecycle".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from htcondor_annex import tags

__all__ = [
    "ALIVE",
    "Fleet",
    "Instance",
    "Marks",
    "Rule",
    "read_fleet",
    "read_instance",
    "read_marks",
]

ALIVE = ("pending", "running", "stopping", "stopped")
"""Instance states from which it may still work, or cost something; the rest is its end."""
_CANCELLED = frozenset({"cancelled", "cancelled_running", "cancelled_terminating"})
_OVER = "cancelled"
_EPOCH = re.compile(r"[0-9]{1,12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Marks:
    """Whose a thing is, by its tags; empty where it carries none.

    Attributes:
        expires: The lease's end, epoch seconds; None if no tag tells it.
    """

    annex_id: str = ""
    annex_name: str = ""
    annexd_id: str = ""
    expires: int | None = None


@dataclass(frozen=True, slots=True)
class Fleet:
    """A Spot Fleet request.

    Attributes:
        state: As AWS names it, such as `active` or `cancelled_running`.
        activity: ActivityStatus, such as `fulfilled`; may be empty.
    """

    id: str
    state: str
    activity: str
    marks: Marks

    @property
    def cancelled(self) -> bool:
        """Whether it launches nothing any more."""
        return self.state in _CANCELLED

    @property
    def over(self) -> bool:
        """Whether it is cancelled, and AWS knows of no instance of it that lives."""
        return self.state == _OVER


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance; `fleet_id` is AWS's own tag, empty if no Spot Fleet launched it."""

    id: str
    state: str
    fleet_id: str
    marks: Marks

    @property
    def alive(self) -> bool:
        """Whether it is not yet ending."""
        return self.state in ALIVE


@dataclass(frozen=True, slots=True)
class Rule:
    """An EventBridge rule with the name of an annex's rule."""

    name: str
    arn: str
    annex_id: str


def _tags(listed: object) -> dict[str, str]:
    pairs = listed if isinstance(listed, list) else []
    return {str(tag.get("Key")): str(tag.get("Value")) for tag in pairs if isinstance(tag, Mapping)}


def read_marks(listed: object) -> Marks:
    """Return whose a thing is by AWS's list of Key and Value."""
    found = _tags(listed)
    expires = found.get(tags.LEASE_EXPIRES, "")
    return Marks(
        annex_id=found.get(tags.ANNEX_ID, ""),
        annex_name=found.get(tags.ANNEX_NAME, ""),
        annexd_id=found.get(tags.ANNEXD, ""),
        expires=int(expires) if _EPOCH.fullmatch(expires) else None,
    )


def read_fleet(described: Mapping[str, Any]) -> Fleet:
    """Return one of DescribeSpotFleetRequests' SpotFleetRequestConfigs."""
    return Fleet(
        id=str(described.get("SpotFleetRequestId", "")),
        state=str(described.get("SpotFleetRequestState", "")),
        activity=str(described.get("ActivityStatus") or ""),
        marks=read_marks(described.get("Tags")),
    )


def read_instance(described: Mapping[str, Any]) -> Instance:
    """Return one of DescribeInstances' Instances."""
    return Instance(
        id=str(described.get("InstanceId", "")),
        state=str((described.get("State") or {}).get("Name", "")),
        fleet_id=_tags(described.get("Tags")).get(tags.FLEET, ""),
        marks=read_marks(described.get("Tags")),
    )
