"""An example config.json, in the form in which the AWS console exports a Spot Fleet. Pure."""

from typing import Any

__all__ = ["example_config"]

_ACCOUNT = "123456789012"


def example_config() -> dict[str, Any]:
    """Return a SpotFleetRequestConfig to edit: role, image, profile and network are the user's own.

    It spreads over several instance types, since a pool that has none left is the rule, not the
    exception; each weighs as many units as it has cores.
    """

    def pool(instance_type: str, weight: int) -> dict[str, Any]:
        return {
            "ImageId": "ami-0123456789abcdef0",
            "InstanceType": instance_type,
            "WeightedCapacity": weight,
            "IamInstanceProfile": {
                "Arn": f"arn:aws:iam::{_ACCOUNT}:instance-profile/htcondor-annex-instance"
            },
            "SubnetId": "subnet-0123456789abcdef0, subnet-0fedcba9876543210",
            "SecurityGroups": [{"GroupId": "sg-0123456789abcdef0"}],
            "BlockDeviceMappings": [
                {
                    "DeviceName": "/dev/xvda",
                    "Ebs": {
                        "DeleteOnTermination": True,
                        "VolumeType": "gp3",
                        "VolumeSize": 20,
                        "Encrypted": True,
                    },
                }
            ],
        }

    return {
        "IamFleetRole": f"arn:aws:iam::{_ACCOUNT}:role/aws-ec2-spot-fleet-tagging-role",
        "AllocationStrategy": "priceCapacityOptimized",
        "TargetCapacity": 4,
        "ValidFrom": "2026-01-01T00:00:00.000Z",
        "ValidUntil": "2027-01-01T00:00:00.000Z",
        "TerminateInstancesWithExpiration": True,
        "Type": "request",
        "LaunchSpecifications": [
            pool("c6i.large", 2),
            pool("c6a.large", 2),
            pool("m6i.large", 2),
            pool("m6a.xlarge", 4),
        ],
    }
