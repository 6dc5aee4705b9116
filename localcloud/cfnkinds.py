"""What a resource type is to the stacks, and the names that CloudFormation gives.

Sources: the schemas of AWS's resource types (createOnlyProperties, readOnlyProperties, tagging);
CloudFormation User Guide, "Update behaviors of stack resources"; for the names, those of real
stacks: STACK-LOGICALID-RANDOM.
"""

import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from localcloud.cfncalls import Failure, Hand

__all__ = ["Kind", "Thing", "Wanted", "as_list", "checked", "name_for"]

_RANDOM = 12
_LETTERS = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a resource should be.

    Attributes:
        properties: As the template has them, functions worked out.
        tags: The stack's and the resource's own.
    """

    properties: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Thing:
    """A resource as it is.

    Attributes:
        name: What it is called if the template does not name it.
        physical: Its id, which Ref gives; empty until there is something to remove.
        attributes: What Fn::GetAtt gives.
    """

    name: str
    physical: str = ""
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource type.

    Attributes:
        name: Such as `AWS::IAM::Role`.
        make: Makes it; sets `physical` as soon as there is something to remove.
        change: Brings it from what it was to what is wanted; may be done again.
        unmake: Removes it; what is gone already is no failure.
        known: The properties that it heeds; another one fails the resource.
        replaced: Those whose change needs a new one.
        attributes: What Fn::GetAtt gives.
        named: The property that names it; empty if there is none.
        longest: The most characters of its name.
        tagged: Whether it takes the stack's tags.
    """

    name: str
    make: Callable[[Hand, Thing, Wanted], None]
    change: Callable[[Hand, Thing, Wanted, Wanted], None]
    unmake: Callable[[Hand, Thing, Wanted], None]
    known: frozenset[str]
    replaced: frozenset[str] = frozenset()
    attributes: frozenset[str] = frozenset()
    named: str = ""
    longest: int = 128
    tagged: bool = False


def name_for(kind: Kind, stack: str, logical: str) -> str:
    """Return a new name for a resource, no longer than its kind takes."""
    random = "".join(secrets.choice(_LETTERS) for _ in range(_RANDOM))
    if kind.name == "AWS::IAM::Policy":
        return f"{stack[:5]}-{logical[:4]}-{random}"
    room = kind.longest - _RANDOM - 2
    logical = logical[: max(room - len(stack), room // 2)]
    name = f"{stack[: room - len(logical)]}-{logical}-{random}"
    return name.lower() if kind.name == "AWS::S3::Bucket" else name


def checked(kind: Kind, want: Wanted) -> None:
    """Check that a kind heeds all that is wanted.

    Raises:
        Failure: If it does not.
    """
    unknown = sorted(want.properties.keys() - kind.known)
    if unknown:
        raise Failure(
            f"Properties validation failed for resource of type {kind.name} with message: "
            f"extraneous key [{unknown[0]}] is not permitted (by the local cloud)"
        )


def as_list(tags: Mapping[str, str]) -> list[dict[str, str]] | None:
    """Return tags as most of AWS takes them; None if there are none."""
    return [{"Key": key, "Value": value} for key, value in tags.items()] or None
