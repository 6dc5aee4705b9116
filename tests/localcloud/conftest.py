"""An empty cloud, and a Spot Fleet to ask it for."""

from typing import Any

import pytest

from localcloud import LocalCloud

Client = Any
"""A boto3 client, which has no types."""

ROLE = "arn:aws:iam::123456789012:role/fleet"


def fleet_config(**changes: object) -> dict[str, Any]:
    """Return a small SpotFleetRequestConfig, with changes."""
    return {
        "IamFleetRole": ROLE,
        "TargetCapacity": 2,
        "LaunchSpecifications": [{"ImageId": "ami-12345678", "InstanceType": "m5.large"}],
        **changes,
    }


def request_fleet(ec2: Client, **changes: object) -> str:
    """Request a fleet, and return its id."""
    answer = ec2.request_spot_fleet(SpotFleetRequestConfig=fleet_config(**changes))
    return str(answer["SpotFleetRequestId"])


def fleet_of(ec2: Client, fleet: str) -> dict[str, Any]:
    """Return a fleet as DescribeSpotFleetRequests describes it."""
    answer = ec2.describe_spot_fleet_requests(SpotFleetRequestIds=[fleet])
    described: dict[str, Any] = answer["SpotFleetRequestConfigs"][0]
    return described


def instances_of(ec2: Client, *filters: tuple[str, str]) -> dict[str, str]:
    """Return the instances that pass filters (name, value): id to state."""
    asked = [{"Name": name, "Values": [value]} for name, value in filters]
    pages = ec2.get_paginator("describe_instances").paginate(Filters=asked)
    return {
        instance["InstanceId"]: instance["State"]["Name"]
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
    }


def run(ec2: Client, **changes: object) -> list[str]:
    """Run instances, one unless told otherwise, and return their ids."""
    asked = {"ImageId": "ami-12345678", "InstanceType": "m5.large", "MinCount": 1, "MaxCount": 1}
    made = ec2.run_instances(**{**asked, **changes})
    return [instance["InstanceId"] for instance in made["Instances"]]


@pytest.fixture
def cloud(cloud_process: LocalCloud) -> LocalCloud:
    """An empty cloud."""
    cloud_process.reset()
    return cloud_process


@pytest.fixture
def ec2(cloud: LocalCloud) -> Client:
    """EC2 in the empty cloud."""
    return cloud.client("ec2")
