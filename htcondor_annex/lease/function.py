"""The lease function: AWS Lambda runs it by rules, and it ends the annexes whose lease is over.

The template inlines it together with `over.py`, which decides, and so both import nothing but the
standard library and boto3, which Lambda brings along. Its events:

    {"AnnexID": str, "LeaseExpiration": int, "RuleName": str, "S3BucketName": str, "S3Key": str}
        the rule of one annex; the last two both or neither;
    {"Sweep": true}
        the stack's own schedule: every annex whose tags say that its lease is over, rule or not;
    {"Sweep": true, "DryRun": true}
        the same, but nothing is ended; the report says what would be.

The newest end of a lease counts, of those that tags and rule name. The order is fixed: fleets are
cancelled before instances are ended, or a fleet of type maintain would replace them; then the
configuration object; the rule, which alone brings the function back for an annex, goes last, and
only after a fresh look found nothing left. A part that fails never keeps another from ending. What
is left is taken up by the next run.
"""

import functools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from htcondor_annex.lease.over import (
    EXPIRES_TAG,
    FLEET_TAG,
    GRACE,
    ID_TAG,
    NOT_GONE,
    OBJECT_RETRIES,
    RULE_PREFIX,
    UUID,
    Annex,
    BadEventError,
    Lease,
    Sweep,
    Thing,
    gather,
    read_event,
    read_expiry,
    read_fleet,
    read_instance,
    read_tags,
)

# CancelSpotFleetRequestsError: the fleet is gone, or is being cancelled already.
_CANCELLED_ALREADY = frozenset({"fleetRequestIdDoesNotExist", "fleetRequestNotInCancellableState"})
_UNKNOWN_INSTANCE = frozenset({"InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"})
_NOT_ALLOWED = frozenset({"UnauthorizedOperation"})
_THROTTLED = frozenset(
    {
        "RequestLimitExceeded",
        "RequestThrottled",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_NO_RULE = frozenset({"ResourceNotFoundException"})
_NO_OBJECT = frozenset({"NoSuchBucket", "NoSuchKey"})

_FLEETS_A_CALL = 100  # CancelSpotFleetRequests takes no more
_INSTANCES_A_CALL = 200  # TerminateInstances fails whole on one bad id: few enough to split
_VALUES_A_FILTER = 200  # a DescribeInstances filter takes no more
_BIG_PAGES = {"PageSize": 1000}  # as many as DescribeInstances gives
_HOPELESS = 10  # single instances refused, and none ended: it is not they that are at fault
_RESERVE_SECONDS = 20.0  # kept back of the function's time, to look again and to log

Log = Callable[..., None]
Clock = Callable[[], float]


class LeaseNotEndedError(Exception):
    """A part failed: Lambda shall count an error and, as it does, try again."""


@dataclass
class Report:
    """What a run found and did; counts. `failures` names the parts that failed."""

    sweep: bool = False
    dry_run: bool = False
    fleets: int = 0
    instances: int = 0
    expired: int = 0
    fleets_cancelled: int = 0
    instances_ended: int = 0
    objects_deleted: int = 0
    left: int | None = None
    rules_deleted: int = 0
    failures: list[str] = field(default_factory=list)


def batches(items: Sequence[str], size: int) -> Iterator[list[str]]:
    """Cut a list into parts of at most `size`."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def code_of(error: Exception) -> str:
    """Return AWS's error code, or the exception's name where AWS did not answer."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return type(error).__name__


def is_refusal(error: Exception) -> bool:
    """Whether AWS refused for good: to ask the same again changes nothing."""
    if not isinstance(error, ClientError) or code_of(error) in _THROTTLED:
        return False
    return 400 <= int(error.response["ResponseMetadata"].get("HTTPStatusCode", 0)) < 500  # noqa: PLR2004  (HTTP)


def without_secrets(text: str) -> str:
    """Return a text without the function's own keys: AWS may quote a request with its token."""
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID"):
        if os.environ.get(name):
            text = text.replace(os.environ[name], f"({name})")
    return text[:1000]


# -- Calls -----------------------------------------------------------------------------------------


class Run:
    """One run, for one lease or all. Clients, clock and log are handed in."""

    def __init__(
        self,
        asked: Lease | Sweep,
        client: Callable[[str], Any],
        log: Log,
        seconds_left: Clock,
        bucket: str = "",
    ) -> None:
        """Take what may be ended, the ways to boto3's clients, the log and the time left.

        Args:
            asked: What the event asks for.
            client: Service to its boto3 client.
            log: Takes level, message and facts.
            seconds_left: What is left of the function's time.
            bucket: Where configuration objects of annexes lie that have no rule; may be empty.
        """
        self._lease = asked if isinstance(asked, Lease) else None
        self._client, self._log = client, log
        self._seconds_left, self._bucket = seconds_left, bucket
        self._objects_left: set[str] = set()
        self._fleets_seen = False
        self._refused = 0  # instances that AWS would not end
        dry_run = isinstance(asked, Sweep) and asked.dry_run
        self.report = Report(sweep=self._lease is None, dry_run=dry_run)

    def end(self, now: float) -> Report:
        """Look, decide, and end what has expired; return what was done."""
        annexes, _ = self._look(now)
        if self._lease is None:
            # Without them the tags decide: they are behind a rule for seconds at most.
            self._part("read rules", self._read_rules, annexes, now)
        over = [annex for annex in annexes.values() if annex.over(now)]
        report = self.report
        report.fleets = sum(len(annex.fleets) for annex in annexes.values())
        report.instances = sum(len(annex.instances) for annex in annexes.values())
        report.expired = len([one for one in over if one.left or one.rule])
        for annex in over if report.sweep else ():
            if annex.left:
                self._log("INFO", "the lease is over", annex=annex.id, expires=annex.expires)
        if report.dry_run:
            return report
        if self._lease is not None and not over:
            self._log("INFO", "the lease has not expired", expires=self._lease.expires)
            return report
        self._cancel([one.id for annex in over for one in annex.fleets if one.live])
        self._terminate([one for annex in over for one in annex.instances if one.live])
        self._delete_objects(
            [one for one in over if self._fleets_seen or self._long_over(one.expires, now)], now
        )
        if report.expired or self._lease is not None:
            self._finish({annex.id: annex for annex in over}, now)
        return report

    def _part(self, name: str, act: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401
        """Do one part; if it fails, note that and let the others go on."""
        try:
            return act(*arguments)
        except Exception as error:  # noqa: BLE001  (whatever it is, the others must have their try)
            if name not in self.report.failures:
                self.report.failures.append(name)
            said = without_secrets(str(error))
            self._log("ERROR", f"failed: {name}", code=code_of(error), error=said)
            return None

    def _in_time(self, what: str, waiting: int) -> bool:
        if self._seconds_left() >= _RESERVE_SECONDS:
            return True
        self._log("WARNING", "out of time; the next run goes on", part=what, waiting=waiting)
        return False

    def _look(self, now: float) -> tuple[dict[str, Annex], bool]:
        """Return what is there, by annex, and whether all could be seen."""
        only = self._lease.annex_id if self._lease else None
        fleets = self._part("look for fleets", self._fleets)
        self._fleets_seen = fleets is not None
        by_tag: dict[str, Any] = {"Name": "tag-key", "Values": [ID_TAG, EXPIRES_TAG]}
        if only is not None:
            by_tag = {"Name": f"tag:{ID_TAG}", "Values": [only]}
        instances = self._part("look for instances", self._instances, [by_tag])
        seen = [
            one
            for one in instances or ()
            # A fleet that cannot be seen may have a later end than what it launched.
            if fleets is not None or one.fleet is None or self._long_over(one.expires, now)
        ]

        def gathered() -> dict[str, Annex]:
            annexes = gather(fleets or (), seen, only)
            if self._lease is not None:
                annex = annexes.setdefault(self._lease.annex_id, Annex(self._lease.annex_id))
                annex.lease, annex.rule = self._lease, self._lease.rule
            return annexes

        annexes = gathered()
        ids = [one.id for annex in annexes.values() if annex.over(now) for one in annex.fleets]
        by_fleet = [
            {"Name": f"tag:{FLEET_TAG}", "Values": some}
            for some in batches(sorted(ids), _VALUES_A_FILTER)
        ]
        untagged = self._part("look for instances", self._instances, by_fleet)
        seen += untagged or ()
        complete = not (fleets is None or instances is None or untagged is None)
        return gathered(), complete

    def _long_over(self, expires: int | None, now: float) -> bool:
        """Whether a lease was over some time ago: no extension is on its way."""
        ends = [expires, self._lease.expires if self._lease else None]
        return now > max((end for end in ends if end is not None), default=now) + GRACE

    def _fleets(self) -> list[Thing]:
        pages = self._client("ec2").get_paginator("describe_spot_fleet_requests").paginate()
        return [read_fleet(one) for page in pages for one in page["SpotFleetRequestConfigs"]]

    def _instances(self, filters: Sequence[Mapping[str, Any]]) -> list[Thing]:
        found = []
        for one in filters:
            state = {"Name": "instance-state-name", "Values": list(NOT_GONE)}
            paginator = self._client("ec2").get_paginator("describe_instances")
            for page in paginator.paginate(Filters=[one, state], PaginationConfig=_BIG_PAGES):
                for reservation in page["Reservations"]:
                    found += [read_instance(described) for described in reservation["Instances"]]
        return [instance for instance in found if instance is not None]

    def _read_rules(self, annexes: dict[str, Annex], now: float) -> None:
        """Learn what rules say of annexes that are over by their tags, or of which none is seen."""
        events = self._client("events")
        pages = events.get_paginator("list_rules").paginate(NamePrefix=RULE_PREFIX)
        rules = {rule["Name"]: rule.get("Arn") for page in pages for rule in page["Rules"]}
        for name, arn in rules.items():
            annex_id = name.removeprefix(RULE_PREFIX)
            if not UUID.fullmatch(annex_id):
                continue
            annex = annexes.get(annex_id, Annex(annex_id))
            if annex.left and not annex.over(now):
                continue
            if not self._in_time("read rules", len(rules)):
                return
            annexes[annex_id] = annex
            annex.rule = name
            annex.blind = not self._part("read a rule", self._read_rule, annex, name, arn)

    def _read_rule(self, annex: Annex, name: str, arn: str) -> bool:
        events = self._client("events")
        tags = read_tags(events.list_tags_for_resource(ResourceARN=arn).get("Tags"))
        annex.rule_expires = read_expiry(tags)
        for target in events.list_targets_by_rule(Rule=name)["Targets"]:
            try:
                said = read_event(json.loads(target.get("Input", "")))
            except ValueError:
                continue
            if isinstance(said, Lease) and said.annex_id == annex.id:
                annex.lease = said
        return True

    def _cancel(self, fleets: list[str]) -> None:
        for ids in batches(fleets, _FLEETS_A_CALL):
            if not self._in_time("cancel fleets", len(fleets)):
                return
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

    def _terminate(self, instances: list[Thing]) -> None:
        # The function's role may end what carries a tag of ours. Other instances of its fleets
        # (from a launch template without the tag) AWS ends with the fleet; trying does no harm.
        tagged = [one.id for one in instances if one.annex or one.expires is not None]
        others = sorted({one.id for one in instances} - {*tagged})
        waiting = [*batches(tagged, _INSTANCES_A_CALL), *batches(others, _INSTANCES_A_CALL)]
        while waiting and self._in_time("end instances", len(waiting)):
            ids = waiting.pop(0)
            waiting[:0] = self._part("end instances", self._terminate_some, ids, others) or []

    def _terminate_some(self, ids: list[str], others: list[str]) -> list[list[str]]:
        """End instances; return the halves to try if one of them made AWS refuse them all."""
        try:
            self._client("ec2").terminate_instances(InstanceIds=ids)
        except ClientError as error:
            if code_of(error) in _NOT_ALLOWED and ids[0] in others:
                self._log("WARNING", "left to their cancelled fleet", instances=len(ids))
                return []
            hopeless = self._refused >= _HOPELESS and not self.report.instances_ended
            if not is_refusal(error) or hopeless:
                raise
            middle = len(ids) // 2
            if middle:
                return [ids[:middle], ids[middle:]]
            if code_of(error) not in _UNKNOWN_INSTANCE:
                self._refused += 1
                raise
            return []
        self.report.instances_ended += len(ids)
        return []

    def _delete_objects(self, over: Sequence[Annex], now: float) -> None:
        """Delete the annexes' configurations: those that rules name, or the usual ones."""
        waiting = []
        for annex in over:
            bucket, key = self._bucket, f"config-{annex.id}.tar.gz"
            if annex.lease is not None and annex.lease.bucket is not None:
                bucket, key = annex.lease.bucket, annex.lease.key or ""
            # AWS shows fleets for days after their end: long after it, nothing is tried again.
            recent = now - (annex.expires or 0) <= OBJECT_RETRIES
            if bucket and UUID.fullmatch(annex.id) and (annex.left or annex.rule or recent):
                waiting.append((annex.id, bucket, key))
        self._objects_left |= {annex_id for annex_id, _, _ in waiting}
        for one in waiting:
            if not self._in_time("delete objects", len(self._objects_left)):
                return
            self._part("delete object", self._delete, *one)

    def _delete(self, annex_id: str, bucket: str, key: str) -> None:
        try:
            self._client("s3").delete_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if code_of(error) not in _NO_OBJECT:
                raise
        self._objects_left.discard(annex_id)
        self.report.objects_deleted += 1

    def _finish(self, over: Mapping[str, Annex], now: float) -> None:
        """Look again; remove the rules of annexes of which nothing is left."""
        annexes, complete = self._look(now)
        left = {annex_id: annexes[annex_id].left for annex_id in over if annex_id in annexes}
        self.report.left = sum(left.values())
        if not complete:
            return
        waiting = [
            annex.rule
            for annex in over.values()
            if annex.rule and not left.get(annex.id) and annex.id not in self._objects_left
        ]
        for rule in waiting:
            if not self._in_time("delete rules", len(waiting)):
                return
            self._part("delete rule", self._delete_rule, rule)

    def _delete_rule(self, rule: str) -> None:
        events = self._client("events")
        try:
            answer = events.remove_targets(Rule=rule, Ids=[rule])
            if answer.get("FailedEntryCount"):
                raise ValueError(f"target not removed: {answer.get('FailedEntries')}")
            events.delete_rule(Name=rule)
        except ClientError as error:
            if code_of(error) not in _NO_RULE:
                raise
        self.report.rules_deleted += 1


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
    """Answer AWS Lambda: return what was done, or None for an event that asks for nothing.

    Args:
        event: See the module.
        context: Lambda's; None where there is no limit of time.

    Raises:
        LeaseNotEndedError: If a part failed, after all others have been tried; a dry run reports
            it instead.
    """
    try:
        asked = read_event(event)
    except BadEventError as error:
        log_line("ERROR", f"bad event, nothing done: {error}")
        return None
    facts = {"annex": asked.annex_id} if isinstance(asked, Lease) else {"sweep": True}

    def log(level: str, what: str, **more: object) -> None:
        log_line(level, what, **{**facts, **more})

    def seconds_left() -> float:
        return context.get_remaining_time_in_millis() / 1000 if context else float("inf")

    bucket = os.environ.get("CONFIGURATION_BUCKET", "")
    report = vars(Run(asked, client, log, seconds_left, bucket).end(time.time()))
    log("INFO", "done", **report)
    if report["failures"] and not report["dry_run"]:
        who = facts.get("annex", "sweep")
        raise LeaseNotEndedError(f"{who}: {', '.join(report['failures'])} failed")
    return report
