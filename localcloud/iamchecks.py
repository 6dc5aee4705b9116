"""What one call has IAM check: the words in which the tables of the services say it. Pure.

Sources of these tables: the Service Authorization Reference, whose columns they follow (actions,
resource types, condition keys, dependent actions), and where named the services' own guides.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from localcloud.iamcallers import PARTITION, Caller
from localcloud.iampatterns import Context

__all__ = [
    "ANY",
    "Asked",
    "Check",
    "Table",
    "everything",
    "names",
    "pass_role",
    "request_tags",
    "resource_tags",
]

ANY = "*"


@dataclass(frozen=True, slots=True)
class Check:
    """One question to IAM: an action, an ARN or `*`, the condition keys that come with it."""

    action: str
    resource: str = ANY
    context: Context = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """A call: as `wire.Call` has it, and who makes it."""

    service: str
    action: str
    region: str
    parameters: Mapping[str, Any]
    who: Caller

    def text(self, name: str) -> str:
        """Return a parameter as text; empty if it was not given."""
        return str(self.parameters.get(name) or "")

    def arn(self, rest: str, *, service: str = "") -> str:
        """Return the ARN of something in the caller's account and the call's Region."""
        service = service or self.service
        region = "" if service == "iam" else self.region
        return f"arn:{PARTITION}:{service}:{region}:{self.who.account}:{rest}"

    def check(self, resource: str = ANY, context: Context | None = None, action: str = "") -> Check:
        """Return the question for the action of this call's name, or for another."""
        return Check(f"{self.service}:{action or self.action}", resource, context or {})


Table = Mapping[str, Callable[[Asked], list[Check]]]
"""Action of the API to what IAM checks."""


def everything(asked: Asked) -> list[Check]:
    """Return the check of an action that knows no resources."""
    return [asked.check()]


def names(text: str) -> tuple[str, ...]:
    """Return the names in a text, which spaces part."""
    return tuple(text.split())


def request_tags(tags: Iterable[Mapping[str, Any]] | Mapping[str, str] | None) -> Context:
    """Return the condition keys of the tags that a call would give; none if it gives none."""
    if not tags:
        return {}
    given = (
        tags
        if isinstance(tags, Mapping)
        else {str(tag.get("Key")): str(tag.get("Value", "")) for tag in tags}
    )
    context: dict[str, str | list[str]] = {
        f"aws:RequestTag/{key}": value for key, value in given.items()
    }
    return {**context, "aws:TagKeys": list(given)}


def resource_tags(tags: Mapping[str, str], *services: str) -> Context:
    """Return the condition keys of the tags that something has.

    Args:
        tags: The tags.
        services: Those that have a ResourceTag key of their own, beside `aws`.
    """
    return {
        f"{service}:ResourceTag/{key}": value
        for service in ("aws", *services)
        for key, value in tags.items()
    }


def pass_role(arn: str, service: str) -> Check:
    """Return the check of handing a role to a service, such as `lambda`."""
    return Check("iam:PassRole", arn, {"iam:PassedToService": f"{service}.amazonaws.com"})
