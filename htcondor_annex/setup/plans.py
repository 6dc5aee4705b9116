"""What a stack is asked to be: its template and its parameters. Pure.

What -setup is not told stays as the stack has it, so that repeating it without a flag neither opens
a port nor takes a boundary away.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from htcondor_annex.setup import stacks
from htcondor_annex.templates import (
    bucket_template,
    fleet_role_template,
    lease_template,
    role_template,
    security_group_template,
)
from htcondor_annex.templates.network import PoolAddressError, check_addresses
from htcondor_annex.templates.role import ANNEX_KEY

__all__ = ["MAX_TEMPLATE", "Plan", "Wishes", "addresses_of", "plan", "template"]

MAX_TEMPLATE = 51_200
"""Bytes of a template that is sent with the request (CloudFormation User Guide, "Quotas")."""

Template = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user said; None leaves a thing as it is.

    Attributes:
        vpc: The security group's VPC.
        addresses: Networks in CIDR form from which the pool reaches instances; may be empty.
        boundary: ARN of the roles' permissions boundary; empty takes it away.
    """

    vpc: str | None = None
    addresses: tuple[str, ...] | None = None
    boundary: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A stack's template, as text, and its parameters, name to value."""

    template: str
    parameters: Mapping[str, str]


def addresses_of(template: Template) -> list[str]:
    """Return the networks that a security group's template lets in, if -setup could have set them.

    Whatever else it lets in is left out, and so taken for a change that somebody made.
    """
    group = template.get("Resources", {}).get("SecurityGroup", {}).get("Properties", {})
    found = [
        rule.get("CidrIp", rule.get("CidrIpv6"))
        for rule in group.get("SecurityGroupIngress", [])
        if isinstance(rule, Mapping)
    ]
    try:
        return check_addresses([one for one in found if isinstance(one, str)])
    except PoolAddressError:
        return []


def template(name: str, addresses: Sequence[str] = ()) -> Template:
    """Return the template of a stack.

    Args:
        name: One of `stacks.STACKS`.
        addresses: Those that the security group lets in.
    """
    if name == stacks.GROUP:
        return security_group_template(addresses)
    return {
        stacks.BUCKET: bucket_template,
        stacks.FUNCTION: lease_template,
        stacks.ROLE: role_template,
        stacks.FLEET_ROLE: fleet_role_template,
    }[name]()


def plan(
    name: str,
    wishes: Wishes,
    outputs: Mapping[str, str],
    kept: Mapping[str, str],
    addresses: Sequence[str],
) -> Plan:
    """Return what a stack is asked to be.

    Args:
        name: One of `stacks.STACKS`.
        wishes: The user's; the security group's VPC must be known by now, from here or from `kept`.
        outputs: Of the stacks that it needs.
        kept: The parameters that the stack has; empty for a new one.
        addresses: The networks that the stack lets in; empty for a new one.
    """
    wished: dict[str, str | None] = {
        "ConfigurationBucket": outputs.get("BucketName"),
        "Bucket": outputs.get("BucketName"),
        "Key": ANNEX_KEY,
        "VpcId": wishes.vpc,
        "PermissionsBoundary": wishes.boundary,
    }
    made = template(name, addresses if wishes.addresses is None else wishes.addresses)
    parameters = {}
    for parameter in made.get("Parameters", {}):
        value = wished[parameter]
        if value is None:
            value = kept.get(parameter)
        if value is not None:
            parameters[parameter] = value
    text = json.dumps(made, separators=(",", ":"))
    return Plan(text, parameters)
