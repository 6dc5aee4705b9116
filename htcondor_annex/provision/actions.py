"""What each step does in AWS, and what undoes it: the thin edge of provisioning.

Every undo may be repeated, counts what is already gone as undone, and looks afterwards.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from htcondor_annex import tags
from htcondor_annex.annex import Annex, StepName
from htcondor_annex.aws import codes
from htcondor_annex.errors import AwsError
from htcondor_annex.lease import rule

__all__ = ["Caller", "do", "undo"]

_GONE = frozenset({"cancelled", "cancelled_running", "cancelled_terminating"})
_USABLE = frozenset({"Active", "Inactive"})  # Inactive: idle for weeks, wakes at the next call


class Caller(Protocol):
    """Makes calls to AWS; see `aws.clients.Calls`."""

    def call(self, service: str, action: str, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401
        """Make one call; raises AwsError."""


def _refused(message: str, code: str, *, retryable: bool = False, advice: str = "") -> AwsError:
    return AwsError(
        message, aws_code=code, retryable=retryable, aws_may_have_acted=False, advice=advice
    )


def _check_lease_function(annex: Annex, aws: Caller) -> None:
    arn = annex.lease.function_arn
    try:
        found = aws.call("lambda", "GetFunctionConfiguration", FunctionName=arn)
    except AwsError as error:
        if error.aws_code in codes.NOT_FOUND:
            raise _refused(
                f"there is no lease function {arn}",
                error.aws_code,
                advice="Make its stack from templates/lease-function.json, wait for "
                "CREATE_COMPLETE, and give the LeaseFunctionARN from its outputs.",
            ) from error
        raise
    state = found.get("State", "Active")
    if state not in _USABLE:
        raise _refused(
            f"the lease function {arn} is {state}: {found.get('StateReason', 'no reason given')}",
            f"FunctionState{state}",
            retryable=state == "Pending",
        )


def _put_rule(annex: Annex, aws: Caller) -> None:
    aws.call("events", "PutRule", **rule.put_rule_parameters(annex.identity, annex.lease))


def _raise_failed_entries(answer: Mapping[str, Any], action: str) -> None:
    if answer.get("FailedEntryCount"):
        entry = (answer.get("FailedEntries") or [{}])[0]
        code = str(entry.get("ErrorCode", "Unknown"))
        raise _refused(
            f"AWS refused {action}: {code}: {entry.get('ErrorMessage', 'no message')}",
            code,
            retryable=code in codes.THROTTLED,
        )


def _put_targets(annex: Annex, aws: Caller) -> None:
    parameters = rule.put_targets_parameters(annex.identity, annex.lease)
    _raise_failed_entries(aws.call("events", "PutTargets", **parameters), "PutTargets")


def _request_spot_fleet(annex: Annex, aws: Caller) -> str:
    answer = aws.call("ec2", "RequestSpotFleet", SpotFleetRequestConfig=dict(annex.parameters))
    fleet = answer.get("SpotFleetRequestId")
    if not isinstance(fleet, str) or not fleet.startswith("sfr-"):
        error = _refused("RequestSpotFleet answered without a Spot Fleet request ID", "NoId")
        error.aws_may_have_acted = True
        raise error
    return fleet


_DO: Mapping[StepName, Callable[[Annex, Caller], str | None]] = {
    StepName.CHECK_LEASE_FUNCTION: _check_lease_function,
    StepName.PUT_RULE: _put_rule,
    StepName.PUT_TARGETS: _put_targets,
    StepName.REQUEST_SPOT_FLEET: _request_spot_fleet,
}


def _remove_targets(annex: Annex, aws: Caller) -> None:
    name = rule.rule_name(annex.identity.id)
    try:
        answer = aws.call("events", "RemoveTargets", Rule=name, Ids=[name])
    except AwsError as error:
        if error.aws_code not in codes.NOT_FOUND:
            raise
    else:
        _raise_failed_entries(answer, "RemoveTargets")


def _delete_rule(annex: Annex, aws: Caller) -> None:
    name = rule.rule_name(annex.identity.id)
    try:
        aws.call("events", "DeleteRule", Name=name)
        aws.call("events", "DescribeRule", Name=name)
    except AwsError as error:
        if error.aws_code not in codes.NOT_FOUND:
            raise
    else:
        raise _refused(f"the rule {name} is still there", "StillThere", retryable=True)


def _fleets(aws: Caller, **asked: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """Return Spot Fleet requests, every page of them."""
    found: list[dict[str, Any]] = []
    page: dict[str, Any] = {}
    while True:
        answer = aws.call("ec2", "DescribeSpotFleetRequests", **asked, **page)
        found += answer.get("SpotFleetRequestConfigs", [])
        if not answer.get("NextToken"):
            return found
        page = {"NextToken": answer["NextToken"]}


def _is_of(fleet: Mapping[str, Any], annex: Annex) -> bool:
    """Tell whether a fleet is the annex's: its id if we know it, else its tag, by equality."""
    if annex.capacity_id is not None:
        return bool(fleet.get("SpotFleetRequestId") == annex.capacity_id)
    return {"Key": tags.ANNEX_ID, "Value": annex.identity.id} in fleet.get("Tags", [])


def _cancel_fleet(annex: Annex, aws: Caller) -> None:
    known = {} if annex.capacity_id is None else {"SpotFleetRequestIds": [annex.capacity_id]}

    def alive() -> list[str]:
        try:
            fleets = _fleets(aws, **known)
        except AwsError as error:
            if known and error.aws_code in codes.NOT_FOUND:
                return []
            raise
        return [
            fleet["SpotFleetRequestId"]
            for fleet in fleets
            if _is_of(fleet, annex) and fleet.get("SpotFleetRequestState") not in _GONE
        ]

    fleets = [annex.capacity_id] if annex.capacity_id is not None else alive()
    if fleets:
        aws.call(
            "ec2", "CancelSpotFleetRequests", SpotFleetRequestIds=fleets, TerminateInstances=True
        )
    if left := alive():
        raise _refused(f"still not cancelled: {', '.join(left)}", "StillThere", retryable=True)


_UNDO: Mapping[StepName, Callable[[Annex, Caller], None]] = {
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


def undo(step: StepName, annex: Annex, aws: Caller) -> None:
    """Undo one step and see that it is undone; blocking, may be repeated.

    Raises:
        AwsError: If something of it is left.
    """
    _UNDO[step](annex, aws)
