"""When a Spot Fleet may launch instances: ValidFrom and ValidUntil, as AWS has them."""

import time

from localcloud import LocalCloud
from tests.localcloud.conftest import Client, fleet_of, instances_of, request_fleet
from tests.support import wait_for


def _in(seconds: int) -> int:
    """Return a time so many seconds from now, and up to one more: AWS's times are whole seconds."""
    return int(time.time()) + seconds + 1


def _state(ec2: Client, fleet: str) -> str:
    return str(fleet_of(ec2, fleet)["SpotFleetRequestState"])


def test_before_its_time_a_fleet_launches_nothing(ec2: Client) -> None:
    """It is submitted; when its time has come it is active, and has its instances."""
    fleet = request_fleet(ec2, ValidFrom=_in(1))
    before = (_state(ec2, fleet), instances_of(ec2))
    assert ("submitted", {}) == before
    wait_for(lambda: _state(ec2, fleet) == "active", "time of the fleet")
    assert ["running", "running"] == list(instances_of(ec2).values())


def test_a_fleet_that_has_not_begun_can_be_cancelled(ec2: Client) -> None:
    """It is over at once, and its time never comes."""
    fleet = request_fleet(ec2, ValidFrom=_in(1))
    answer = ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=[fleet], TerminateInstances=True)
    (done,) = answer["SuccessfulFleetRequests"]
    assert "submitted" == done["PreviousSpotFleetRequestState"]
    time.sleep(2)
    assert ("cancelled", {}) == (_state(ec2, fleet), instances_of(ec2))


def test_a_fleet_that_expires_ends_its_instances(cloud: LocalCloud, ec2: Client) -> None:
    """With TerminateInstancesWithExpiration; it is cancelled_terminating until they have ended."""
    cloud.slow_end(1)
    fleet = request_fleet(ec2, ValidUntil=_in(1), TerminateInstancesWithExpiration=True)
    assert "active" == _state(ec2, fleet)
    wait_for(lambda: _state(ec2, fleet) == "cancelled_terminating", "end of the fleet")
    assert ["shutting-down", "shutting-down"] == list(instances_of(ec2).values())
    wait_for(lambda: _state(ec2, fleet) == "cancelled", "end of the instances")
    assert {"terminated"} == set(instances_of(ec2).values())


def test_a_fleet_that_expires_may_leave_its_instances(ec2: Client) -> None:
    """Without TerminateInstancesWithExpiration they run on."""
    fleet = request_fleet(ec2, ValidUntil=_in(0))
    wait_for(lambda: _state(ec2, fleet) == "cancelled_running", "end of the fleet")
    assert ["running", "running"] == list(instances_of(ec2).values())


def test_an_expired_fleet_replaces_nothing(ec2: Client) -> None:
    """Though it is one that maintains its capacity."""
    fleet = request_fleet(ec2, ValidUntil=_in(0), Type="maintain")
    wait_for(lambda: _state(ec2, fleet) == "cancelled_running", "end of the fleet")
    ec2.terminate_instances(InstanceIds=list(instances_of(ec2)))
    assert ["terminated", "terminated"] == list(instances_of(ec2).values())
    assert "cancelled" == _state(ec2, fleet)


def test_capacity_that_comes_too_late_does_not_come(cloud: LocalCloud, ec2: Client) -> None:
    """One instance came before the end, the other would have come after it."""
    cloud.capacity(step=60)
    fleet = request_fleet(ec2, ValidUntil=_in(0))
    wait_for(lambda: _state(ec2, fleet) == "cancelled_running", "end of the fleet")
    assert ["running"] == list(instances_of(ec2).values())


def test_a_fleet_without_an_end_has_none(cloud: LocalCloud, ec2: Client) -> None:
    """It outlives one that has."""
    lasting, other = request_fleet(ec2), request_fleet(ec2, ValidUntil=_in(0))
    wait_for(lambda: _state(ec2, other) == "cancelled_running", "end of the other")
    assert "active" == _state(ec2, lasting)
    assert 4 == len(cloud.contents().instances)
