"""What a stack's events tell: how far it is, and why it failed. Pure.

Source: CloudFormation API reference, DescribeStackEvents and StackEvent: the newest comes first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

__all__ = ["Operation", "cause", "of_operation"]

Event = Mapping[str, Any]

_DONE = {"CREATE": "created", "UPDATE": "updated", "DELETE": "removed", "IMPORT": "taken in"}
_DOING = {
    "CREATE": "is being created",
    "UPDATE": "is being updated",
    "DELETE": "is being removed",
    "IMPORT": "is being taken in",
}
_FAILED = {
    "CREATE": "could not be created",
    "UPDATE": "could not be updated",
    "DELETE": "could not be removed",
    "IMPORT": "could not be taken in",
}
_BEGINS = frozenset({"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS"})
_CANCELLED = "cancelled"  # "Resource creation cancelled": one that another's failure took along


def _is_stack(event: Event) -> bool:
    return bool(event.get("PhysicalResourceId") == event["StackId"])


def of_operation(newest_first: Iterable[Event]) -> list[Event]:
    """Return the events of what is under way, or was last, oldest first."""
    found: list[Event] = []
    for event in newest_first:
        found.append(event)
        if _is_stack(event) and event.get("ResourceStatus") in _BEGINS:
            break
    found.reverse()
    return found


def _split(status: str) -> tuple[str, str]:
    """Return what is done (`CREATE`) and how it stands (`COMPLETE`)."""
    doing, _, how = status.partition("_")
    return doing, how


def cause(oldest_first: Sequence[Event]) -> str:
    """Return why an operation failed: the first resource that did, and AWS's reason; or empty."""
    failed = [
        event
        for event in oldest_first
        if str(event.get("ResourceStatus", "")).endswith("_FAILED") and not _is_stack(event)
    ]
    told = [one for one in failed if _CANCELLED not in str(one.get("ResourceStatusReason", ""))]
    for event in told or failed:
        doing, _ = _split(event["ResourceStatus"])
        reason = event.get("ResourceStatusReason") or "AWS gives no reason"
        words = _FAILED.get(doing, "failed")
        return f"{event['LogicalResourceId']} {words}: {reason}"
    reasons = [
        str(event["ResourceStatusReason"])
        for event in oldest_first
        if event.get("ResourceStatusReason")
        and "User Initiated" not in event["ResourceStatusReason"]
    ]
    return reasons[0] if reasons else ""


def _when(event: Event) -> float:
    stamp = event["Timestamp"]
    moment = datetime.fromisoformat(stamp) if isinstance(stamp, str) else stamp
    return float(moment.timestamp())


@dataclass(slots=True)
class Operation:
    """What is told of one operation on a stack, each thing once.

    Attributes:
        seen: The ids of the events that have been told, or were there before.
        begun: Logical id to when work on it began, epoch seconds.
    """

    seen: set[str] = field(default_factory=set)
    begun: dict[tuple[str, str], float] = field(default_factory=dict)

    def lines(self, oldest_first: Iterable[Event]) -> list[str]:
        """Return what is new, one line a resource's change."""
        found = []
        for event in oldest_first:
            if event["EventId"] in self.seen:
                continue
            self.seen.add(event["EventId"])
            if not _is_stack(event) and (line := self._line(event)):
                found.append(line)
        return found

    def _line(self, event: Event) -> str:
        name = event["LogicalResourceId"]
        doing, how = _split(event.get("ResourceStatus", ""))
        if how == "IN_PROGRESS":  # twice: begun, and when the resource has its id
            first = (name, doing) not in self.begun
            self.begun.setdefault((name, doing), _when(event))
            return f"{name} {_DOING[doing]}" if first and doing in _DOING else ""
        took = _when(event) - self.begun.get((name, doing), _when(event))
        if how == "COMPLETE" and doing in _DONE:
            return f"{name} {_DONE[doing]} ({took:.1f} s)"
        if how == "FAILED" and doing in _FAILED:
            reason = event.get("ResourceStatusReason") or "AWS gives no reason"
            return f"{name} {_FAILED[doing]}: {reason}"
        return ""  # such as DELETE_SKIPPED
