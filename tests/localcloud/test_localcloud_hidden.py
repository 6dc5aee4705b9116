"""Things that are not seen at once: "Eventual consistency in the Amazon EC2 API"."""

from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError

from localcloud import LocalCloud
from tests.localcloud.conftest import Client, fleet_of, instances_of, request_fleet, run
from tests.support import wait_for

LONG = 3600.0
TAGS = [{"Key": "key", "Value": "value"}]


def test_what_was_just_made_is_in_no_list(cloud: LocalCloud, ec2: Client) -> None:
    """What was there before is, and an onlooker sees both."""
    before = request_fleet(ec2, TargetCapacity=1)
    cloud.hide(LONG)
    request_fleet(ec2, TargetCapacity=1)
    run(ec2)
    listed = ec2.describe_spot_fleet_requests()["SpotFleetRequestConfigs"]
    assert [before] == [fleet["SpotFleetRequestId"] for fleet in listed]
    assert len(instances_of(ec2)) == 1
    assert (len(cloud.contents().fleets), len(cloud.contents().instances)) == (2, 3)


@pytest.mark.parametrize(
    "call",
    [
        lambda ec2, one: ec2.describe_instances(InstanceIds=[one]),
        lambda ec2, one: ec2.terminate_instances(InstanceIds=[one]),
        lambda ec2, one: ec2.create_tags(Resources=[one], Tags=TAGS),
        lambda ec2, one: ec2.delete_tags(Resources=[one], Tags=TAGS),
    ],
    ids=["describe", "terminate", "create-tags", "delete-tags"],
)
def test_an_instance_is_not_found_by_its_id(
    cloud: LocalCloud, ec2: Client, call: Callable[[Client, str], object]
) -> None:
    """InvalidInstanceID.NotFound, though it is there; an onlooker's call acts."""
    cloud.hide(LONG)
    (instance,) = run(ec2)
    with pytest.raises(ClientError, match=r"InvalidInstanceID\.NotFound"):
        call(ec2, instance)
    call(cloud.client("ec2", looks=True), instance)


@pytest.mark.parametrize(
    "call",
    [
        lambda ec2, one: ec2.describe_spot_fleet_requests(SpotFleetRequestIds=[one]),
        lambda ec2, one: ec2.describe_spot_fleet_instances(SpotFleetRequestId=one),
        lambda ec2, one: ec2.create_tags(Resources=[one], Tags=TAGS),
        lambda ec2, one: ec2.delete_tags(Resources=[one], Tags=TAGS),
    ],
    ids=["describe", "instances", "create-tags", "delete-tags"],
)
def test_a_fleet_is_not_found_by_its_id(
    cloud: LocalCloud, ec2: Client, call: Callable[[Client, str], object]
) -> None:
    """InvalidSpotFleetRequestId.NotFound, though it is there; an onlooker's call acts."""
    cloud.hide(LONG)
    fleet = request_fleet(ec2)
    with pytest.raises(ClientError, match=r"InvalidSpotFleetRequestId\.NotFound"):
        call(ec2, fleet)
    call(cloud.client("ec2", looks=True), fleet)


def test_a_fleet_that_is_not_seen_cannot_be_cancelled(cloud: LocalCloud, ec2: Client) -> None:
    """It is told in the answer, fleetRequestIdDoesNotExist ("CancelSpotFleetRequestsError")."""
    cloud.hide(LONG)
    fleet = request_fleet(ec2)
    answer = ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=[fleet], TerminateInstances=True)
    assert answer["SuccessfulFleetRequests"] == []
    assert [(fleet, "fleetRequestIdDoesNotExist")] == [
        (one["SpotFleetRequestId"], one["Error"]["Code"])
        for one in answer["UnsuccessfulFleetRequests"]
    ]
    assert len(cloud.contents().instances) == 2


def test_one_that_is_not_seen_fails_the_whole_call(cloud: LocalCloud, ec2: Client) -> None:
    """None of the instances is terminated ("TerminateInstances")."""
    before = run(ec2)
    cloud.hide(LONG)
    ids = before + run(ec2)
    with pytest.raises(ClientError, match=r"InvalidInstanceID\.NotFound"):
        ec2.terminate_instances(InstanceIds=ids)
    assert len(cloud.contents().instances) == 2


def test_tags_of_what_is_not_seen_are_not_listed(cloud: LocalCloud, ec2: Client) -> None:
    """DescribeTags describes what DescribeInstances does not."""
    cloud.hide(LONG)
    run(ec2, TagSpecifications=[{"ResourceType": "instance", "Tags": TAGS}])
    assert ec2.describe_tags()["Tags"] == []
    assert len(cloud.client("ec2", looks=True).describe_tags()["Tags"]) == 1


def test_it_shows_after_a_while(cloud: LocalCloud, ec2: Client) -> None:
    """The change propagates."""
    cloud.hide(0.05)
    fleet = request_fleet(ec2)
    wait_for(lambda: ec2.describe_spot_fleet_requests()["SpotFleetRequestConfigs"], "the fleet")
    assert fleet_of(ec2, fleet)["SpotFleetRequestState"] == "active"


def test_late_instances_are_not_seen_at_once(cloud: LocalCloud, ec2: Client) -> None:
    """Each is hidden from its own launch on."""
    cloud.capacity(0)
    request_fleet(ec2)
    cloud.hide(LONG)
    cloud.capacity()
    assert instances_of(ec2) == {}
    assert len(cloud.contents().instances) == 2


def test_a_token_finds_what_is_not_seen(cloud: LocalCloud, ec2: Client) -> None:
    """The same request again is answered as it was."""
    cloud.hide(LONG)
    assert request_fleet(ec2, ClientToken="token") == request_fleet(ec2, ClientToken="token")
    assert run(ec2, ClientToken="token") == run(ec2, ClientToken="token")


@pytest.mark.parametrize("end", [LocalCloud.calm, lambda cloud: cloud.hide(0)])
def test_hiding_ends(cloud: LocalCloud, ec2: Client, end: Callable[[LocalCloud], None]) -> None:
    """What is made from then on is seen at once."""
    cloud.hide(LONG)
    end(cloud)
    run(ec2)
    assert len(instances_of(ec2)) == 1


def test_calm_shows_what_is_hidden(cloud: LocalCloud, ec2: Client) -> None:
    """It need not be waited for."""
    cloud.hide(LONG)
    run(ec2)
    cloud.calm()
    assert len(instances_of(ec2)) == 1
