"""The stacks of -setup: which, in which order, and what to do with one in each state. Pure.

Source: CloudFormation User Guide, "Stack status codes".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

__all__ = [
    "ACTS",
    "BUCKET",
    "COMPLETE",
    "FLEET_ROLE",
    "FUNCTION",
    "GROUP",
    "NONE",
    "ROLE",
    "STACKS",
    "TAG",
    "TAG_VALUE",
    "Act",
    "Found",
    "Spec",
    "advice",
    "in_progress",
    "removal",
]

TAG = "htcondor:annex-setup"
"""A stack that carries it, with the value `1`, is ours; no other is ever touched."""
TAG_VALUE = "1"

BUCKET = "HTCondorAnnex-ConfigurationBucket"
ROLE = "HTCondorAnnex-InstanceRole"
FLEET_ROLE = "HTCondorAnnex-FleetRole"
FUNCTION = "HTCondorAnnex-LeaseFunction"
GROUP = "HTCondorAnnex-SecurityGroup"


@dataclass(frozen=True, slots=True)
class Spec:
    """One stack.

    Attributes:
        name: In every region the same.
        what: What it makes, for the reader.
        needs: The stacks whose outputs its parameters are made of.
        iam: It makes roles, which its maker must acknowledge (CAPABILITY_IAM).
    """

    name: str
    what: str
    needs: tuple[str, ...] = ()
    iam: bool = False


STACKS: tuple[Spec, ...] = (
    Spec(BUCKET, "configuration bucket"),
    Spec(FUNCTION, "lease function", needs=(BUCKET,), iam=True),
    Spec(ROLE, "instance role", needs=(BUCKET,), iam=True),
    Spec(FLEET_ROLE, "fleet role", iam=True),
    Spec(GROUP, "security group"),
)


@dataclass(frozen=True, slots=True)
class Found:
    """A stack as AWS shows it.

    Attributes:
        stack_id: Its ARN, which names it also when it has been deleted.
        status: Such as `CREATE_COMPLETE`.
        ours: Whether it carries our tag.
        outputs: Name to value.
        parameters: Name to value.
    """

    stack_id: str
    status: str
    ours: bool
    outputs: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, stack: Mapping[str, Any]) -> "Found":
        """Read one of DescribeStacks' Stacks."""
        tags = {tag["Key"]: tag["Value"] for tag in stack.get("Tags", [])}
        return cls(
            stack_id=stack["StackId"],
            status=stack["StackStatus"],
            ours=tags.get(TAG) == TAG_VALUE,
            outputs={one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", [])},
            parameters={
                one["ParameterKey"]: one.get("ParameterValue", "")
                for one in stack.get("Parameters", [])
            },
        )


class Act(StrEnum):
    """What -setup does with a stack."""

    CREATE = "create"
    UPDATE = "update"
    WAIT = "wait"
    REPLACE = "replace"
    """Delete, then create: CloudFormation lets nothing else be done with it."""
    REFUSE = "refuse"
    """Somebody must decide: `advice` says what."""


NONE = "none"
"""The status of a stack that is not there."""

ACTS: Mapping[str, Act] = {
    NONE: Act.CREATE,
    "DELETE_COMPLETE": Act.CREATE,
    "CREATE_COMPLETE": Act.UPDATE,
    "UPDATE_COMPLETE": Act.UPDATE,
    "UPDATE_FAILED": Act.UPDATE,
    "UPDATE_ROLLBACK_COMPLETE": Act.UPDATE,
    "IMPORT_COMPLETE": Act.UPDATE,
    "IMPORT_ROLLBACK_COMPLETE": Act.UPDATE,
    "CREATE_IN_PROGRESS": Act.WAIT,
    "DELETE_IN_PROGRESS": Act.WAIT,
    "IMPORT_IN_PROGRESS": Act.WAIT,
    "IMPORT_ROLLBACK_IN_PROGRESS": Act.WAIT,
    "ROLLBACK_IN_PROGRESS": Act.WAIT,
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS": Act.WAIT,
    "UPDATE_IN_PROGRESS": Act.WAIT,
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS": Act.WAIT,
    "UPDATE_ROLLBACK_IN_PROGRESS": Act.WAIT,
    "CREATE_FAILED": Act.REPLACE,
    "DELETE_FAILED": Act.REPLACE,
    "ROLLBACK_COMPLETE": Act.REPLACE,
    "ROLLBACK_FAILED": Act.REPLACE,
    "IMPORT_ROLLBACK_FAILED": Act.REFUSE,
    "REVIEW_IN_PROGRESS": Act.REFUSE,
    "UPDATE_ROLLBACK_FAILED": Act.REFUSE,
}

COMPLETE = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"})
"""A stack that is as it was last asked to be."""

_ADVICE = {
    "REVIEW_IN_PROGRESS": "A change set of it waits for somebody's review: execute that, or delete "
    "the stack, in the CloudFormation console. Then repeat.",
    "UPDATE_ROLLBACK_FAILED": "Choose 'Continue update rollback' in the CloudFormation console "
    "(or: aws cloudformation continue-update-rollback --stack-name {name}). Then repeat.",
    "IMPORT_ROLLBACK_FAILED": "Choose 'Continue rollback' in the CloudFormation console. "
    "Then repeat.",
}


def advice(name: str, status: str) -> str:
    """Return what somebody must do about a stack that -setup refuses."""
    text = _ADVICE.get(status, "See what the CloudFormation console says of it, then repeat.")
    return text.format(name=name)


def in_progress(status: str) -> bool:
    """Tell whether CloudFormation is at work on a stack; a change set in review is not work."""
    return ACTS.get(status) is Act.WAIT


def removal() -> tuple[Spec, ...]:
    """Return the stacks for -teardown: each needs those gone that were made of it."""
    users: dict[str, list[str]] = {spec.name: [] for spec in STACKS}
    for spec in STACKS:
        for name in spec.needs:
            users[name].append(spec.name)
    return tuple(
        Spec(spec.name, spec.what, needs=tuple(users[spec.name]), iam=spec.iam)
        for spec in reversed(STACKS)
    )
