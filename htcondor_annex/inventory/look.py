"""Looks at what AWS holds: whole pages, as few calls as there are pages. The thin edge.

A filter is a wish: what comes back is checked again by whoever asked, by equality.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol

from htcondor_annex import tags
from htcondor_annex.aws import codes
from htcondor_annex.errors import AwsError
from htcondor_annex.inventory.seen import (
    ALIVE,
    Fleet,
    Instance,
    Marks,
    Rule,
    read_fleet,
    read_instance,
    read_marks,
)
from htcondor_annex.lease import rule

__all__ = ["Caller", "fleets", "instances", "instances_of_fleets", "rule_marks", "rules"]

_PAGE = 1000
"""The most that one page of DescribeSpotFleetRequests or DescribeInstances holds."""
_MOST_PAGES = 1000
"""Far more than an account can fill (EC2 quotas): an answer that never ends is none."""
_RULES_A_PAGE = 100
_VALUES_A_FILTER = 200
"""The most values of one DescribeInstances filter."""
_SHUTTING_DOWN = "shutting-down"


class Caller(Protocol):
    """Makes calls to AWS; see `aws.clients.Calls`."""

    def call(self, service: str, action: str, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401
        """Make one call; raises AwsError."""


def _pages(aws: Caller, service: str, action: str, asked: Mapping[str, Any]) -> Iterator[Any]:
    token: dict[str, Any] = {}
    for _ in range(_MOST_PAGES):
        answer = aws.call(service, action, **asked, **token)
        yield answer
        if not answer.get("NextToken"):
            return
        token = {"NextToken": answer["NextToken"]}
    raise AwsError(
        f"{action} gave more than {_MOST_PAGES} pages",
        aws_code="TooManyPages",
        retryable=True,
        aws_may_have_acted=False,
    )


def fleets(aws: Caller, ids: Sequence[str] = ()) -> list[Fleet]:
    """Return the account's Spot Fleets in the region, or those with these ids; blocking.

    Raises:
        AwsError: With a code of `codes.NOT_FOUND` if one of the ids is not known.
    """
    # Pages are a matter of lists alone: ids are few.
    asked: dict[str, Any] = {"SpotFleetRequestIds": list(ids)} if ids else {"MaxResults": _PAGE}
    return [
        read_fleet(described)
        for page in _pages(aws, "ec2", "DescribeSpotFleetRequests", asked)
        for described in page.get("SpotFleetRequestConfigs", [])
    ]


def _instances(aws: Caller, name: str, values: Sequence[str]) -> Iterator[Instance]:
    asked = {
        "Filters": [
            {"Name": name, "Values": list(values)},
            {"Name": "instance-state-name", "Values": [*ALIVE, _SHUTTING_DOWN]},
        ],
        "MaxResults": _PAGE,
    }
    for page in _pages(aws, "ec2", "DescribeInstances", asked):
        for reservation in page.get("Reservations", []):
            for described in reservation.get("Instances", []):
                yield read_instance(described)


def instances(aws: Caller, tag: str, value: str, mark: Callable[[Marks], str]) -> list[Instance]:
    """Return the instances that carry a tag and have not gone; blocking.

    Args:
        aws: Makes the calls.
        tag: The tag's key.
        value: Its value.
        mark: The same tag as `Marks` has it.
    """
    return [one for one in _instances(aws, f"tag:{tag}", [value]) if mark(one.marks) == value]


def instances_of_fleets(aws: Caller, fleet_ids: Collection[str]) -> list[Instance]:
    """Return the instances that these Spot Fleets launched and that have not gone; blocking."""
    wanted = sorted(fleet_ids)
    return [
        one
        for start in range(0, len(wanted), _VALUES_A_FILTER)
        for one in _instances(aws, f"tag:{tags.FLEET}", wanted[start : start + _VALUES_A_FILTER])
        if one.fleet_id in fleet_ids
    ]


def rules(aws: Caller) -> list[Rule]:
    """Return the rules whose names are those of annexes' rules, whosever; blocking."""
    asked = {"NamePrefix": rule.PREFIX, "Limit": _RULES_A_PAGE}
    found = []
    for page in _pages(aws, "events", "ListRules", asked):
        for described in page.get("Rules", []):
            name = str(described.get("Name", ""))
            if (annex_id := rule.annex_of(name)) is not None:
                found.append(Rule(name, str(described.get("Arn", "")), annex_id))
    return found


def rule_marks(aws: Caller, arn: str) -> Marks | None:
    """Return whose a rule is by its tags, or None if it has gone; blocking."""
    try:
        return read_marks(aws.call("events", "ListTagsForResource", ResourceARN=arn).get("Tags"))
    except AwsError as error:
        if error.aws_code in codes.NOT_FOUND:
            return None
        raise
