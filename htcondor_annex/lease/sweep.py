"""The sweep: the rule of the lease function's own stack, which ends annexes by their tags. Pure.

Source: EventBridge API reference, DescribeRule and ListTargetsByRule; EventBridge User Guide,
"Rate expressions".
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from htcondor_annex import strictjson

__all__ = ["INPUT", "MOST_SECONDS", "problem", "schedule_seconds"]

INPUT = {"Sweep": True}
"""What the function must be told: this, and nothing else."""

MOST_SECONDS = 3600
"""The longest that may lie between two sweeps: as long an annex may outlive its lease."""

_RATE = re.compile(r"rate\((\d{1,9}) (minute|hour|day)s?\)", re.ASCII)
_SECONDS = {"minute": 60, "hour": 3600, "day": 86400}
_ALTERED = ("InputPath", "InputTransformer")


def schedule_seconds(expression: str) -> int | None:
    """Return how many seconds lie between two runs of a rule; None if it has no rate."""
    match = _RATE.fullmatch(expression)
    return None if match is None or int(match[1]) == 0 else int(match[1]) * _SECONDS[match[2]]


def _told(target: Mapping[str, Any]) -> object:
    """Return what a target tells its function; None if that is not JSON of its own."""
    if any(target.get(name) for name in _ALTERED):
        return None
    try:
        return strictjson.loads(str(target.get("Input", "")).encode("utf-8", "surrogateescape"))
    except strictjson.JsonError:
        return None


def problem(
    rule: Mapping[str, Any], targets: Sequence[Mapping[str, Any]], function_arn: str
) -> str:
    """Return why a rule is no sweep that can be relied on, in words; empty if it is.

    Args:
        rule: As DescribeRule gives it.
        targets: As ListTargetsByRule gives them.
        function_arn: The lease function's.
    """
    told = [_told(target) for target in targets if target.get("Arn") == function_arn]
    # JSON's true and 1 are equal to Python.
    if not any(isinstance(one, dict) and one == INPUT and one["Sweep"] is True for one in told):
        return "does not tell the function to sweep"
    if rule.get("State") != "ENABLED":
        return f"is {rule.get('State', 'in no state')}"
    expression = str(rule.get("ScheduleExpression", ""))
    seconds = schedule_seconds(expression)
    if seconds is None:
        return f"runs by {expression[:100]!r}, which is no rate"
    if seconds > MOST_SECONDS:
        return f"runs by {expression!r}, less often than once an hour"
    return ""
