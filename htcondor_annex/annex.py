"""An annex: what was asked, what is promised, and where it stands in its life.

All here is pure and frozen. The life is one table, `TRANSITIONS`: the daemon changes a state
only through `advance`, and the picture in docs/ is generated from the table.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from htcondor_annex.errors import RequestError

__all__ = [
    "FINAL",
    "TRANSITIONS",
    "Annex",
    "AnnexEvent",
    "AnnexRequest",
    "AnnexState",
    "Endpoints",
    "Identity",
    "Lease",
    "LeaseMethod",
    "Owner",
    "StepName",
    "advance",
    "check_annex_name",
]


class AnnexState(StrEnum):
    """Where an annex stands."""

    REQUESTED = "requested"
    PROVISIONING = "provisioning"
    ACTIVE = "active"
    ENDING = "ending"
    ENDED = "ended"
    ROLLING_BACK = "rolling back"
    FAILED = "failed"


class AnnexEvent(StrEnum):
    """What moves an annex from one state to the next."""

    STARTED = "the first step starts"
    PROVISIONED = "every step is done"
    STEP_FAILED = "a step failed, or the daemon is told to stop"
    UNDONE = "every step that was done is undone, and seen to be"
    END = "the lease ended, or the owner ends it"
    GONE = "nothing is left in AWS, and seen to be so"


TRANSITIONS: Mapping[tuple[AnnexState, AnnexEvent], AnnexState] = {
    (AnnexState.REQUESTED, AnnexEvent.STARTED): AnnexState.PROVISIONING,
    (AnnexState.REQUESTED, AnnexEvent.STEP_FAILED): AnnexState.ROLLING_BACK,
    (AnnexState.PROVISIONING, AnnexEvent.PROVISIONED): AnnexState.ACTIVE,
    (AnnexState.PROVISIONING, AnnexEvent.STEP_FAILED): AnnexState.ROLLING_BACK,
    (AnnexState.ROLLING_BACK, AnnexEvent.UNDONE): AnnexState.FAILED,
    (AnnexState.ACTIVE, AnnexEvent.END): AnnexState.ENDING,
    (AnnexState.ENDING, AnnexEvent.GONE): AnnexState.ENDED,
}


FINAL = frozenset({AnnexState.ENDED, AnnexState.FAILED})
"""The states in which nothing is left of an annex."""


class StepName(StrEnum):
    """The steps of provisioning and of a lease's update, by the words that the tool prints."""

    CHECK_LEASE_FUNCTION = "check lease function"
    CHECK_LEASE_PERMISSION = "check lease permission"
    CHECK_SWEEP = "check sweep"
    PUT_RULE = "put rule"
    PUT_TARGETS = "put targets"
    REQUEST_SPOT_FLEET = "request spot fleet"
    PUT_TAGS = "put tags"


class LeaseMethod(StrEnum):
    """What in AWS ends an annex without us; ANNEX_LEASE_METHOD."""

    RULE = "RULE"
    """A rule of its own runs the lease function for it."""

    SWEEP = "SWEEP"
    """The sweep of the lease function's stack finds it by its tags."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who asked for an annex, by the kernel's word (SO_PEERCRED)."""

    uid: int
    name: str


@dataclass(frozen=True, slots=True)
class Identity:
    """What names an annex: the random id (UUID4), the name for people, the daemon's own UUID."""

    id: str
    name: str
    annexd_id: str


@dataclass(frozen=True, slots=True)
class Lease:
    """The promise to end an annex.

    Attributes:
        expires: Epoch seconds (UTC) after which nothing of the annex may live.
        function_arn: The lease function that a rule runs to hold the promise without us.
        method: Whose rule: the annex's own, or that of the function's stack.
    """

    expires: int
    function_arn: str
    method: LeaseMethod = LeaseMethod.RULE


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where AWS is reached: one region, three services."""

    region: str
    ec2: str
    events: str
    lambda_: str


@dataclass(frozen=True, slots=True)
class AnnexRequest:
    """What a user asks for, checked for form; `None` leaves a value to the knobs.

    Attributes:
        config: The Spot Fleet configuration (RequestSpotFleet's SpotFleetRequestConfig).
        name: For people; unique among an owner's living annexes.
        lease_duration: Seconds.
        valid_from: Epoch seconds, or None for now.
        valid_until: Epoch seconds, or None for start plus ANNEX_MAX_LEASE.
        count: Overrides the configuration's TargetCapacity.
        region: The AWS region that is asked for; None is wherever the endpoints are.
    """

    config: Mapping[str, Any]
    name: str | None = None
    lease_duration: int | None = None
    lease_function_arn: str | None = None
    access_key_file: str | None = None
    secret_key_file: str | None = None
    count: int | None = None
    valid_from: int | None = None
    valid_until: int | None = None
    region: str | None = None
    ec2_url: str | None = None
    events_url: str | None = None
    lambda_url: str | None = None
    request_token: str | None = None


@dataclass(frozen=True, slots=True)
class Annex:
    """One annex: everything that is needed to go on with it alone, and no secret.

    Attributes:
        parameters: Exactly what RequestSpotFleet is sent, so that a retry sends the same bytes;
            its times are epoch seconds.
        done: Steps whose effect stands in AWS, in the order in which they ended.
        capacity_id: The Spot Fleet request ID, once AWS named it.
        created: Epoch seconds.
        request_token: As the request had it, or empty.
        lease_wanted: The lease's end (epoch seconds) that is promised but does not yet stand in
            AWS; None when there is no update under way.
        activated: When every step was done: epoch seconds.
        ended: When nothing was left of it: epoch seconds.
        last_error: Why it failed or is ending; one line for people, or empty.
        waiting_for: What keeps it from going on just now; one line for people, or empty.
    """

    identity: Identity
    owner: Owner
    lease: Lease
    endpoints: Endpoints
    access_key_file: str
    secret_key_file: str
    client_token: str
    parameters: Mapping[str, Any]
    created: int
    state: AnnexState = AnnexState.REQUESTED
    done: tuple[StepName, ...] = ()
    capacity_id: str | None = None
    request_token: str = ""
    lease_wanted: int | None = None
    activated: int | None = None
    ended: int | None = None
    last_error: str = ""
    waiting_for: str = ""
    remarks: tuple[str, ...] = field(default=(), compare=False)

    @property
    def expires(self) -> int:
        """When the annex is to end, by the newest promise: epoch seconds."""
        return self.lease.expires if self.lease_wanted is None else self.lease_wanted

    @property
    def over(self) -> bool:
        """Whether it has come to its end, and nothing is left of it."""
        return self.state in FINAL


def advance(annex: Annex, event: AnnexEvent, *, error: str | None = None) -> Annex:
    """Return the annex after an event.

    Args:
        annex: The annex as it stands.
        event: What happened.
        error: If given, becomes `last_error`.

    Raises:
        ValueError: If the table has no such transition; that is a defect of ours.
    """
    state = TRANSITIONS.get((annex.state, event))
    if state is None:
        raise ValueError(f"annex {annex.identity.id}: no way from {annex.state!r} by {event!r}")
    return replace(annex, state=state, last_error=annex.last_error if error is None else error)


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


def check_annex_name(name: str) -> str:
    """Return the name if it may name an annex.

    It becomes a tag's value and an attribute of slots, so it is kept to characters that neither
    AWS nor HTCondor needs quoted.

    Raises:
        RequestError: If it is not 1 to 64 letters, digits, '.', '_', '-', or starts otherwise
            than with a letter or digit.
    """
    if not _NAME.fullmatch(name):
        raise RequestError(
            f"the annex name {name!r} is not allowed",
            advice="Use 1 to 64 letters, digits, '.', '_' or '-', starting with a letter or digit.",
        )
    return name
