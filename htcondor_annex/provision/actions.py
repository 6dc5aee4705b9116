"""What each step does in AWS, and what undoes it: the thin edge of provisioning.

Every undo may be repeated, counts what is already gone as undone, and looks afterwards.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import Enum
from typing import Any

from htcondor_annex import tags
from htcondor_annex.annex import Annex, LeaseMethod, StepName
from htcondor_annex.aws import codes
from htcondor_annex.aws.faults import refused
from htcondor_annex.errors import AwsError
from htcondor_annex.inventory import look
from htcondor_annex.inventory.look import Caller
from htcondor_annex.inventory.seen import Fleet, Instance
from htcondor_annex.lease import rule
from htcondor_annex.provision import leasecheck

__all__ = ["Caller", "Undone", "do", "undo"]

_IDS_A_CALL = 500
"""CreateTags takes 1000 resources; of TerminateInstances AWS advises batches of that order."""


class Undone(Enum):
    """What a look after an undo showed."""

    SEEN = "AWS shows that it has gone"
    UNSEEN = "AWS shows nothing, which a moment after a call is no proof"


def _put_rule(annex: Annex, aws: Caller) -> None:
    aws.call("events", "PutRule", **rule.put_rule_parameters(annex.identity, annex.lease))


def _raise_failed_entries(answer: Mapping[str, Any], action: str) -> None:
    if answer.get("FailedEntryCount"):
        entry = (answer.get("FailedEntries") or [{}])[0]
        code = str(entry.get("ErrorCode", "Unknown"))
        raise refused(
            f"AWS refused {action}: {code}: {entry.get('ErrorMessage', 'no message')}",
            code,
            retryable=code in codes.THROTTLED,
        )


def _put_targets(annex: Annex, aws: Caller) -> None:
    parameters = rule.put_targets_parameters(annex.identity, annex.lease)
    try:
        answer = aws.call("events", "PutTargets", **parameters)
    except AwsError as error:
        if error.aws_code not in codes.NOT_FOUND:
            raise
        # Not seen yet, or taken away by someone: the rule is put again, and then the target.
        _put_rule(annex, aws)
        answer = aws.call("events", "PutTargets", **parameters)
    _raise_failed_entries(answer, "PutTargets")


def _request_spot_fleet(annex: Annex, aws: Caller) -> str:
    answer = aws.call("ec2", "RequestSpotFleet", SpotFleetRequestConfig=dict(annex.parameters))
    fleet = answer.get("SpotFleetRequestId")
    if not isinstance(fleet, str) or not fleet.startswith("sfr-"):
        error = refused("RequestSpotFleet answered without a Spot Fleet request ID", "NoId")
        error.aws_may_have_acted = True
        raise error
    return fleet


def _own_instances(annex: Annex, aws: Caller, fleets: Collection[str]) -> list[Instance]:
    """Return what lives of the annex: by its own tag, or by its fleets' where it has none."""
    tagged = look.instances(aws, tags.ANNEX_ID, annex.identity.id, lambda marks: marks.annex_id)
    untagged = [] if not fleets else look.instances_of_fleets(aws, fleets)
    found = {one.id: one for one in (*tagged, *untagged)}
    return [one for one in found.values() if one.alive]


def _in_parts(
    aws: Caller, action: str, name: str, ids: Sequence[str], **parameters: object
) -> None:
    """Make a call for many ids; one unknown id fails a call whole, so its parts are tried."""
    waiting = [list(ids[start : start + _IDS_A_CALL]) for start in range(0, len(ids), _IDS_A_CALL)]
    while waiting:
        some = waiting.pop()
        try:
            aws.call("ec2", action, **{name: some}, **parameters)
        except AwsError as error:
            if error.aws_code not in codes.UNKNOWN_INSTANCE:
                raise
            middle = len(some) // 2
            waiting += [some[:middle], some[middle:]] if middle else []


def _put_tags(annex: Annex, aws: Caller) -> None:
    """Bring the tag that tells the lease's end up to date on all that carries it.

    The fleet goes first: of what carries the tag it alone is certain to be there.
    """
    pairs = tags.pairs(tags.expiry(annex.lease))
    fleets = [] if annex.capacity_id is None else [annex.capacity_id]
    if fleets:
        try:
            aws.call("ec2", "CreateTags", Resources=fleets, Tags=pairs)
        except AwsError as error:
            # A fleet just made may not be seen by every part of EC2 yet.
            error.retryable = error.retryable or error.aws_code in codes.NOT_FOUND
            raise
    late = [
        one.id
        for one in _own_instances(annex, aws, fleets)
        if one.marks.expires != annex.lease.expires
    ]
    _in_parts(aws, "CreateTags", "Resources", late, Tags=pairs)
    if annex.lease.method is LeaseMethod.SWEEP:
        return  # it has no rule
    arn = aws.call("events", "DescribeRule", Name=rule.rule_name(annex.identity.id)).get("Arn")
    aws.call("events", "TagResource", ResourceARN=arn, Tags=pairs)


_DO: Mapping[StepName, Callable[[Annex, Caller], str | None]] = {
    StepName.CHECK_LEASE_FUNCTION: leasecheck.check_function,
    StepName.CHECK_LEASE_PERMISSION: leasecheck.check_permission,
    StepName.CHECK_SWEEP: leasecheck.check_sweep,
    StepName.PUT_RULE: _put_rule,
    StepName.PUT_TARGETS: _put_targets,
    StepName.REQUEST_SPOT_FLEET: _request_spot_fleet,
    StepName.PUT_TAGS: _put_tags,
}


def _remove_targets(annex: Annex, aws: Caller) -> Undone:
    name = rule.rule_name(annex.identity.id)
    try:
        answer = aws.call("events", "RemoveTargets", Rule=name, Ids=[name])
    except AwsError as error:
        if error.aws_code not in codes.NOT_FOUND:
            raise
    else:
        _raise_failed_entries(answer, "RemoveTargets")
    return Undone.SEEN


def _delete_rule(annex: Annex, aws: Caller) -> Undone:
    name = rule.rule_name(annex.identity.id)
    try:
        aws.call("events", "DeleteRule", Name=name)
        aws.call("events", "DescribeRule", Name=name)
    except AwsError as error:
        if error.aws_code not in codes.NOT_FOUND:
            raise
    else:
        raise _still_there(f"the rule {name} is still there")
    return Undone.SEEN


def _still_there(message: str) -> AwsError:
    return refused(message, "StillThere", retryable=True)


def _own_fleets(annex: Annex, aws: Caller) -> list[Fleet]:
    """Return the annex's fleets: by their tag, in equality; and the one whose id we know."""
    if annex.capacity_id is not None:
        try:
            return look.fleets(aws, [annex.capacity_id])
        except AwsError as error:
            if error.aws_code not in codes.NOT_FOUND:
                raise
            return []
    return [one for one in look.fleets(aws) if one.marks.annex_id == annex.identity.id]


def _cancel(aws: Caller, ids: list[str]) -> None:
    answer = aws.call(
        "ec2", "CancelSpotFleetRequests", SpotFleetRequestIds=ids, TerminateInstances=True
    )
    for one in answer.get("UnsuccessfulFleetRequests", []):
        code = str((one.get("Error") or {}).get("Code", "Unknown"))
        if code not in codes.NOT_CANCELLABLE | codes.NOT_FOUND:
            raise refused(
                f"AWS refused to cancel {one.get('SpotFleetRequestId')}: {code}",
                code,
                retryable=True,
            )


def _cancel_fleet(annex: Annex, aws: Caller) -> Undone:
    """Cancel the fleet first, or it would replace its instances; then end those that are left."""
    known = [annex.capacity_id] if annex.capacity_id is not None else None
    to_cancel = known or [one.id for one in _own_fleets(annex, aws) if not one.cancelled]
    if to_cancel:
        _cancel(aws, to_cancel)
    fleets = _own_fleets(annex, aws)
    if left := [one.id for one in fleets if not one.cancelled]:
        raise _still_there(f"still not cancelled: {', '.join(left)}")
    instances = _own_instances(annex, aws, {one.id for one in fleets} | {*(known or ())})
    if instances:
        # AWS ends them with their fleet, unless someone cancelled it and let them run.
        _in_parts(aws, "TerminateInstances", "InstanceIds", [one.id for one in instances])
        raise _still_there(f"{len(instances)} instances are still there")
    # Cancelled but not over, it may have instances that AWS does not show yet.
    return Undone.SEEN if fleets and all(one.over for one in fleets) else Undone.UNSEEN


_UNDO: Mapping[StepName, Callable[[Annex, Caller], Undone]] = {
    StepName.PUT_RULE: _delete_rule,
    StepName.PUT_TARGETS: _remove_targets,
    StepName.REQUEST_SPOT_FLEET: _cancel_fleet,
}


def do(step: StepName, annex: Annex, aws: Caller) -> str | None:
    """Carry out one step; blocking.

    Returns:
        The Spot Fleet request ID for REQUEST_SPOT_FLEET, else None.

    Raises:
        AwsError: If AWS refused, or the outcome is unknown.
    """
    return _DO[step](annex, aws)


def undo(step: StepName, annex: Annex, aws: Caller) -> Undone:
    """Undo one step and look whether it is undone; blocking, may be repeated.

    Raises:
        AwsError: If something of it is left, or AWS would not tell.
    """
    return _UNDO[step](annex, aws)
