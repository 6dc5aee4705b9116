"""Console exports of several kinds reach AWS field for field.

What AWS receives is read back from the wire, and held against the file plus the annex's own
fields: nothing dropped, nothing changed but what the model says is of another type.
"""

from typing import Any

import pytest

from localcloud import LocalCloud
from tests.support import Annexd, console_config

ROLE = "arn:aws:iam::123456789012:role/aws-ec2-spot-fleet-tagging-role"
OURS = ("ClientToken", "ValidUntil", "TagSpecifications", "TerminateInstancesWithExpiration")

LAUNCH_TEMPLATES: dict[str, Any] = {
    "IamFleetRole": ROLE,
    "AllocationStrategy": "capacityOptimized",
    "TargetCapacity": 6,
    "SpotPrice": "0.30",
    "ValidFrom": "2026-01-01T00:00:00.000Z",
    "ValidUntil": "2027-01-01T00:00:00.000Z",
    "TerminateInstancesWithExpiration": True,
    "LaunchSpecifications": [],
    "Type": "request",
    "LaunchTemplateConfigs": [
        {
            "LaunchTemplateSpecification": {
                "LaunchTemplateName": "annex",
                "Version": "1",
            },
            "Overrides": [
                {
                    "InstanceType": "c5.large",
                    "WeightedCapacity": 1,
                    "SubnetId": "subnet-11111111",
                    "Priority": 0,
                },
                {
                    "InstanceType": "m5.xlarge",
                    "WeightedCapacity": 2,
                    "SubnetId": "subnet-22222222",
                    "SpotPrice": "0.2",
                },
                {
                    "InstanceRequirements": {
                        "VCpuCount": {"Min": 2, "Max": 8},
                        "MemoryMiB": {"Min": 4096},
                        "ExcludedInstanceTypes": ["t2.*"],
                    }
                },
            ],
        }
    ],
}

SPECIFICATIONS: dict[str, Any] = {
    "IamFleetRole": ROLE,
    "AllocationStrategy": "diversified",
    "TargetCapacity": 20,
    "SpotPrice": "0.5",
    "Type": "maintain",
    "ReplaceUnhealthyInstances": False,
    "InstanceInterruptionBehavior": "terminate",
    "TagSpecifications": [
        {"ResourceType": "spot-fleet-request", "Tags": [{"Key": "project", "Value": "x"}]}
    ],
    "LaunchSpecifications": [
        {
            "ImageId": "ami-00000001",
            "InstanceType": "m5.large",
            "KeyName": "pool",
            "WeightedCapacity": 2,
            "EbsOptimized": True,
            "IamInstanceProfile": {"Arn": "arn:aws:iam::123456789012:instance-profile/annex"},
            "BlockDeviceMappings": [
                {
                    "DeviceName": "/dev/xvda",
                    "Ebs": {
                        "DeleteOnTermination": True,
                        "VolumeType": "gp3",
                        "VolumeSize": 30,
                        "Iops": 3000,
                    },
                },
                {"DeviceName": "/dev/sdb", "NoDevice": ""},
            ],
            "NetworkInterfaces": [
                {
                    "DeviceIndex": 0,
                    "SubnetId": "subnet-11111111",
                    "DeleteOnTermination": True,
                    "AssociatePublicIpAddress": True,
                    "Groups": ["sg-11111111", "sg-22222222"],
                }
            ],
            "TagSpecifications": [
                {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "annex"}]}
            ],
        },
        {
            "ImageId": "ami-00000001",
            "InstanceType": "c5.large",
            "WeightedCapacity": "1.5",
            "SpotPrice": 0.25,
            "Monitoring": {"Enabled": "true"},
            "Placement": {"AvailabilityZone": "us-east-1a", "Tenancy": "default"},
            "SecurityGroups": [{"GroupId": "sg-33333333"}],
            "UserData": "IyEvYmluL3NoCg==",
        },
    ],
}

ON_DEMAND: dict[str, Any] = {
    "IamFleetRole": ROLE,
    "AllocationStrategy": "priceCapacityOptimized",
    "OnDemandAllocationStrategy": "lowestPrice",
    "TargetCapacity": 10,
    "OnDemandTargetCapacity": "4",
    "SpotMaxTotalPrice": "3.00",
    "OnDemandMaxTotalPrice": "5.00",
    "SpotMaintenanceStrategies": {
        "CapacityRebalance": {"ReplacementStrategy": "launch-before-terminate"}
    },
    "LaunchSpecifications": [{"ImageId": "ami-00000001", "InstanceType": "m5.large"}],
}


def _plain(value: Any) -> Any:  # noqa: ANN401  (JSON)
    """Return a value with every scalar as the text that the wire carries."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item not in ([], {})}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _without_annex_tags(config: dict[str, Any]) -> dict[str, Any]:
    """Return a launch specification without the tags that the annex added."""
    kept = []
    for specification in config.get("TagSpecifications", []):
        tags = [tag for tag in specification["Tags"] if not tag["Key"].startswith("htcondor:")]
        if tags:
            kept.append({**specification, "Tags": tags})
    return {**config, "TagSpecifications": kept}


@pytest.mark.parametrize(
    "config",
    [LAUNCH_TEMPLATES, SPECIFICATIONS, ON_DEMAND],
    ids=["launch templates", "launch specifications", "on-demand base"],
)
def test_exports_reach_aws_field_for_field(
    annexd: Annexd, cloud: LocalCloud, config: dict[str, Any]
) -> None:
    """All that the file holds arrives, and besides it only what the annex adds."""
    cloud.client("ec2", looks=True).create_launch_template(
        LaunchTemplateName="annex",
        LaunchTemplateData={"ImageId": "ami-12345678", "InstanceType": "m5.large"},
    )
    ended = annexd.ask(config)
    assert ended.status == 0, ended.err
    (seen,) = cloud.requests("RequestSpotFleet")
    sent = dict(seen.parameters["SpotFleetRequestConfig"])
    sent["LaunchSpecifications"] = [
        _without_annex_tags(one) for one in sent.get("LaunchSpecifications", [])
    ]
    left_out = {"ValidFrom", "ValidUntil", *OURS}
    wanted = {key: value for key, value in config.items() if key not in left_out}
    arrived = {key: value for key, value in sent.items() if key not in OURS}
    assert _plain(arrived) == _plain({"Type": "request", **wanted})


def test_the_users_own_tags_stay(annexd: Annexd, cloud: LocalCloud) -> None:
    """Tags of the file stand beside the annex's, in the same specification."""
    annexd.ask(SPECIFICATIONS)
    (seen,) = cloud.requests("RequestSpotFleet")
    sent = seen.parameters["SpotFleetRequestConfig"]
    (request,) = sent["TagSpecifications"]
    (instance,) = sent["LaunchSpecifications"][0]["TagSpecifications"]
    assert request["Tags"][0]["Key"] == "project"
    assert instance["Tags"][0]["Key"] == "Name"
    assert len(request["Tags"]) == len(instance["Tags"]) == 5


def test_no_allocation_strategy(annexd: Annexd) -> None:
    """A file without AllocationStrategy works: AWS has a default."""
    assert annexd.ask(console_config(AllocationStrategy=None)).status == 0


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"LaunchSpecifications": []}, "exactly one is needed; neither is there"),
        ({"LaunchSpecifications": None}, "exactly one is needed; neither is there"),
        (
            {"LaunchTemplateConfigs": LAUNCH_TEMPLATES["LaunchTemplateConfigs"]},
            "exactly one is needed; both are there",
        ),
        ({"TargetCapacity": 0}, "TargetCapacity must be 1 to 10000, not 0"),
        ({"TargetCapacity": 10_001}, "TargetCapacity must be 1 to 10000, not 10001"),
        ({"TargetCapacity": None}, "TargetCapacity is missing"),
        ({"OnDemandTargetCapacity": 3}, "OnDemandTargetCapacity must be 0 to TargetCapacity (2)"),
        ({"TargetCapacity": "two"}, "TargetCapacity must be a number, not 'two'"),
        ({"TargetCapacity": 1.5}, "TargetCapacity must be a whole number, not 1.5"),
        ({"TargetCapacity": True}, "TargetCapacity must be a number, not True"),
        ({"Type": None, "SpotPrice": {}}, "SpotPrice must be a string, not {}"),
        ({"LaunchSpecifications": {}}, "LaunchSpecifications must be a list, not {}"),
        ({"LaunchSpecifications": [1]}, "LaunchSpecifications[0] must be an object, not 1"),
        ({"ReplaceUnhealthyInstances": "no"}, "ReplaceUnhealthyInstances must be true or false"),
        (
            {
                "TagSpecifications": [
                    {"ResourceType": "spot-fleet-request", "Tags": [{"Key": "htcondor:annex-id"}]}
                ]
            },
            "TagSpecifications[0].Tags[0].Key: the tags htcondor:... are the annex's own",
        ),
    ],
)
def test_what_aws_would_refuse_is_said_before(
    annexd: Annexd, cloud: LocalCloud, changes: dict[str, Any], text: str
) -> None:
    """AWS's own rules on the configuration are checked before AWS is asked."""
    ended = annexd.ask(console_config(**changes))
    assert (ended.status, text in ended.err) == (2, True), ended.err
    assert cloud.requests() == []
