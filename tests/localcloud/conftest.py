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


@pytest.fixture
def cloud(cloud_process: LocalCloud) -> LocalCloud:
    """An empty cloud."""
    cloud_process.reset()
    return cloud_process


@pytest.fixture
def ec2(cloud: LocalCloud) -> Client:
    """EC2 in the empty cloud."""
    return cloud.client("ec2")
