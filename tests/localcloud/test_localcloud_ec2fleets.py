"""EC2 Fleets (CreateFleet), where moto falls short."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud import LocalCloud
from tests.localcloud.conftest import Client, instances_of


@pytest.fixture
def template(ec2: Client) -> str:
    """A launch template's id."""
    data = {"ImageId": "ami-12345678", "InstanceType": "m5.large"}
    made = ec2.create_launch_template(LaunchTemplateName="worker", LaunchTemplateData=data)
    return str(made["LaunchTemplate"]["LaunchTemplateId"])


def create(ec2: Client, template: str, count: int = 2, **changes: object) -> dict[str, Any]:
    """Create an instant fleet, with changes."""
    named = {"LaunchTemplateId": template, "Version": "$Latest"}
    capacity = {"TotalTargetCapacity": count, "DefaultTargetCapacityType": "spot"}
    asked = {
        "Type": "instant",
        "LaunchTemplateConfigs": [{"LaunchTemplateSpecification": named}],
        "TargetCapacitySpecification": capacity,
        **changes,
    }
    answer: dict[str, Any] = ec2.create_fleet(**asked)
    del answer["ResponseMetadata"]
    return answer


def ids(answer: dict[str, Any]) -> set[str]:
    """Return the ids of the instances that an answer tells of."""
    return {one for pool in answer.get("Instances", []) for one in pool["InstanceIds"]}


def test_the_same_token_gives_the_same_fleet(cloud: LocalCloud, ec2: Client, template: str) -> None:
    """And the same answer ("Ensuring idempotency in Amazon EC2 API requests")."""
    first, again = (create(ec2, template, ClientToken="token") for _ in range(2))
    assert first == again
    assert ids(first) == {one["InstanceId"] for one in cloud.contents().instances}


def test_the_same_token_with_others_is_refused(
    cloud: LocalCloud, ec2: Client, template: str
) -> None:
    """IdempotentParameterMismatch, and nothing is launched."""
    create(ec2, template, ClientToken="token")
    with pytest.raises(ClientError, match="IdempotentParameterMismatch"):
        create(ec2, template, count=3, ClientToken="token")
    assert len(cloud.contents().instances) == 2


def test_its_instances_carry_its_id(ec2: Client, template: str) -> None:
    """AWS tags them by itself ("EC2 Fleet", tags)."""
    answer = create(ec2, template)
    assert ids(answer) == set(instances_of(ec2, ("tag:aws:ec2:fleet-id", answer["FleetId"])))


def test_what_could_not_be_launched_is_told(cloud: LocalCloud, ec2: Client, template: str) -> None:
    """An instant fleet's answer has an error for it ("CreateFleetError")."""
    cloud.capacity(1)
    partly, none = (create(ec2, template) for _ in range(2))
    assert (len(ids(partly)), len(ids(none))) == (1, 0)
    for answer in (partly, none):
        assert ["InsufficientInstanceCapacity"] == [one["ErrorCode"] for one in answer["Errors"]]


def test_a_fleet_without_instances_can_be_deleted(
    cloud: LocalCloud, ec2: Client, template: str
) -> None:
    """There is nothing to terminate."""
    cloud.capacity(0)
    fleet = create(ec2, template, Type="maintain")["FleetId"]
    answer = ec2.delete_fleets(FleetIds=[fleet], TerminateInstances=True)
    assert [fleet] == [one["FleetId"] for one in answer["SuccessfulFleetDeletions"]]
