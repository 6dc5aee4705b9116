"""What IAM is asked for calls to EC2; the source is the Service Authorization Reference."""

from typing import Any

import pytest

from localcloud import LocalCloud
from tests.localcloud.authority import (
    ACCOUNT,
    GIVES,
    ID_TAG,
    MARK,
    all_powerful,
    allow,
    asked,
    client,
    make_role,
    policy,
    refused,
)
from tests.localcloud.conftest import ROLE, Client, fleet_config, request_fleet, run

EC2 = f"arn:aws:ec2:us-east-1:{ACCOUNT}:"
HAS = {f"aws:ResourceTag/{ID_TAG}": "x", f"ec2:ResourceTag/{ID_TAG}": "x"}
HERE = {"ec2:Region": "us-east-1"}


def specified(kind: str) -> list[dict[str, Any]]:
    """Return TagSpecifications."""
    return [{"ResourceType": kind, "Tags": MARK}]


LAUNCH = {
    "ImageId": "ami-12345678",
    "InstanceType": "m5.large",
    "KeyName": "k",
    "SubnetId": "subnet-1, subnet-2",
    "SecurityGroups": [{"GroupId": "sg-1"}],
    "TagSpecifications": specified("instance"),
}


def test_a_spot_fleet_needs_much(cloud: LocalCloud) -> None:
    """RunInstances, the tags of fleet and instances, and the roles of both."""
    role = make_role(cloud, "inst", policy(allow("s3:GetObject")))
    iam = cloud.client("iam")
    iam.create_instance_profile(InstanceProfileName="profile")
    iam.add_role_to_instance_profile(InstanceProfileName="profile", RoleName="inst")
    config = fleet_config(
        TagSpecifications=specified("spot-fleet-request"),
        LaunchSpecifications=[{**LAUNCH, "IamInstanceProfile": {"Name": "profile"}}],
    )
    all_powerful(cloud, "ec2").request_spot_fleet(SpotFleetRequestConfig=config)
    named = [
        "arn:aws:ec2:us-east-1::image/ami-12345678",
        *(f"{EC2}{one}" for one in ("key-pair/k", "subnet/subnet-1", "subnet/subnet-2")),
        f"{EC2}security-group/sg-1",
    ]
    kind = {**HERE, "ec2:InstanceType": "m5.large"}
    new = f"{EC2}instance/*"
    assert [
        ("ec2:RequestSpotFleet", "*", {**HERE, **GIVES}),
        *(("ec2:RequestSpotFleet", one, HERE) for one in named),
        ("ec2:RunInstances", new, {**kind, **GIVES}),
        ("ec2:RunInstances", f"{EC2}network-interface/*", kind),
        ("ec2:RunInstances", f"{EC2}volume/*", kind),
        *(("ec2:RunInstances", one, HERE) for one in named),
        ("iam:PassRole", role, {"iam:PassedToService": "ec2.amazonaws.com"}),
        ("ec2:CreateTags", new, {**HERE, **GIVES, "ec2:CreateAction": "RequestSpotFleet"}),
        ("ec2:CreateTags", new, {**HERE, **GIVES, "ec2:CreateAction": "RunInstances"}),
        ("ec2:CreateTags", "*", {**HERE, **GIVES, "ec2:CreateAction": "RequestSpotFleet"}),
        ("iam:PassRole", ROLE, {"iam:PassedToService": "spotfleet.amazonaws.com"}),
    ] == asked(cloud)


@pytest.mark.parametrize("lacking", ["ec2:RunInstances", "ec2:CreateTags", "iam:PassRole"])
def test_a_spot_fleet_lacks_a_permission(cloud: LocalCloud, lacking: str) -> None:
    """EC2 names the action, whichever service's it is."""
    actions = {"ec2:RequestSpotFleet", "ec2:RunInstances", "ec2:CreateTags", "iam:PassRole"}
    keys = cloud.enforce(policy(allow(sorted(actions - {lacking}))))
    config = fleet_config(TagSpecifications=specified("spot-fleet-request"))
    own = client(cloud, "ec2", keys)
    _, code, message = refused(own.request_spot_fleet, SpotFleetRequestConfig=config)
    assert ("UnauthorizedOperation", True) == (code, f"to perform: {lacking} " in message)


def test_the_tags_of_a_fleet_are_asked_for_all_resources(cloud: LocalCloud) -> None:
    """EC2 User Guide, "Tag a Spot Fleet": the Resource must be `*`."""
    keys = cloud.enforce(
        policy(
            allow(["ec2:RequestSpotFleet", "ec2:RunInstances", "iam:PassRole"]),
            allow("ec2:CreateTags", "arn:aws:ec2:*:*:spot-fleet-request/*"),
        )
    )
    config = fleet_config(TagSpecifications=specified("spot-fleet-request"))
    own = client(cloud, "ec2", keys)
    assert (
        "UnauthorizedOperation" == refused(own.request_spot_fleet, SpotFleetRequestConfig=config)[1]
    )


def test_fleets_are_told_apart_by_their_tags(cloud: LocalCloud, ec2: Client) -> None:
    """CancelSpotFleetRequests asks for each fleet with the tags that it has."""
    fleet = request_fleet(ec2, TagSpecifications=specified("spot-fleet-request"))
    all_powerful(cloud, "ec2").cancel_spot_fleet_requests(
        SpotFleetRequestIds=[fleet], TerminateInstances=True
    )
    resource = f"{EC2}spot-fleet-request/{fleet}"
    assert [("ec2:CancelSpotFleetRequests", resource, {**HERE, **HAS})] == asked(cloud)


def test_a_tag_of_what_is_there(cloud: LocalCloud, ec2: Client) -> None:
    """CreateTags asks with the new tags and the old, and with no ec2:CreateAction."""
    [instance] = run(ec2, TagSpecifications=specified("instance"))
    tag = [{"Key": "htcondor:lease-expires", "Value": "1"}]
    all_powerful(cloud, "ec2").create_tags(Resources=[instance], Tags=tag)
    given = {
        "aws:RequestTag/htcondor:lease-expires": "1",
        "aws:TagKeys": ["htcondor:lease-expires"],
    }
    resource = f"{EC2}instance/{instance}"
    assert [("ec2:CreateTags", resource, {**HERE, **HAS, **given})] == asked(cloud)


def test_instances_ask_for_their_tags(cloud: LocalCloud) -> None:
    """RunInstances with tags needs ec2:CreateTags with its own name as ec2:CreateAction."""
    run(all_powerful(cloud, "ec2"), TagSpecifications=specified("instance"))
    context = {**HERE, **GIVES, "ec2:CreateAction": "RunInstances"}
    assert ("ec2:CreateTags", f"{EC2}instance/*", context) in asked(cloud)


def test_a_security_group_asks_for_its_vpc(cloud: LocalCloud, ec2: Client) -> None:
    """CreateSecurityGroup has two resources, and its tags."""
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    made = all_powerful(cloud, "ec2").create_security_group(
        GroupName="g", Description="d", VpcId=vpc, TagSpecifications=specified("security-group")
    )
    new = f"{EC2}security-group/*"
    assert [
        ("ec2:CreateSecurityGroup", new, {**HERE, **GIVES}),
        ("ec2:CreateSecurityGroup", f"{EC2}vpc/{vpc}", HERE),
        ("ec2:CreateTags", new, {**HERE, **GIVES, "ec2:CreateAction": "CreateSecurityGroup"}),
    ] == asked(cloud)
    cloud.forget()
    all_powerful(cloud, "ec2").delete_security_group(GroupName="g")
    resource = f"{EC2}security-group/{made['GroupId']}"
    assert [("ec2:DeleteSecurityGroup", resource, {**HERE, **HAS})] == asked(cloud)


def test_the_looks_of_ec2_know_no_resources(cloud: LocalCloud) -> None:
    """They are listed all the same."""
    own = all_powerful(cloud, "ec2")
    own.describe_instances()
    own.describe_spot_fleet_requests()
    own.describe_vpcs()
    own.describe_security_groups()
    assert [("*", True)] * 4 == [(one.resource, one.listed) for one in cloud.asked()]
