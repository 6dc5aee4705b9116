"""Capacity that comes late, partly or not at all; fleets that replace; slow ends."""

import pytest
from botocore.exceptions import ClientError

from localcloud import LocalCloud
from tests.localcloud.conftest import (
    Client,
    fleet_of,
    instances_of,
    request_fleet,
    run,
)
from tests.support import wait_for

LONG = 3600.0
RUNNING = ("instance-state-name", "running")


def test_capacity_comes_late(cloud: LocalCloud, ec2: Client) -> None:
    """Until then the fleet is active and pending_fulfillment ("SpotFleetRequestConfig")."""
    cloud.capacity(delay=LONG)
    fleet = fleet_of(ec2, request_fleet(ec2))
    assert instances_of(ec2) == {}
    assert (fleet["SpotFleetRequestState"], fleet["ActivityStatus"]) == (
        "active",
        "pending_fulfillment",
    )
    cloud.capacity(delay=0.05)
    wait_for(lambda: len(instances_of(ec2)) == 2, "two instances")
    assert fleet_of(ec2, fleet["SpotFleetRequestId"])["ActivityStatus"] == "fulfilled"


def test_capacity_comes_one_by_one(cloud: LocalCloud, ec2: Client) -> None:
    """With a time from each instance to its next; FulfilledCapacity tells how far it is."""
    cloud.capacity(step=LONG)
    fleet = request_fleet(ec2, TargetCapacity=3)
    described = fleet_of(ec2, fleet)
    assert described["SpotFleetRequestConfig"]["FulfilledCapacity"] == 1
    assert described["ActivityStatus"] == "pending_fulfillment"
    cloud.capacity(step=0.02)
    wait_for(lambda: len(instances_of(ec2)) == 3, "three instances")


def test_capacity_comes_partly(cloud: LocalCloud, ec2: Client) -> None:
    """At the limit the fleet has an error, spotInstanceCountLimitExceeded ("EventInformation")."""
    cloud.capacity(3)
    full, partly, none = (request_fleet(ec2) for _ in range(3))
    assert [
        (one["ActivityStatus"], one["SpotFleetRequestConfig"]["FulfilledCapacity"])
        for one in (fleet_of(ec2, fleet) for fleet in (full, partly, none))
    ] == [("fulfilled", 2), ("error", 1), ("error", 0)]
    assert len(instances_of(ec2)) == 3


def test_a_fleet_goes_on_trying(cloud: LocalCloud, ec2: Client) -> None:
    """An active fleet attempts to reach its target ("Spot Fleet request states")."""
    cloud.capacity(0)
    fleet = request_fleet(ec2)
    assert instances_of(ec2) == {}
    cloud.capacity(1)
    assert len(instances_of(ec2)) == 1
    cloud.capacity()
    assert len(instances_of(ec2)) == 2
    assert fleet_of(ec2, fleet)["ActivityStatus"] == "fulfilled"


def test_a_cancelled_fleet_gets_nothing_more(cloud: LocalCloud, ec2: Client) -> None:
    """After it is cancelled, it launches no new instances ("CancelSpotFleetRequests")."""
    cloud.capacity(1)
    fleet = request_fleet(ec2)
    ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=[fleet], TerminateInstances=False)
    cloud.capacity()
    assert len(instances_of(ec2)) == 1


def test_weights_count_as_units(cloud: LocalCloud, ec2: Client) -> None:
    """The target is met or passed by as little as can be ("Spot Fleet instance weighting")."""
    pool = {"ImageId": "ami-12345678", "InstanceType": "m5.large", "WeightedCapacity": 3.0}
    fleet = request_fleet(ec2, TargetCapacity=7, LaunchSpecifications=[pool])
    assert len(cloud.contents().instances) == 3
    assert fleet_of(ec2, fleet)["SpotFleetRequestConfig"]["FulfilledCapacity"] == 9


@pytest.mark.parametrize(
    ("changes", "living"), [({"Type": "maintain"}, 2), ({}, 2), ({"Type": "request"}, 1)]
)
def test_a_fleet_that_maintains_replaces(
    cloud: LocalCloud, ec2: Client, changes: dict[str, str], living: int
) -> None:
    """And is the default; one that only requests does not ("SpotFleetRequestConfigData", Type)."""
    request_fleet(ec2, **changes)
    first = next(iter(instances_of(ec2)))
    ec2.terminate_instances(InstanceIds=[first])
    assert living == len(instances_of(ec2, RUNNING))
    assert len(cloud.contents().instances) == living


def test_a_replacement_takes_its_time(cloud: LocalCloud, ec2: Client) -> None:
    """As every instance does that a fleet waits for."""
    fleet = request_fleet(ec2)
    cloud.capacity(delay=LONG)
    ec2.terminate_instances(InstanceIds=list(instances_of(ec2)))
    assert instances_of(ec2, RUNNING) == {}
    assert fleet_of(ec2, fleet)["ActivityStatus"] == "pending_fulfillment"


def test_a_cancelled_fleet_replaces_nothing(cloud: LocalCloud, ec2: Client) -> None:
    """It is cancelled_running until its last instance ends ("Spot Fleet request states")."""
    fleet = request_fleet(ec2)
    ids = list(instances_of(ec2))
    ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=[fleet], TerminateInstances=False)
    states = [fleet_of(ec2, fleet)["SpotFleetRequestState"]]
    for one in ids:
        ec2.terminate_instances(InstanceIds=[one])
        states.append(fleet_of(ec2, fleet)["SpotFleetRequestState"])
    assert states == ["cancelled_running", "cancelled_running", "cancelled"]
    assert cloud.contents().empty


def test_a_fleets_instances_end_slowly(cloud: LocalCloud, ec2: Client) -> None:
    """It is cancelled_terminating while they are shutting-down ("Spot Fleet request states")."""
    fleet = request_fleet(ec2)
    cloud.slow_end(LONG)
    ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=[fleet], TerminateInstances=True)
    described = fleet_of(ec2, fleet)
    assert (described["SpotFleetRequestState"], described["ActivityStatus"]) == (
        "cancelled_terminating",
        "pending_termination",
    )
    assert set(instances_of(ec2).values()) == {"shutting-down"}
    assert ec2.describe_spot_fleet_instances(SpotFleetRequestId=fleet)["ActiveInstances"] == []


def test_a_slow_end_ends(cloud: LocalCloud, ec2: Client) -> None:
    """The fleet is cancelled when its instances have terminated."""
    fleet = request_fleet(ec2)
    cloud.slow_end(0.05)
    ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=[fleet], TerminateInstances=True)
    wait_for(lambda: set(instances_of(ec2).values()) == {"terminated"}, "the instances' end")
    assert fleet_of(ec2, fleet)["SpotFleetRequestState"] == "cancelled"


def test_instances_end_slowly(cloud: LocalCloud, ec2: Client) -> None:
    """TerminateInstances may be repeated, and each call succeeds ("TerminateInstances")."""
    ids = run(ec2)
    cloud.slow_end(LONG)
    told = []
    for _ in range(2):
        answer = ec2.terminate_instances(InstanceIds=ids)["TerminatingInstances"][0]
        told.append((answer["PreviousState"]["Name"], answer["CurrentState"]["Name"]))
    assert told == [("running", "shutting-down"), ("shutting-down", "shutting-down")]
    assert list(instances_of(ec2).values()) == ["shutting-down"]


def test_one_that_is_ending_leaves_room(cloud: LocalCloud, ec2: Client) -> None:
    """What counts is what lives."""
    cloud.capacity(1)
    cloud.slow_end(LONG)
    ec2.terminate_instances(InstanceIds=run(ec2))
    assert len(run(ec2)) == 1


def test_run_instances_takes_what_there_is(cloud: LocalCloud, ec2: Client) -> None:
    """The largest possible number from MinCount to MaxCount ("RunInstances", MaxCount)."""
    assert len(run(ec2, MinCount=2, MaxCount=5)) == 5
    cloud.capacity(8)
    assert len(run(ec2, MinCount=2, MaxCount=5)) == 3


def test_run_instances_is_all_or_nothing_below_its_least(cloud: LocalCloud, ec2: Client) -> None:
    """It launches none, and fails with a server's error ("Error codes", server error codes)."""
    cloud.capacity(2)
    with pytest.raises(ClientError, match="InsufficientInstanceCapacity") as failed:
        run(ec2, MinCount=3, MaxCount=5)
    assert failed.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert cloud.contents().empty


def test_settings_that_make_no_sense_are_refused(cloud: LocalCloud) -> None:
    """At once, with the setting."""
    with pytest.raises(ValueError, match="most is at least 0"):
        cloud.capacity(-1)


def test_reset_sets_the_world_back(cloud: LocalCloud, ec2: Client) -> None:
    """Capacity, hiding and slow ends are as at the start."""
    cloud.capacity(0, delay=LONG, step=LONG)
    cloud.hide(LONG)
    cloud.slow_end(LONG)
    cloud.reset()
    request_fleet(ec2, Type="request")
    ids = list(instances_of(ec2))
    ec2.terminate_instances(InstanceIds=ids)
    assert list(instances_of(ec2).values()) == ["terminated", "terminated"]
