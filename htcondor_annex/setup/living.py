"""What lives in a region: what keeps -teardown from taking the lease function away.

AWS is asked, whoever made the annex; and annexd, which knows also of one that is only promised.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from htcondor_annex import tags
from htcondor_annex.errors import DaemonUnreachableError
from htcondor_annex.lease.rule import PREFIX, annex_of
from htcondor_annex.setup.aws import Aws

__all__ = ["in_annexd", "in_aws", "summary"]

_FLEETS_OVER = frozenset({"cancelled", "failed"})
_INSTANCES_OVER = "terminated"
_OVER = frozenset({"ended", "failed"})
_SHOWN = 10


def _annex(tagged: Mapping[str, Any]) -> str | None:
    found = {tag["Key"]: tag["Value"] for tag in tagged.get("Tags", [])}
    return found.get(tags.ANNEX_ID)


def _fleets(aws: Aws) -> Iterator[str]:
    pages = aws.pages("ec2", "describe_spot_fleet_requests", "SpotFleetRequestConfigs")
    for fleet in pages:
        state = fleet["SpotFleetRequestState"]
        if (annex := _annex(fleet)) and state not in _FLEETS_OVER:
            yield f"fleet {fleet['SpotFleetRequestId']} of annex {annex} is {state}"


def _instances(aws: Aws) -> Iterator[str]:
    only = [{"Name": "tag-key", "Values": [tags.ANNEX_ID]}]
    for reservation in aws.pages("ec2", "describe_instances", "Reservations", Filters=only):
        for instance in reservation["Instances"]:
            state = instance["State"]["Name"]
            if (annex := _annex(instance)) and state != _INSTANCES_OVER:
                yield f"instance {instance['InstanceId']} of annex {annex} is {state}"


def _rules(aws: Aws) -> Iterator[str]:
    for rule in aws.pages("events", "list_rules", "Rules", NamePrefix=PREFIX):
        if annex := annex_of(rule["Name"]):
            yield f"rule {rule['Name']} of annex {annex} is there"


def in_aws(aws: Aws) -> list[str]:
    """Return what of annexes has not ended in a region, in words.

    Raises:
        AwsError: If AWS does not let us look.
    """
    return [*_fleets(aws), *_instances(aws), *_rules(aws)]


def in_annexd(
    region: str, annexes: Callable[[], Sequence[Mapping[str, Any]]], remark: Callable[[str], None]
) -> list[str]:
    """Return the annexes of a region that annexd tells of, in words.

    Args:
        region: Which.
        annexes: Asks annexd.
        remark: Hears that it does not answer.

    Raises:
        AnnexError: If it answers with an error.
    """
    try:
        found = annexes()
    except DaemonUnreachableError as error:
        remark(f"Note: {error.message}; AWS alone is asked what lives.")
        return []
    return [
        f"annex {annex.get('name')} ({annex.get('id')}) is {annex.get('state')}"
        for annex in found
        if annex.get("region") == region and annex.get("state") not in _OVER
    ]


def summary(living: Sequence[str]) -> list[str]:
    """Return the first of many."""
    more = len(living) - _SHOWN
    return [*living[:_SHOWN], *([f"and {more} more"] if more > 0 else [])]
