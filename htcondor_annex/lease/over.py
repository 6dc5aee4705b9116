"""What belongs to which annex, and what is over: the lease function's decisions. Pure.

The template inlines this text before the function's own (`templates/inline.py`), so that it imports
nothing but the standard library.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ID_TAG = "htcondor:annex-id"
EXPIRES_TAG = "htcondor:lease-expires"
FLEET_TAG = "aws:ec2spot:fleet-request-id"  # AWS itself tags a fleet's instances with it
RULE_PREFIX = "htcondor-annex-"

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_EPOCH = re.compile(r"[0-9]{1,12}")
_LATEST = 253_402_300_799  # the last second of the year 9999
_MAX_KEY_BYTES = 1024
OBJECT_RETRIES = 3600  # seconds after a lease's end for which its object is deleted again
GRACE = 900  # seconds for which a lease that may have been extended unseen is not taken for over

# EC2 User Guide, "Spot Fleet request states": in these a fleet may launch instances.
_LIVE_FLEET = frozenset({"submitted", "active", "modifying"})
# EC2 User Guide, "Instance lifecycle": all states that are not yet the end.
NOT_GONE = ("pending", "running", "shutting-down", "stopping", "stopped")
_TO_END = frozenset(NOT_GONE) - {"shutting-down"}


class BadEventError(ValueError):
    """An event that names no lease."""


@dataclass(frozen=True)
class Lease:
    """What the input of an annex's rule says. Times are epoch seconds."""

    annex_id: str
    expires: int
    rule: str
    bucket: str | None = None
    key: str | None = None


@dataclass(frozen=True)
class Sweep:
    """What the stack's own schedule asks for."""

    dry_run: bool = False


@dataclass(frozen=True)
class Thing:
    """A Spot Fleet or an instance.

    `annex` and `expires` are what its own tags say, `fleet` who launched it. `live`: it may launch
    instances, or is to be ended; `gone`: a cancelled fleet.
    """

    id: str
    annex: str | None
    expires: int | None
    live: bool
    fleet: str | None = None
    gone: bool = False


@dataclass
class Annex:
    """What was seen of one annex; of a thing under a lease but of no annex, that thing alone."""

    id: str
    fleets: list[Thing] = field(default_factory=list)
    instances: list[Thing] = field(default_factory=list)
    lease: Lease | None = None
    rule: str | None = None
    rule_expires: int | None = None
    blind: bool = False  # AWS failed to show a part of it, which may name a later end

    @property
    def expires(self) -> int | None:
        """The lease's end: the newest of those that tags and rule name; None if none does."""
        known = [one.expires for one in (*self.fleets, *self.instances)]
        known += [self.rule_expires, self.lease.expires if self.lease else None]
        return max((one for one in known if one is not None), default=None)

    def over(self, now: float) -> bool:
        """Whether the lease has ended; in its last second it has not."""
        grace = GRACE if self.blind else 0
        return self.expires is not None and now > self.expires + grace

    @property
    def left(self) -> int:
        """How much of it is still there, beside its rule."""
        return len([one for one in self.fleets if not one.gone]) + len(self.instances)


def read_event(event: object) -> Lease | Sweep:
    """Check an event at the door.

    Raises:
        BadEventError: Saying what is wrong, without any value of the event.
    """
    if not isinstance(event, Mapping):
        raise BadEventError("the event is not a JSON object")
    return _read_sweep(event) if "Sweep" in event else _read_lease(event)


def _read_sweep(event: Mapping[str, Any]) -> Sweep:
    dry_run = event.get("DryRun", False)
    if event["Sweep"] is not True or not isinstance(dry_run, bool):
        raise BadEventError("Sweep is not true, or DryRun is neither true nor false")
    if set(event) - {"Sweep", "DryRun"}:
        raise BadEventError("a sweep takes nothing but DryRun")
    return Sweep(dry_run)


def _read_lease(event: Mapping[str, Any]) -> Lease:
    annex_id = event.get("AnnexID")
    if not isinstance(annex_id, str) or not UUID.fullmatch(annex_id):
        raise BadEventError("AnnexID is not a UUID in lower case")
    expires = event.get("LeaseExpiration")
    if not isinstance(expires, int) or isinstance(expires, bool) or not 0 < expires <= _LATEST:
        raise BadEventError("LeaseExpiration is not a whole number of epoch seconds")
    rule = event.get("RuleName")
    if rule != RULE_PREFIX + annex_id:
        raise BadEventError("RuleName is not the name of this annex's rule")
    bucket, key = event.get("S3BucketName"), event.get("S3Key")
    if (bucket is None) != (key is None):
        raise BadEventError("S3BucketName and S3Key come together or not at all")
    if bucket is not None and not (isinstance(bucket, str) and _BUCKET.fullmatch(bucket)):
        raise BadEventError("S3BucketName is no name of a bucket")
    if key is not None and not (
        isinstance(key, str) and 0 < len(key.encode(errors="replace")) <= _MAX_KEY_BYTES
    ):
        raise BadEventError("S3Key is no key of an object")
    return Lease(annex_id, expires, rule, bucket, key)


def read_tags(listed: object) -> dict[str, str]:
    """Return AWS's list of Key and Value as a mapping."""
    tags = listed if isinstance(listed, list) else []
    return {str(tag.get("Key")): str(tag.get("Value")) for tag in tags if isinstance(tag, Mapping)}


def read_expiry(tags: Mapping[str, str]) -> int | None:
    """Return the lease's end by a tag, or None if there is none that can be read."""
    text = tags.get(EXPIRES_TAG, "")
    return int(text) if _EPOCH.fullmatch(text) else None


def read_fleet(described: Mapping[str, Any]) -> Thing:
    """Return the fleet of one SpotFleetRequestConfig."""
    tags, state = read_tags(described.get("Tags")), described.get("SpotFleetRequestState")
    live = state in _LIVE_FLEET
    fleet = str(described["SpotFleetRequestId"])
    return Thing(fleet, tags.get(ID_TAG), read_expiry(tags), live, gone=not live)


def read_instance(described: Mapping[str, Any]) -> Thing | None:
    """Return an instance, or None if it is gone; filters of DescribeInstances are not trusted."""
    tags, state = read_tags(described.get("Tags")), described.get("State", {}).get("Name")
    if state not in NOT_GONE:
        return None
    expires = read_expiry(tags)
    return Thing(
        str(described["InstanceId"]),
        tags.get(ID_TAG),
        expires,
        state in _TO_END,
        tags.get(FLEET_TAG),
    )


def gather(
    fleets: Sequence[Thing], instances: Sequence[Thing], only: str | None
) -> dict[str, Annex]:
    """Put together what belongs together, by equality of ids.

    A thing's own annex counts first; an instance of none is its fleet's; one that is of no annex
    but under a lease stands for itself.

    Args:
        fleets: All that were seen.
        instances: As they were seen.
        only: The one annex that is asked for; None for all.
    """
    annexes: dict[str, Annex] = {}
    owners: dict[str, str] = {}

    def add(thing: Thing, owner: str | None, kind: str) -> None:
        if owner is not None and only in {None, owner}:
            getattr(annexes.setdefault(owner, Annex(owner)), kind).append(thing)

    for fleet in fleets:
        owner = fleet.annex or (None if fleet.expires is None else fleet.id)
        if owner is not None:
            owners[fleet.id] = owner
        add(fleet, owner, "fleets")
    for one in {one.id: one for one in instances}.values():
        alone = None if one.expires is None else one.id
        add(one, one.annex or owners.get(one.fleet or "", alone), "instances")
    return annexes
