"""Spot Fleets as AWS has them, where moto falls short."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud import LocalCloud
from tests.localcloud.conftest import ROLE, Client, fleet_config, request_fleet


def test_the_same_token_gives_the_same_fleet(cloud: LocalCloud, ec2: Client) -> None:
    """A call that is repeated with its client token launches nothing more."""
    token = str(uuid.uuid4())
    assert request_fleet(ec2, ClientToken=token) == request_fleet(ec2, ClientToken=token)
    assert len(cloud.contents().fleets) == 1


def test_the_same_token_with_other_parameters_is_refused(cloud: LocalCloud, ec2: Client) -> None:
    """As AWS refuses it, and nothing is launched."""
    request_fleet(ec2, ClientToken="token")
    with pytest.raises(ClientError, match="IdempotentParameterMismatch"):
        request_fleet(ec2, ClientToken="token", TargetCapacity=3)
    assert len(cloud.contents().fleets) == 1


def test_no_token_or_another_gives_another_fleet(cloud: LocalCloud, ec2: Client) -> None:
    """Only equal tokens mean one request."""
    fleets = {
        request_fleet(ec2, **token)
        for token in ({}, {}, {"ClientToken": "one"}, {"ClientToken": "two"})
    }
    assert len(cloud.contents().fleets) == len(fleets) == 4


def test_the_same_token_at_the_same_time_gives_one_fleet(cloud: LocalCloud, ec2: Client) -> None:
    """Calls that arrive together are told apart by nothing but their token."""
    with ThreadPoolExecutor(8) as pool:
        fleets = set(pool.map(lambda _: request_fleet(ec2, ClientToken="token"), range(16)))
    assert len(cloud.contents().fleets) == len(fleets) == 1


def test_a_fleet_may_have_no_allocation_strategy(cloud: LocalCloud, ec2: Client) -> None:
    """AWS has a default for it."""
    request_fleet(ec2)
    assert len(cloud.contents().instances) == 2


def test_a_fleet_is_described_as_it_was_requested(cloud: LocalCloud, ec2: Client) -> None:
    """Every field comes back, with FulfilledCapacity ("SpotFleetRequestConfigData")."""
    asked = fleet_config(
        ClientToken="token",
        Type="maintain",
        TerminateInstancesWithExpiration=True,
        OnDemandTargetCapacity=1,
        LaunchSpecifications=[
            {
                "ImageId": "ami-12345678",
                "InstanceType": "m5.large",
                "SubnetId": "subnet-1, subnet-2",
                "WeightedCapacity": 2.0,
                "SecurityGroups": [{"GroupId": "sg-nowhere"}],
                "IamInstanceProfile": {"Arn": "arn:aws:iam::123456789012:instance-profile/none"},
                "NetworkInterfaces": [{"DeviceIndex": 0, "AssociatePublicIpAddress": True}],
            }
        ],
    )
    ec2.request_spot_fleet(SpotFleetRequestConfig=asked)
    described = cloud.contents().fleets[0]["SpotFleetRequestConfig"]
    assert {**asked, "FulfilledCapacity": 2.0} == described


def test_a_fleets_instances_carry_its_id_and_profile(cloud: LocalCloud, ec2: Client) -> None:
    """AWS tags them by itself, and gives them the pool's profile."""
    iam = cloud.client("iam")
    profile = iam.create_instance_profile(InstanceProfileName="annex")["InstanceProfile"]["Arn"]
    pool = {
        "ImageId": "ami-12345678",
        "InstanceType": "m5.large",
        "IamInstanceProfile": {"Arn": profile},
    }
    fleet = request_fleet(ec2, LaunchSpecifications=[pool])
    expected = ({"Key": "aws:ec2spot:fleet-request-id", "Value": fleet}, profile)
    assert [expected, expected] == [
        (instance["Tags"][0], instance["IamInstanceProfile"]["Arn"])
        for instance in cloud.contents().instances
    ]


def test_all_overrides_of_a_template_are_pools(cloud: LocalCloud, ec2: Client) -> None:
    """With a diversified fleet, each override gets its instances, tagged as the template says."""
    tags = [{"Key": "of", "Value": "template"}]
    template = ec2.create_launch_template(
        LaunchTemplateName="worker",
        LaunchTemplateData={
            "ImageId": "ami-12345678",
            "TagSpecifications": [{"ResourceType": "instance", "Tags": tags}],
        },
    )["LaunchTemplate"]["LaunchTemplateId"]
    config: dict[str, Any] = {
        "IamFleetRole": ROLE,
        "TargetCapacity": 2,
        "AllocationStrategy": "diversified",
        "LaunchTemplateConfigs": [
            {
                "LaunchTemplateSpecification": {"LaunchTemplateId": template, "Version": "1"},
                "Overrides": [{"InstanceType": "m5.large"}, {"InstanceType": "c5.large"}],
            }
        ],
    }
    ec2.request_spot_fleet(SpotFleetRequestConfig=config)
    found = cloud.contents().instances
    assert {"m5.large", "c5.large"} == {instance["InstanceType"] for instance in found}
    assert all(tags[0] in instance["Tags"] for instance in found)


def test_a_cancelled_fleet_stays_visible(cloud: LocalCloud, ec2: Client) -> None:
    """For DescribeSpotFleetRequests it is cancelled; its instances are gone."""
    fleet = request_fleet(ec2)
    ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=[fleet], TerminateInstances=True)
    described = ec2.describe_spot_fleet_requests()["SpotFleetRequestConfigs"]
    assert [one["SpotFleetRequestState"] for one in described] == ["cancelled"]
    assert cloud.contents().empty


def test_a_fleet_can_be_cancelled_without_its_instances(cloud: LocalCloud, ec2: Client) -> None:
    """They run on, and can be ended by themselves."""
    fleet = request_fleet(ec2)
    ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=[fleet], TerminateInstances=False)
    ids = [instance["InstanceId"] for instance in cloud.contents().instances]
    assert len(ids) == 2
    ec2.terminate_instances(InstanceIds=ids)
    assert cloud.contents().empty


def test_cancelling_what_cannot_be_is_reported(ec2: Client) -> None:
    """An unknown fleet and one cancelled already, each with AWS's code."""
    fleet = request_fleet(ec2)
    ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=[fleet], TerminateInstances=True)
    answer = ec2.cancel_spot_fleet_requests(
        SpotFleetRequestIds=[fleet, "sfr-none"], TerminateInstances=True
    )
    codes = {
        one["SpotFleetRequestId"]: one["Error"]["Code"]
        for one in answer["UnsuccessfulFleetRequests"]
    }
    assert codes == {
        fleet: "fleetRequestNotInCancellableState",
        "sfr-none": "fleetRequestIdDoesNotExist",
    }


def test_an_unknown_fleet_is_not_found(ec2: Client) -> None:
    """By either way of asking for it."""
    with pytest.raises(ClientError, match=r"InvalidSpotFleetRequestId\.NotFound"):
        ec2.describe_spot_fleet_requests(SpotFleetRequestIds=["sfr-none"])
    with pytest.raises(ClientError, match=r"InvalidSpotFleetRequestId\.NotFound"):
        ec2.describe_spot_fleet_instances(SpotFleetRequestId="sfr-none")


def test_fleets_come_in_pages(cloud: LocalCloud, ec2: Client) -> None:
    """No page is larger than told, and together they hold all."""
    fleets = {request_fleet(ec2) for _ in range(5)}
    cloud.page_size(2)
    pages = list(ec2.get_paginator("describe_spot_fleet_requests").paginate())
    assert [len(page["SpotFleetRequestConfigs"]) for page in pages] == [2, 2, 1]
    found = {one["SpotFleetRequestId"] for page in pages for one in page["SpotFleetRequestConfigs"]}
    assert fleets == found


def test_a_dry_run_launches_nothing(cloud: LocalCloud, ec2: Client) -> None:
    """It answers as AWS does."""
    with pytest.raises(ClientError, match="DryRunOperation"):
        ec2.request_spot_fleet(SpotFleetRequestConfig=fleet_config(), DryRun=True)
    assert cloud.contents().empty


def test_the_example_config_gets_its_instances(cloud: LocalCloud, ec2: Client) -> None:
    """templates/config.json works here as it stands."""
    from htcondor_annex.templates.files import committed  # noqa: PLC0415  (this test's alone)

    ec2.request_spot_fleet(SpotFleetRequestConfig=json.loads(committed()["config.json"]))
    assert len(cloud.contents().fleets) == 1
    assert cloud.contents().instances
