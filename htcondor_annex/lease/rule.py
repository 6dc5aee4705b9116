"""The rule of one annex: EventBridge runs the lease function by it every few minutes. Pure.

Source: EventBridge API reference, PutRule and PutTargets; the rule's form is the seed's.
"""

import json
import re
from typing import Any

from htcondor_annex import tags
from htcondor_annex.annex import Identity, Lease
from htcondor_annex.aws.endpoints import LambdaArn

__all__ = [
    "PREFIX",
    "SCHEDULE",
    "annex_of",
    "put_rule_parameters",
    "put_targets_parameters",
    "rule_arn",
    "rule_name",
]

SCHEDULE = "rate(5 minutes)"
PREFIX = "htcondor-annex-"
_NAME = re.compile(PREFIX + r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})", re.ASCII)


def rule_name(annex_id: str) -> str:
    """Return the name of an annex's rule; its one target has the same id."""
    return PREFIX + annex_id


def rule_arn(function: LambdaArn, name: str) -> str:
    """Return the ARN of a rule of the default bus, in the account and region of a function."""
    return f"arn:{function.partition}:events:{function.region}:{function.account}:rule/{name}"


def annex_of(name: str) -> str | None:
    """Return the annex whose rule has this name, or None if it is no annex's."""
    match = _NAME.fullmatch(name)
    return match[1] if match else None


def put_rule_parameters(identity: Identity, lease: Lease) -> dict[str, Any]:
    """Return PutRule's parameters: enabled from the start, so that the lease never waits for us."""
    return {
        "Name": rule_name(identity.id),
        "ScheduleExpression": SCHEDULE,
        "State": "ENABLED",
        "Description": "Ends an HTCondor annex when its lease is over",
        "Tags": tags.pairs(tags.for_annex(identity, lease)),
    }


def put_targets_parameters(identity: Identity, lease: Lease) -> dict[str, Any]:
    """Return PutTargets' parameters: the lease function, and what it is told."""
    name = rule_name(identity.id)
    event = {"AnnexID": identity.id, "LeaseExpiration": lease.expires, "RuleName": name}
    return {
        "Rule": name,
        "Targets": [{"Id": name, "Arn": lease.function_arn, "Input": json.dumps(event)}],
    }
