"""A kill as a fault: the process ends exactly before or after a call has acted."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from botocore.exceptions import ConnectionClosedError

from localcloud import LocalCloud
from localcloud.faults import Fault
from tests.localcloud.conftest import Client, request_fleet

ASKER = """
import boto3
config = {
    "IamFleetRole": "arn:aws:iam::123456789012:role/fleet",
    "TargetCapacity": 1,
    "LaunchSpecifications": [{"ImageId": "ami-12345678"}],
}
input()
boto3.client("ec2").request_spot_fleet(SpotFleetRequestConfig=config)
"""
"""A program that requests a fleet when it is told to."""


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A child that would live for long."""
    with subprocess.Popen(["sleep", "600"]) as child:
        yield child
        child.kill()


@pytest.mark.parametrize(
    ("when", "fleets", "met"), [("before", 0, "killed"), ("after", 1, "killed after")]
)
def test_the_caller_dies_in_its_own_call(
    cloud: LocalCloud, when: str, fleets: int, met: str
) -> None:
    """It never learns what became of the call, which has acted or has not."""
    with subprocess.Popen(
        [sys.executable, "-c", ASKER],
        stdin=subprocess.PIPE,
        env={**os.environ, **cloud.environment()},
    ) as child:
        cloud.kill(child.pid, "RequestSpotFleet", when=when)
        child.communicate(b"\n")
    assert child.returncode == -signal.SIGKILL
    assert fleets == len(cloud.contents().fleets)
    assert [(met, 0)] == [(seen.met, seen.status) for seen in cloud.requests("RequestSpotFleet")]


def test_it_has_ended_when_the_connection_breaks(
    cloud: LocalCloud, ec2: Client, victim: subprocess.Popen[bytes]
) -> None:
    """Whoever made the call: so nothing can act on the broken connection."""
    cloud.kill(victim.pid, "DescribeInstances")
    with pytest.raises(ConnectionClosedError):
        ec2.describe_instances()
    assert victim.poll() == -signal.SIGKILL


def test_a_kill_waits_for_its_call(
    cloud: LocalCloud, ec2: Client, victim: subprocess.Popen[bytes]
) -> None:
    """Others pass, and so many of its own."""
    cloud.kill(victim.pid, "DescribeInstances", skip=1)
    cloud.client("events").list_rules()
    ec2.describe_instances()
    assert victim.poll() is None
    with pytest.raises(ConnectionClosedError):
        ec2.describe_instances()
    assert victim.poll() == -signal.SIGKILL
    assert cloud.faults() == []


def test_any_call_may_be_meant(cloud: LocalCloud, victim: subprocess.Popen[bytes]) -> None:
    """With no action named it is the very next."""
    cloud.kill(victim.pid)
    with pytest.raises(ConnectionClosedError):
        cloud.client("events").list_rules()
    assert victim.poll() == -signal.SIGKILL


def test_calm_spares_it(cloud: LocalCloud, ec2: Client, victim: subprocess.Popen[bytes]) -> None:
    """The fault is gone with the others."""
    cloud.kill(victim.pid)
    cloud.calm()
    ec2.describe_instances()
    assert victim.poll() is None


def test_one_that_has_ended_by_itself_is_no_trouble(
    cloud: LocalCloud, ec2: Client, victim: subprocess.Popen[bytes]
) -> None:
    """The call has no answer all the same."""
    cloud.kill(victim.pid, "RequestSpotFleet", when="after")
    victim.terminate()
    victim.wait()
    with pytest.raises(ConnectionClosedError):
        request_fleet(ec2)
    assert len(cloud.contents().fleets) == 1


@pytest.mark.parametrize(
    "pid", [1, os.getpid(), os.getppid(), 2**22 + 1], ids=["init", "self", "parent", "none"]
)
def test_only_an_own_child_can_be_meant(cloud: LocalCloud, pid: int) -> None:
    """Not init, not ourselves, not our parent, and none that there cannot be."""
    with pytest.raises(ValueError, match=f"process {pid} is not a child"):
        cloud.kill(pid)
    assert cloud.faults() == []


def test_a_process_has_a_positive_id() -> None:
    """Others stand for whole groups of processes (kill(2))."""
    with pytest.raises(ValueError, match="id of a process"):
        Fault("*", kill=-1)


def test_the_cloud_does_not_end_itself(cloud: LocalCloud, cloud_process: LocalCloud) -> None:
    """Though its process is the caller's child."""
    with pytest.raises(ValueError, match="is not a child"):
        cloud.kill(cloud_process.pid)
