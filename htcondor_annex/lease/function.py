"""The lease function: AWS Lambda runs it by the rule of an annex, and it ends what has expired.

It is inlined into `templates/lease-function.json`, and so imports nothing but the standard library
and boto3, which Lambda brings along. What decides is pure and comes first. The rule's input is:

    {"AnnexID": str, "LeaseExpiration": int, "RuleName": str,
     "S3BucketName": str, "S3Key": str}           (the last two both or neither)

The order is fixed: fleets are cancelled before instances are ended, or a fleet of type maintain
would replace them; then the configuration object; the rule, which alone brings this function
back, goes last, and only after a fresh look found nothing left. A part that fails never keeps
another from ending. What is left is taken up by the next run.
"""

import functools
import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ID_TAG = "htcondor:annex-id"
EXPIRES_TAG = "htcondor:lease-expires"
FLEET_TAG = "aws:ec2spot:fleet-request-id"  # AWS itself tags a fleet's instances with it
RULE_PREFIX = "htcondor-annex-"

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_EPOCH = re.compile(r"[0-9]{1,12}")
_LATEST = 253_402_300_799  # the last second of the year 9999
_MAX_KEY_BYTES = 1024

# EC2 User Guide, "Spot Fleet request states": in these a fleet may launch instances.
_LIVE_FLEET = frozenset({"submitted", "active", "modifying"})
# EC2 User Guide, "Instance lifecycle": all states that are not yet the end.
_NOT_GONE = ("pending", "running", "shutting-down", "stopping", "stopped")
_TO_END = frozenset(_NOT_GONE) - {"shutting-down"}
# CancelSpotFleetRequestsError: the fleet is gone, or is being cancelled already.
_CANCELLED_ALREADY = frozenset({"fleetRequestIdDoesNotExist", "fleetRequestNotInCancellableState"})
_UNKNOWN_INSTANCE = frozenset({"InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"})
_NOT_ALLOWED = frozenset({"UnauthorizedOperation"})
_NO_RULE = frozenset({"ResourceNotFoundException"})
_NO_OBJECT = frozenset({"NoSuchBucket", "NoSuchKey"})

_FLEETS_A_CALL = 100  # CancelSpotFleetRequests takes no more
_INSTANCES_A_CALL = 200  # TerminateInstances fails whole on one bad id: few enough to split
_VALUES_A_FILTER = 200  # a DescribeInstances filter takes no more
_BIG_PAGES = {"PageSize": 1000}  # as many as DescribeInstances gives
_RESERVE_SECONDS = 20.0  # kept back of the function's time, to look again and to log

Log = Callable[..., None]
Clock = Callable[[], float]


class BadEventError(ValueError):
    """An event that names no lease."""


class LeaseNotEndedError(Exception):
    """A part failed: Lambda shall count an error and, as it does, try again."""


@dataclass(frozen=True)
class Lease:
    """What the rule's input says. Times are epoch seconds."""

    annex_id: str
    expires: int
    rule: str
    bucket: str | None = None
    key: str | None = None


@dataclass(frozen=True)
class Fleet:
    """A Spot Fleet of the annex."""

    id: str
    live: bool
    expires: int | None


@dataclass(frozen=True)
class Instance:
    """An instance of the annex; `tagged` says whether by its own tag or by its fleet's alone."""

    id: str
    state: str
    tagged: bool
    expires: int | None


@dataclass
class Report:
    """What a run found and did; counts. `failures` names the parts that failed."""

    annex_id: str
    expired: bool = False
    fleets_cancelled: int = 0
    instances_ended: int = 0
    object_deleted: bool = False
    left: int | None = None
    rule_deleted: bool = False
    failures: list[str] = field(default_factory=list)


# -- Decisions: pure -------------------------------------------------------------------------------


def read_event(event: object) -> Lease:
    """Check an event at the door.

    Raises:
        BadEventError: Saying what is wrong, without any value of the event.
    """
    if not isinstance(event, Mapping):
        raise BadEventError("the event is not a JSON object")
    annex_id = event.get("AnnexID")
    if not isinstance(annex_id, str) or not _UUID.fullmatch(annex_id):
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


def has_expired(lease: Lease, now: float, known: Iterable[int | None]) -> bool:
    """Whether the lease is over, the newest of the rule's input and the tags counting."""
    return now > max([lease.expires, *(expires for expires in known if expires is not None)])


def read_tags(listed: object) -> dict[str, str]:
    """Return AWS's list of Key and Value as a mapping."""
    tags = listed if isinstance(listed, list) else []
    return {str(tag.get("Key")): str(tag.get("Value")) for tag in tags if isinstance(tag, Mapping)}


def read_expiry(tags: Mapping[str, str]) -> int | None:
    """Return the lease's end by a tag, or None if there is none that can be read."""
    text = tags.get(EXPIRES_TAG, "")
    return int(text) if _EPOCH.fullmatch(text) else None


def own_fleet(described: Mapping[str, Any], annex_id: str) -> Fleet | None:
    """Return the fleet of one SpotFleetRequestConfig if it is the annex's, by equality."""
    tags = read_tags(described.get("Tags"))
    if tags.get(ID_TAG) != annex_id:
        return None
    live = described.get("SpotFleetRequestState") in _LIVE_FLEET
    return Fleet(str(described["SpotFleetRequestId"]), live, read_expiry(tags))


def own_instance(
    described: Mapping[str, Any], annex_id: str, fleets: frozenset[str]
) -> Instance | None:
    """Return an instance if it is the annex's and not yet gone.

    DescribeInstances' filters are not trusted; what carries another annex's id is never ours.
    """
    tags = read_tags(described.get("Tags"))
    state = str(described.get("State", {}).get("Name"))
    owner = tags.get(ID_TAG)
    mine = owner == annex_id or (owner is None and tags.get(FLEET_TAG) in fleets)
    if not mine or state not in _NOT_GONE:
        return None
    return Instance(str(described["InstanceId"]), state, owner is not None, read_expiry(tags))


def batches(items: list[str], size: int) -> Iterator[list[str]]:
    """Cut a list into parts of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def code_of(error: Exception) -> str:
    """Return AWS's error code, or the exception's name where AWS did not answer."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return type(error).__name__


# -- Calls -----------------------------------------------------------------------------------------


class Run:
    """One run for one lease. Clients, clock and log are handed in."""

    def __init__(
        self, lease: Lease, client: Callable[[str], Any], log: Log, seconds_left: Clock
    ) -> None:
        """Take what may be ended, and the ways to boto3's clients, the log and the time left."""
        self._lease, self._client, self._log = lease, client, log
        self._seconds_left = seconds_left
        self.report = Report(lease.annex_id)

    def end(self, now: float) -> Report:
        """Look, decide, and end what has expired; return what was done."""
        fleets, instances = self._look()
        known = [one.expires for one in fleets or ()] + [one.expires for one in instances or ()]
        self.report.expired = has_expired(self._lease, now, known)
        if not self.report.expired:
            self._log("INFO", "the lease has not expired", expires=self._lease.expires)
            return self.report
        self._cancel(fleets or [])
        self._terminate(instances or [])
        if self._lease.bucket is not None:
            self._part("delete object", self._delete_object)
        self._finish()
        return self.report

    def _part(self, name: str, act: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401
        """Do one part; if it fails, note that and let the others go on."""
        try:
            return act(*arguments)
        except Exception as error:  # noqa: BLE001  (whatever it is, the others must have their try)
            self.report.failures.append(name)
            self._log("ERROR", f"failed: {name}", code=code_of(error), error=str(error)[:1000])
            return None

    def _look(self) -> tuple[list[Fleet] | None, list[Instance] | None]:
        """Return the annex's fleets and instances; None for what could not be seen."""
        fleets = self._part("look for fleets", self._fleets)
        ids = frozenset(fleet.id for fleet in fleets or ())
        return fleets, self._part("look for instances", self._instances, ids)

    def _fleets(self) -> list[Fleet]:
        pages = self._client("ec2").get_paginator("describe_spot_fleet_requests").paginate()
        found = (
            own_fleet(described, self._lease.annex_id)
            for page in pages
            for described in page["SpotFleetRequestConfigs"]
        )
        return [fleet for fleet in found if fleet is not None]

    def _instances(self, fleets: frozenset[str]) -> list[Instance]:
        wanted = [{"Name": f"tag:{ID_TAG}", "Values": [self._lease.annex_id]}]
        wanted += [
            {"Name": f"tag:{FLEET_TAG}", "Values": some}
            for some in batches(sorted(fleets), _VALUES_A_FILTER)
        ]
        found: dict[str, Instance] = {}
        for one in wanted:
            state = {"Name": "instance-state-name", "Values": list(_NOT_GONE)}
            paginator = self._client("ec2").get_paginator("describe_instances")
            for page in paginator.paginate(
                Filters=[one, state], PaginationConfig={"PageSize": 1000}
            ):
                for reservation in page["Reservations"]:
                    for described in reservation["Instances"]:
                        instance = own_instance(described, self._lease.annex_id, fleets)
                        if instance is not None:
                            found[instance.id] = instance
        return list(found.values())

    def _cancel(self, fleets: list[Fleet]) -> None:
        for ids in batches([fleet.id for fleet in fleets if fleet.live], _FLEETS_A_CALL):
            self._part("cancel fleets", self._cancel_some, ids)

    def _cancel_some(self, ids: list[str]) -> None:
        answer = self._client("ec2").cancel_spot_fleet_requests(
            SpotFleetRequestIds=ids, TerminateInstances=True
        )
        self.report.fleets_cancelled += len(answer.get("SuccessfulFleetRequests", []))
        failed = {
            one["SpotFleetRequestId"]: one["Error"]["Code"]
            for one in answer.get("UnsuccessfulFleetRequests", [])
            if one["Error"]["Code"] not in _CANCELLED_ALREADY
        }
        if failed:
            raise ValueError(f"not cancelled: {failed}")

    def _terminate(self, instances: list[Instance]) -> None:
        ending = [one for one in instances if one.state in _TO_END]
        tagged = [one.id for one in ending if one.tagged]
        # The function's role may end what carries the annex's tag. Other instances of its fleets
        # (from a launch template without the tag) AWS ends with the fleet; trying does no harm.
        others = [one.id for one in ending if not one.tagged]
        waiting = [*batches(tagged, _INSTANCES_A_CALL), *batches(others, _INSTANCES_A_CALL)]
        while waiting:
            if self._seconds_left() < _RESERVE_SECONDS:
                self._log("WARNING", "out of time; the next run goes on", batches=len(waiting))
                return
            ids = waiting.pop(0)
            waiting[:0] = self._part("end instances", self._terminate_some, ids, others) or []

    def _terminate_some(self, ids: list[str], others: list[str]) -> list[list[str]]:
        """End instances; return the halves to try if one unknown id failed the call as a whole."""
        try:
            self._client("ec2").terminate_instances(InstanceIds=ids)
        except ClientError as error:
            if code_of(error) in _NOT_ALLOWED and ids[0] in others:
                self._log("WARNING", "left to their cancelled fleet", instances=len(ids))
                return []
            if code_of(error) not in _UNKNOWN_INSTANCE:
                raise
            middle = len(ids) // 2
            return [ids[:middle], ids[middle:]] if middle else []
        self.report.instances_ended += len(ids)
        return []

    def _delete_object(self) -> None:
        try:
            self._client("s3").delete_object(Bucket=self._lease.bucket, Key=self._lease.key)
        except ClientError as error:
            if code_of(error) not in _NO_OBJECT:
                raise
        self.report.object_deleted = True

    def _finish(self) -> None:
        """Look again; if nothing is left and no part failed, remove target and rule."""
        fleets, instances = self._look()
        if fleets is None or instances is None:
            return
        self.report.left = sum(fleet.live for fleet in fleets) + len(instances)
        if self.report.left or self.report.failures:
            return
        self._part("delete rule", self._delete_rule)

    def _delete_rule(self) -> None:
        events, rule = self._client("events"), self._lease.rule
        try:
            answer = events.remove_targets(Rule=rule, Ids=[rule])
            if answer.get("FailedEntryCount"):
                raise ValueError(f"target not removed: {answer.get('FailedEntries')}")
            events.delete_rule(Name=rule)
        except ClientError as error:
            if code_of(error) not in _NO_RULE:
                raise
        self.report.rule_deleted = True


# -- The door --------------------------------------------------------------------------------------


def log_line(level: str, what: str, **facts: object) -> None:
    """Write one JSON line for CloudWatch Logs; facts are ids, codes and counts, never secrets."""
    sys.stdout.write(json.dumps({"level": level, "message": what, **facts}, default=str) + "\n")
    sys.stdout.flush()


@functools.cache
def client(service: str) -> Any:  # noqa: ANN401  (boto3 has no types)
    """Return a service's client, made once a process; region and keys are Lambda's own."""
    config = Config(
        connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 5}
    )
    return boto3.client(service, config=config)


def handler(event: object, context: Any) -> dict[str, Any] | None:  # noqa: ANN401  (Lambda's own)
    """Answer AWS Lambda: return what was done, or None for an event that names no lease.

    Args:
        event: The rule's input.
        context: Lambda's; None where there is no limit of time.

    Raises:
        LeaseNotEndedError: If a part failed, after all others have been tried.
    """
    try:
        lease = read_event(event)
    except BadEventError as error:
        log_line("ERROR", f"bad event, nothing done: {error}")
        return None

    def log(level: str, what: str, **facts: object) -> None:
        log_line(level, what, annex=lease.annex_id, **facts)

    def seconds_left() -> float:
        return context.get_remaining_time_in_millis() / 1000 if context else float("inf")

    report = vars(Run(lease, client, log, seconds_left).end(time.time()))
    log("INFO", "done", **report)
    if report["failures"]:
        raise LeaseNotEndedError(f"annex {lease.annex_id}: {', '.join(report['failures'])} failed")
    return report
