"""The stacks of a Region, their resources and what happened to them.

Source: CloudFormation API Reference ("Stack", "StackEvent", "StackResource") and User Guide ("Stack
status codes"). They are kept in moto's backend of the Region, and so are gone when moto is emptied.
"""

import copy
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from moto.cloudformation.models import cloudformation_backends

from localcloud.authority import Caller
from localcloud.cfnkinds import Thing, Wanted
from localcloud.cfntemplate import Scope

__all__ = ["Event", "Plan", "Resource", "Stack", "every_stack", "stacks_of", "time_of"]

_OURS = "localcloud"
_STACK = "AWS::CloudFormation::Stack"


def time_of(seconds: float) -> datetime:
    """Return an epoch time as moto's writer takes it."""
    return datetime.fromtimestamp(seconds, UTC)


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to a stack or a resource of it, and when (epoch seconds)."""

    identity: str
    logical: str
    physical: str
    kind: str
    status: str
    reason: str
    time: float
    token: str


@dataclass(slots=True)
class Resource(Thing):
    """A resource of a stack.

    Attributes:
        logical: Its logical id.
        kind: Such as `AWS::IAM::Role`.
        needs: The logical ids that it depends on.
        keep: Its DeletionPolicy is Retain.
        want: How it was last brought about.
        status: Such as `CREATE_COMPLETE`.
        reason: Goes with the status.
        time: Of the status, epoch seconds.
    """

    logical: str = ""
    kind: str = ""
    needs: frozenset[str] = frozenset()
    keep: bool = False
    want: Wanted = field(default_factory=Wanted)
    status: str = ""
    reason: str = ""
    time: float = 0.0

    def __post_init__(self) -> None:
        """Name it as itself until it has a better name."""
        self.name = self.name or self.logical


@dataclass(frozen=True, slots=True)
class Plan:
    """What a stack is asked to be.

    Attributes:
        text: The template as it was given.
        template: The same, read.
        parameters: All of them, as texts.
        scope: With parameters and conditions, and no resources.
        order: Logical id to those that it depends on, in the order of making.
        tags: Of the stack.
        capabilities: That were acknowledged.
    """

    text: str
    template: Mapping[str, Any]
    parameters: Mapping[str, str]
    scope: Scope
    order: Mapping[str, frozenset[str]]
    tags: Mapping[str, str]
    capabilities: tuple[str, ...] = ()


@dataclass(slots=True)
class Stack:
    """A stack.

    Attributes:
        identity: Its ARN.
        name: Unique among those that are not deleted.
        region: The AWS region.
        plan: What it is, or is becoming.
        created: Epoch seconds; so are the other times. 0 is not yet.
        who: In whose name it is worked on; None may do all.
        protected: It cannot be deleted.
        on_failure: ROLLBACK, DELETE or DO_NOTHING.
        outputs: Of the last time that it was complete.
        tokens: ClientRequestToken to what it was given with.
        work: What is being done; each step takes the pace of `World.stack_pace`.
        due: When the next step is.
        now: When the step is that is being done.
    """

    identity: str
    name: str
    region: str
    plan: Plan
    created: float
    who: Caller | None = None
    role: str = ""
    protected: bool = False
    on_failure: str = "ROLLBACK"
    updated: float = 0.0
    deleted: float = 0.0
    status: str = ""
    reason: str = ""
    token: str = ""
    outputs: list[dict[str, str]] = field(default_factory=list)
    resources: dict[str, Resource] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    tokens: dict[str, Any] = field(default_factory=dict)
    work: Iterator[None] | None = None
    due: float = 0.0
    now: float = 0.0

    @property
    def busy(self) -> bool:
        """Whether something is being done to it."""
        return self.status.endswith("_IN_PROGRESS")

    @property
    def scope(self) -> Scope:
        """What its template's functions see."""
        made = {name: one for name, one in self.resources.items() if one.physical}
        plain = self.plan.scope
        return Scope(plain.values, plain.conditions, plain.mappings, made)

    def mark(self, status: str, reason: str = "") -> None:
        """Bring the stack into a status."""
        self.status, self.reason = status, reason
        self._happened(self.name, self.identity, _STACK, status, reason)

    def tell(self, one: Resource, status: str, reason: str = "") -> None:
        """Bring a resource into a status."""
        one.status, one.reason, one.time = status, reason, self.now
        self._happened(one.logical, one.physical, one.kind, status, reason)

    def _happened(self, logical: str, physical: str, kind: str, status: str, reason: str) -> None:
        identity = str(uuid.uuid4())
        if kind != _STACK:
            identity = f"{logical}-{status}-{identity}"
        self.events.append(
            Event(identity, logical, physical, kind, status, reason, self.now, self.token)
        )

    def copied(self) -> dict[str, Resource]:
        """Return the resources as they are, whatever becomes of them."""
        return {name: copy.copy(one) for name, one in self.resources.items()}


def stacks_of(backend: Any) -> dict[str, Stack]:  # noqa: ANN401  (moto)
    """Return the stacks of the Region that a backend of moto's stands for, by id, oldest first."""
    kept: dict[str, Stack] | None = vars(backend).get(_OURS)
    if kept is None:
        kept = vars(backend)[_OURS] = {}
    return kept


def every_stack() -> Iterator[Stack]:
    """Give the stacks of all accounts and Regions."""
    for account in list(cloudformation_backends.values()):
        for backend in list(account.values()):
            yield from list(stacks_of(backend).values())
