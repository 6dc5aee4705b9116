"""Instances as AWS has them: client tokens, filters, pages, and what is forgotten."""

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud import LocalCloud
from localcloud.filters import value_test
from tests.localcloud.conftest import (
    Client,
    fleet_of,
    instances_of,
    request_fleet,
    run,
)

TAGS = [{"Key": "key", "Value": "value"}]
TAGGED = [{"ResourceType": "instance", "Tags": TAGS}]

# -- client tokens: EC2 Developer Guide, "Ensuring idempotency in Amazon EC2 API requests" ---------


def test_the_same_token_runs_nothing_more(cloud: LocalCloud, ec2: Client) -> None:
    """The same request again is answered with the same instances."""
    asked = {"ClientToken": "token", "MinCount": 2, "MaxCount": 2, "UserData": "#!/bin/sh"}
    assert run(ec2, **asked) == run(ec2, **asked)
    assert len(cloud.contents().instances) == 2


def test_the_answer_to_a_token_tells_the_state_of_now(ec2: Client) -> None:
    """All that may differ from the first answer is the instance's state."""
    asked = {"ImageId": "ami-12345678", "MinCount": 1, "MaxCount": 1, "ClientToken": "token"}
    first, again = (ec2.run_instances(**asked) for _ in range(2))
    states = [answer["Instances"][0].pop("State")["Name"] for answer in (first, again)]
    assert states == ["pending", "running"]
    assert first["Instances"] == again["Instances"]
    assert first["ReservationId"] == again["ReservationId"]


@pytest.mark.parametrize("other", [{"MaxCount": 2}, {"TagSpecifications": TAGGED}])
def test_the_same_token_with_others_is_refused(
    cloud: LocalCloud, ec2: Client, other: dict[str, Any]
) -> None:
    """IdempotentParameterMismatch, and nothing is launched."""
    run(ec2, ClientToken="token")
    with pytest.raises(ClientError, match="IdempotentParameterMismatch"):
        run(ec2, ClientToken="token", **other)
    assert len(cloud.contents().instances) == 1


def test_the_token_of_what_has_terminated_is_refused(cloud: LocalCloud, ec2: Client) -> None:
    """IdempotentInstanceTerminated ("Error codes"): once all of them have, and ever after."""
    asked = {"ClientToken": "token", "MinCount": 2, "MaxCount": 2}
    one, other = run(ec2, **asked)
    ec2.terminate_instances(InstanceIds=[one])
    assert [one, other] == run(ec2, **asked)
    ec2.terminate_instances(InstanceIds=[other])
    for _ in range(2):
        with pytest.raises(ClientError, match="IdempotentInstanceTerminated"):
            run(ec2, **asked)
        cloud.forget_ended()
    assert cloud.contents().empty


def test_a_token_is_of_its_action(cloud: LocalCloud, ec2: Client) -> None:
    """RequestSpotFleet with the same token is another request."""
    run(ec2, ClientToken="token")
    request_fleet(ec2, ClientToken="token")
    assert (len(cloud.contents().instances), len(cloud.contents().fleets)) == (3, 1)


def test_a_launch_that_failed_does_not_use_its_token_up(cloud: LocalCloud, ec2: Client) -> None:
    """The same request again is tried again, as there may be capacity then."""
    cloud.capacity(0)
    with pytest.raises(ClientError, match="InsufficientInstanceCapacity"):
        run(ec2, ClientToken="token")
    cloud.capacity()
    assert len(run(ec2, ClientToken="token")) == 1


# -- filters: EC2 API Reference, "DescribeInstances" -----------------------------------------------


def test_filters_that_moto_lacks(ec2: Client) -> None:
    """client-token, instance-lifecycle and launch-time, with wildcards."""
    request_fleet(ec2, TargetCapacity=1)
    (spot,) = instances_of(ec2)
    (mine,) = run(ec2, ClientToken="token")
    run(ec2, ClientToken="other")
    assert [mine] == list(instances_of(ec2, ("client-token", "token")))
    assert [spot] == list(instances_of(ec2, ("instance-lifecycle", "spot")))
    assert len(instances_of(ec2, ("launch-time", "20*.000Z"))) == 3
    assert instances_of(ec2, ("launch-time", "2006-08-25*")) == {}


def test_filters_by_tag_and_state(ec2: Client) -> None:
    """tag:KEY, tag-key and instance-state-name, and a fleet's instances by the tag of its id."""
    fleet = request_fleet(ec2, TargetCapacity=1, Type="request")
    (of_fleet,) = instances_of(ec2)
    (tagged,) = run(ec2, TagSpecifications=TAGGED)
    run(ec2)
    ec2.terminate_instances(InstanceIds=[tagged])
    assert [of_fleet] == list(instances_of(ec2, ("tag:aws:ec2spot:fleet-request-id", fleet)))
    assert [tagged] == list(instances_of(ec2, ("tag:key", "value")))
    assert [tagged] == list(instances_of(ec2, ("tag:key", "v?l*")))
    assert instances_of(ec2, ("tag:key", "other")) == {}
    assert [tagged] == list(instances_of(ec2, ("tag-key", "key")))
    assert [tagged] == list(instances_of(ec2, ("instance-state-name", "terminated")))
    assert instances_of(ec2, ("tag:key", "value"), ("instance-state-name", "running")) == {}


def test_a_filter_takes_two_hundred_values(ec2: Client) -> None:
    """And no more: FilterLimitExceeded ("Error codes")."""
    names = [f"value-{number}" for number in range(201)]
    ec2.describe_instances(Filters=[{"Name": "tag:key", "Values": names[:200]}])
    with pytest.raises(ClientError, match="FilterLimitExceeded"):
        ec2.describe_instances(Filters=[{"Name": "tag:key", "Values": names}])


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("a*", "abc", True),
        ("a?c", "abc", True),
        ("a?", "abc", False),
        ("[ab]", "a", False),
        ("[ab]", "[ab]", True),
        (r"a\*", "abc", False),
        (r"a\*", "a*", True),
        ("ABC", "abc", False),
    ],
)
def test_wildcards(pattern: str, text: str, *, expected: bool) -> None:
    """As "List and filter your resources using the CLI and API" tells them."""
    assert expected == value_test([pattern])(text)


# -- pages -----------------------------------------------------------------------------------------


def test_instances_come_in_pages(cloud: LocalCloud, ec2: Client) -> None:
    """Of reservations; no page is larger than told, and together they hold all."""
    ids = {one for _ in range(3) for one in run(ec2, MinCount=2, MaxCount=2)}
    cloud.page_size(2)
    pages = list(ec2.get_paginator("describe_instances").paginate())
    assert [len(page["Reservations"]) for page in pages] == [2, 1]
    assert ids == set(instances_of(ec2))


def test_a_page_may_be_asked_for_by_its_size(ec2: Client) -> None:
    """MaxResults holds for a list, and is refused beside ids ("DescribeInstances")."""
    ids = [run(ec2)[0] for _ in range(3)]
    assert len(ec2.describe_instances(MaxResults=2)["Reservations"]) == 2
    with pytest.raises(ClientError, match="InvalidParameterCombination"):
        ec2.describe_instances(InstanceIds=ids, MaxResults=5)


def test_what_stays_is_on_some_page(cloud: LocalCloud, ec2: Client) -> None:
    """Though things on the pages before have gone meanwhile."""
    fleets = [request_fleet(ec2) for _ in range(4)]
    cloud.page_size(2)
    first = ec2.describe_spot_fleet_requests()
    ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=fleets[:2], TerminateInstances=True)
    cloud.forget_ended()
    second = ec2.describe_spot_fleet_requests(NextToken=first["NextToken"])
    assert fleets[2:] == [one["SpotFleetRequestId"] for one in second["SpotFleetRequestConfigs"]]


# -- ends ------------------------------------------------------------------------------------------


def test_what_has_terminated_stays_for_a_while(cloud: LocalCloud, ec2: Client) -> None:
    """Until the cloud forgets it: AWS does so within about an hour ("TerminateInstances")."""
    living, *ended = run(ec2, MinCount=3, MaxCount=3)
    ec2.terminate_instances(InstanceIds=ended)
    assert len(instances_of(ec2)) == 3
    cloud.forget_ended()
    assert [living] == list(instances_of(ec2))
    with pytest.raises(ClientError, match=r"InvalidInstanceID\.NotFound"):
        ec2.describe_instances(InstanceIds=ended)


def test_a_cancelled_fleet_is_forgotten_with_its_instances(cloud: LocalCloud, ec2: Client) -> None:
    """AWS deletes it two days after ("Spot Fleet request states"); its token still gives its id."""
    cancelled, active = (request_fleet(ec2, ClientToken=token) for token in ("one", "two"))
    ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=[cancelled], TerminateInstances=True)
    cloud.forget_ended()
    with pytest.raises(ClientError, match=r"InvalidSpotFleetRequestId\.NotFound"):
        fleet_of(ec2, cancelled)
    assert len(instances_of(ec2)) == 2
    assert cancelled == request_fleet(ec2, ClientToken="one")
    assert [active] == [one["SpotFleetRequestId"] for one in cloud.contents().fleets]


def test_what_is_still_ending_is_not_forgotten(cloud: LocalCloud, ec2: Client) -> None:
    """Nor its fleet."""
    fleet = request_fleet(ec2)
    cloud.slow_end(3600)
    ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=[fleet], TerminateInstances=True)
    cloud.forget_ended()
    assert fleet_of(ec2, fleet)["SpotFleetRequestState"] == "cancelled_terminating"
    assert len(instances_of(ec2)) == 2


def test_one_unknown_id_ends_nothing(cloud: LocalCloud, ec2: Client) -> None:
    """None of the instances is terminated ("TerminateInstances")."""
    ids = run(ec2)
    with pytest.raises(ClientError, match=r"InvalidInstanceID\.NotFound"):
        ec2.terminate_instances(InstanceIds=[*ids, "i-1234567890abcdef0"])
    assert len(cloud.contents().instances) == 1


def test_all_instances_get_the_profile(cloud: LocalCloud, ec2: Client) -> None:
    """Not the first alone, as moto has it."""
    iam = cloud.client("iam")
    profile = iam.create_instance_profile(InstanceProfileName="annex")["InstanceProfile"]["Arn"]
    run(ec2, MinCount=2, MaxCount=2, IamInstanceProfile={"Arn": profile})
    assert [profile, profile] == [
        instance["IamInstanceProfile"]["Arn"] for instance in cloud.contents().instances
    ]


def test_an_instance_is_described_as_aws_does(ec2: Client) -> None:
    """With all that tells where it is and how it does ("Instance")."""
    (instance,) = run(ec2, TagSpecifications=TAGGED, ClientToken="token")
    described = ec2.describe_instances()["Reservations"][0]["Instances"][0]
    wanted = {
        "InstanceId": instance,
        "InstanceType": "m5.large",
        "ImageId": "ami-12345678",
        "ClientToken": "token",
        "State": {"Code": 16, "Name": "running"},
        "Tags": TAGS,
    }
    assert wanted == {name: described[name] for name in wanted}
    assert described["Placement"]["AvailabilityZone"] == "us-east-1a"
    assert described["LaunchTime"] <= datetime.now(UTC)
    assert described["PrivateIpAddress"] == described["NetworkInterfaces"][0]["PrivateIpAddress"]
