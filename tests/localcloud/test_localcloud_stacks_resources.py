"""What a stack makes is really there, is brought up to date, and goes with the stack."""

import json
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud import LocalCloud, schedules
from tests.localcloud.stackery import (
    CF,
    NAME,
    SOURCE,
    bucket,
    function,
    log,
    make,
    physical,
    reason_of,
    role,
    stack_of,
    template,
    trust,
    update,
)

NOTHING = {"Ref": "AWS::NoValue"}
BOUND = "arn:aws:iam::123456789012:policy/bound"


@pytest.fixture
def cf(cloud: LocalCloud) -> CF:
    """CloudFormation in an empty cloud."""
    return cloud.client("cloudformation")


def policy(*actions: str) -> dict[str, Any]:
    """Return a policy that allows some actions."""
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [statement, NOTHING]}


def plain(document: dict[str, Any]) -> dict[str, Any]:
    """Return a policy as it should be in IAM: what is NOTHING is not there."""
    return {**document, "Statement": document["Statement"][:1]}


# -- names -----------------------------------------------------------------------------------------


def test_names_are_those_of_cloudformation(cf: CF) -> None:
    """Stack, logical id and something random; a bucket's are lower-cased."""
    make(cf, {"Log": log(), "Bucket": bucket()})
    assert re.fullmatch(r"HTCondorAnnex-Test-Log-[A-Za-z0-9]{12}", physical(cf, "Log"))
    assert re.fullmatch(r"htcondorannex-test-bucket-[a-z0-9]{12}", physical(cf, "Bucket"))


def test_long_names_are_cut(cf: CF) -> None:
    """The random part stays."""
    stack, logical = "A" * 60, "B" * 60
    make(cf, {logical: role()}, StackName=stack)
    name = physical(cf, logical, stack)
    assert re.fullmatch(r"A{25}-B{25}-[A-Za-z0-9]{12}", name)


# -- IAM -------------------------------------------------------------------------------------------


def test_a_role_is_all_that_its_template_says(cloud: LocalCloud, cf: CF) -> None:
    """Inline policies as JSON, without what a condition takes away."""
    document = policy("logs:PutLogEvents")
    entry = role(
        Description="d",
        PermissionsBoundary=BOUND,
        Policies=[{"PolicyName": "p", "PolicyDocument": document}],
    )
    make(cf, {"Role": entry})
    iam, name = cloud.client("iam"), physical(cf, "Role")
    found = iam.get_role(RoleName=name)["Role"]
    assert ("d", trust()) == (found["Description"], found["AssumeRolePolicyDocument"])
    assert BOUND == found["PermissionsBoundary"]["PermissionsBoundaryArn"]
    written = iam.get_role_policy(RoleName=name, PolicyName="p")["PolicyDocument"]
    assert plain(document) == written


def test_a_role_is_brought_up_to_date(cloud: LocalCloud, cf: CF) -> None:
    """Trust, text, boundary, inline and managed policies."""
    managed = "arn:aws:iam::aws:policy/service-role/AmazonEC2SpotFleetTaggingRole"
    old, new = policy("s3:GetObject"), policy("s3:PutObject")
    entry = role(
        PermissionsBoundary=BOUND,
        ManagedPolicyArns=[managed],
        Policies=[{"PolicyName": name, "PolicyDocument": old} for name in ("changed", "dropped")],
    )
    make(cf, {"Role": entry})
    iam, name = cloud.client("iam"), physical(cf, "Role")
    attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    assert [managed] == [one["PolicyArn"] for one in attached]
    policies = [{"PolicyName": name, "PolicyDocument": new} for name in ("changed", "added")]
    update(
        cf,
        {"Role": role(Policies=policies, AssumeRolePolicyDocument=trust("ec2"), Description="d")},
    )
    found = iam.get_role(RoleName=name)["Role"]
    assert ("d", trust("ec2")) == (found["Description"], found["AssumeRolePolicyDocument"])
    assert "PermissionsBoundary" not in found
    assert [] == iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    assert {"changed", "added"} == set(iam.list_role_policies(RoleName=name)["PolicyNames"])
    written = iam.get_role_policy(RoleName=name, PolicyName="changed")["PolicyDocument"]
    assert plain(new) == written


def test_a_broken_policy_fails_its_role(cf: CF) -> None:
    """With IAM's words; the role that was there already goes."""
    broken = {"Version": "2012-10-17", "Statement": [{"Effect": "Perhaps"}]}
    make(cf, {"Role": role(Policies=[{"PolicyName": "p", "PolicyDocument": broken}])})
    assert "ROLLBACK_COMPLETE" == stack_of(cf)["StackStatus"]
    assert "HandlerErrorCode" in reason_of(cf, "Role", "CREATE_FAILED")


def test_a_profile_holds_its_role(cloud: LocalCloud, cf: CF) -> None:
    """Another one after an update; both go with the stack."""
    profile = {"Type": "AWS::IAM::InstanceProfile", "Properties": {"Roles": [{"Ref": "One"}]}}
    resources: dict[str, Any] = {"One": role(), "Two": role(), "Profile": profile}
    make(cf, resources)
    iam, name = cloud.client("iam"), physical(cf, "Profile")
    held = iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Roles"]
    assert [physical(cf, "One")] == [one["RoleName"] for one in held]
    other = {**profile, "Properties": {"Roles": [{"Ref": "Two"}]}}
    update(cf, {**resources, "Profile": other})
    held = iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Roles"]
    assert [physical(cf, "Two")] == [one["RoleName"] for one in held]
    cf.delete_stack(StackName=NAME)
    assert [] == iam.list_instance_profiles()["InstanceProfiles"]


def test_a_policy_moves_between_roles(cloud: LocalCloud, cf: CF) -> None:
    """And leaves nothing behind."""

    def on(logical: str) -> dict[str, Any]:
        properties = {
            "PolicyName": "p",
            "Roles": [{"Ref": logical}],
            "PolicyDocument": policy("s3:GetObject"),
        }
        return {
            "One": role(),
            "Two": role(),
            "P": {"Type": "AWS::IAM::Policy", "Properties": properties},
        }

    make(cf, on("One"))
    update(cf, on("Two"))
    iam = cloud.client("iam")
    assert [[], ["p"]] == [
        iam.list_role_policies(RoleName=physical(cf, one))["PolicyNames"] for one in ("One", "Two")
    ]


# -- Lambda ----------------------------------------------------------------------------------------


def test_a_function_is_brought_up_to_date(cloud: LocalCloud, cf: CF) -> None:
    """Source, settings and environment; its name stays."""
    make(cf, {"Role": role(), "F": function(Timeout=10, Description="d")})
    functions, name = cloud.client("lambda"), physical(cf, "F")
    old = functions.get_function_configuration(FunctionName=name)
    assert (10, "d") == (old["Timeout"], old["Description"])
    new = SOURCE.replace("old", "new")
    changed = function(Code={"ZipFile": new}, Environment={"Variables": {"A": "b"}})
    update(cf, {"Role": role(), "F": changed})
    now = functions.get_function_configuration(FunctionName=name)
    assert (3, "", {"A": "b"}) == (
        now["Timeout"],
        now["Description"],
        now["Environment"]["Variables"],
    )
    assert old["CodeSha256"] != now["CodeSha256"]
    answer = functions.invoke(FunctionName=name)
    assert "new" == json.loads(answer["Payload"].read())


def test_a_function_goes_with_its_stack(cloud: LocalCloud, cf: CF) -> None:
    """And so does its permission."""
    make(cf, {"Role": role(), "F": function()})
    cf.delete_stack(StackName=NAME)
    assert [] == cloud.client("lambda").list_functions()["Functions"]


def permission(**properties: object) -> dict[str, Any]:
    """Return the entry of a permission on the function `F`."""
    return {
        "Type": "AWS::Lambda::Permission",
        "Properties": {
            "Action": "lambda:InvokeFunction",
            "FunctionName": {"Ref": "F"},
            "Principal": "events.amazonaws.com",
            "SourceAccount": {"Ref": "AWS::AccountId"},
            **properties,
        },
    }


def statements(cloud: LocalCloud, name: str) -> list[dict[str, Any]]:
    """Return the statements of a function's policy."""
    text = cloud.client("lambda").get_policy(FunctionName=name)["Policy"]
    found: list[dict[str, Any]] = json.loads(text)["Statement"]
    return found


def test_a_permission_is_a_statement_as_lambda_writes_it(cloud: LocalCloud, cf: CF) -> None:
    """With who, for which rule, and of which account."""
    arn = "arn:aws:events:us-east-1:123456789012:rule/r-*"
    make(cf, {"Role": role(), "F": function(), "P": permission(SourceArn=arn)})
    name = physical(cf, "F")
    assert [
        {
            "Sid": physical(cf, "P"),
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "lambda:InvokeFunction",
            "Resource": f"arn:aws:lambda:us-east-1:123456789012:function:{name}",
            "Condition": {
                "StringEquals": {"AWS:SourceAccount": "123456789012"},
                "ArnLike": {"AWS:SourceArn": arn},
            },
        }
    ] == statements(cloud, name)


def test_a_permission_is_replaced_and_removed(cloud: LocalCloud, cf: CF) -> None:
    """Never is there one too many when all is done."""
    resources: dict[str, Any] = {"Role": role(), "F": function()}
    first, second = (f"arn:aws:events:us-east-1:123456789012:rule/{one}" for one in "ab")
    make(cf, {**resources, "P": permission(SourceArn=first)})
    name = physical(cf, "F")
    update(cf, {**resources, "P": permission(SourceArn=second)})
    found = [one["Condition"]["ArnLike"]["AWS:SourceArn"] for one in statements(cloud, name)]
    assert [second] == found
    update(cf, resources)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        statements(cloud, name)


# -- EventBridge -----------------------------------------------------------------------------------


def rule(**properties: object) -> dict[str, Any]:
    """Return a rule's entry."""
    return {
        "Type": "AWS::Events::Rule",
        "Properties": {
            "ScheduleExpression": "rate(5 minutes)",
            "Targets": [{"Id": "a", "Arn": {"Fn::GetAtt": ["F", "Arn"]}, "Input": '{"a": 1}'}],
            **properties,
        },
    }


def test_a_rule_is_brought_up_to_date(cloud: LocalCloud, cf: CF) -> None:
    """State, schedule and targets."""
    resources: dict[str, Any] = {"Role": role(), "F": function()}
    make(cf, {**resources, "R": rule()})
    events, name = cloud.client("events"), physical(cf, "R")
    target = events.list_targets_by_rule(Rule=name)["Targets"][0]
    assert ("a", '{"a": 1}') == (target["Id"], target["Input"])
    other = [{"Id": "b", "Arn": target["Arn"]}]
    changed = rule(State="DISABLED", ScheduleExpression="rate(1 minute)", Targets=other)
    update(cf, {**resources, "R": changed})
    found = events.describe_rule(Name=name)
    assert ("DISABLED", "rate(1 minute)") == (found["State"], found["ScheduleExpression"])
    assert other == events.list_targets_by_rule(Rule=name)["Targets"]
    cf.delete_stack(StackName=NAME)
    assert [] == events.list_rules()["Rules"]


def test_a_wrong_schedule_fails_its_rule(cf: CF) -> None:
    """With EventBridge's words."""
    make(cf, {"R": rule(ScheduleExpression="rate(1 minutes)", Targets=[])})
    assert "ROLLBACK_COMPLETE" == stack_of(cf)["StackStatus"]
    reason = reason_of(cf, "R", "CREATE_FAILED")
    assert "Parameter ScheduleExpression is not valid." in reason


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("rate(1 minute)", True),
        ("rate(5 minutes)", True),
        ("rate(1 day)", True),
        ("rate(1 minutes)", False),
        ("rate(5 minute)", False),
        ("rate(0 minutes)", False),
        ("rate(5 seconds)", False),
        ("rate(5  minutes)", False),
        ("rate(5 minutes) ", False),
        ("rate(1.5 hours)", False),
        ("cron(0 10 * * ? *)", True),
        ("cron(0/15 8-17 ? * MON-FRI 2026-2030)", True),
        ("cron(0 9 ? * 2#1 *)", True),
        ("cron(0 9 L jan,DEC ? *)", True),
        ("cron(0 10 * * * *)", False),
        ("cron(0 10 ? * ? *)", False),
        ("cron(60 10 * * ? *)", False),
        ("cron(0 10 * * ?)", False),
        ("cron(0 10 32 * ? *)", False),
        ("cron(0 10 * FOO ? *)", False),
        ("at(2026-01-01T00:00:00)", False),
        ("", False),
    ],
)
def test_schedules_are_those_of_eventbridge(text: str, valid: bool) -> None:  # noqa: FBT001  (a case)
    """Singular for one alone, six fields, and either a day or a weekday."""
    assert valid == schedules.is_schedule(text)


# -- S3 --------------------------------------------------------------------------------------------


CLOSED = {
    "BlockPublicAcls": True,
    "BlockPublicPolicy": True,
    "IgnorePublicAcls": True,
    "RestrictPublicBuckets": True,
}
DEFAULT = {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}


def full_bucket(days: int) -> dict[str, Any]:
    """Return the entry of a bucket with all settings."""
    return bucket(
        BucketEncryption={"ServerSideEncryptionConfiguration": [DEFAULT]},
        PublicAccessBlockConfiguration=CLOSED,
        OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        LifecycleConfiguration={
            "Rules": [{"Id": "r", "Status": "Enabled", "ExpirationInDays": days}]
        },
    )


def test_a_bucket_is_all_that_its_template_says(cloud: LocalCloud, cf: CF) -> None:
    """Encrypted, closed, without access control lists, and with an end for objects."""
    make(cf, {"B": full_bucket(30)})
    s3, name = cloud.client("s3"), physical(cf, "B")
    encryption = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]
    default = encryption["Rules"][0]["ApplyServerSideEncryptionByDefault"]
    assert {"SSEAlgorithm": "AES256"} == default
    block = s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
    assert block == CLOSED
    controls = s3.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]
    assert [{"ObjectOwnership": "BucketOwnerEnforced"}] == controls["Rules"]
    update(cf, {"B": full_bucket(60)})
    lifecycle = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    assert [("r", {"Days": 60})] == [(one["ID"], one["Expiration"]) for one in lifecycle]


def test_a_bucket_is_where_its_stack_is(cloud: LocalCloud) -> None:
    """In the stack's Region."""
    west = cloud.client("cloudformation", region="us-west-2")
    make(west, {"B": bucket()})
    found = cloud.client("s3").get_bucket_location(Bucket=physical(west, "B"))
    assert "us-west-2" == found["LocationConstraint"]


def test_a_bucket_policy_refuses_only_without_tls(cloud: LocalCloud, cf: CF) -> None:
    """The local cloud stands for AWS's own endpoints; the policy goes with its resource."""
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [{"Fn::GetAtt": ["B", "Arn"]}, {"Fn::Sub": "${B.Arn}/*"}],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    properties = {
        "Bucket": {"Ref": "B"},
        "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]},
    }
    policy_entry = {"Type": "AWS::S3::BucketPolicy", "Properties": properties}
    make(cf, {"B": bucket(), "P": policy_entry})
    s3, name = cloud.client("s3"), physical(cf, "B")
    written = json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])["Statement"][0]
    arn = f"arn:aws:s3:::{name}"
    assert {**statement, "Resource": [arn, f"{arn}/*"]} == written
    s3.put_object(Bucket=name, Key="k", Body=b"v")
    update(cf, {"B": bucket()})
    with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
        s3.get_bucket_policy(Bucket=name)


# -- EC2 -------------------------------------------------------------------------------------------


def group(*sources: str, **properties: object) -> dict[str, Any]:
    """Return the entry of a security group with a way in from each source."""
    ways = [
        {"IpProtocol": "tcp", "FromPort": 9618, "ToPort": "9618", "CidrIp": one} for one in sources
    ]
    return {
        "Type": "AWS::EC2::SecurityGroup",
        "Properties": {"GroupDescription": "d", "SecurityGroupIngress": ways, **properties},
    }


def ways_of(cloud: LocalCloud, identity: str) -> tuple[list[str], list[str]]:
    """Return the networks that a group lets in, and out."""
    found = cloud.client("ec2").describe_security_groups(GroupIds=[identity])["SecurityGroups"][0]
    into, out = (
        [
            network.get("CidrIp") or network["CidrIpv6"]
            for one in found[way]
            for network in one["IpRanges"] + one["Ipv6Ranges"]
        ]
        for way in ("IpPermissions", "IpPermissionsEgress")
    )
    return into, out


def test_a_group_has_the_rules_of_its_template(cloud: LocalCloud, cf: CF) -> None:
    """And no other, also after an update; it keeps its id."""
    make(cf, {"G": group("192.0.2.0/24", "198.51.100.0/24")})
    identity = physical(cf, "G")
    assert (["192.0.2.0/24", "198.51.100.0/24"], ["0.0.0.0/0"]) == ways_of(cloud, identity)
    out = [{"IpProtocol": "-1", "CidrIpv6": "::/0"}]
    changed = group("192.0.2.0/24", "203.0.113.0/24", SecurityGroupEgress=out)
    update(cf, {"G": changed}, Tags=[{"Key": "a", "Value": "b"}])
    assert identity == physical(cf, "G")
    assert (["192.0.2.0/24", "203.0.113.0/24"], ["::/0"]) == ways_of(cloud, identity)
    tags = cloud.client("ec2").describe_security_groups(GroupIds=[identity])["SecurityGroups"]
    assert [{"Key": "a", "Value": "b"}] == tags[0]["Tags"]


def test_a_group_of_another_description_is_another_group(cloud: LocalCloud, cf: CF) -> None:
    """Its output follows."""
    outputs = {"Id": {"Value": {"Fn::GetAtt": ["G", "GroupId"]}}}
    make(cf, {}, TemplateBody=template({"G": group()}, Outputs=outputs))
    old = physical(cf, "G")
    changed = group(GroupDescription="other")
    update(cf, {}, TemplateBody=template({"G": changed}, Outputs=outputs))
    new = stack_of(cf)["Outputs"][0]["OutputValue"]
    assert new not in (old, "")
    ids = [
        one["GroupId"] for one in cloud.client("ec2").describe_security_groups()["SecurityGroups"]
    ]
    assert (True, False) == (new in ids, old in ids)


def test_a_property_that_is_not_known_fails_its_resource(cf: CF) -> None:
    """Rather than being dropped."""
    make(cf, {"Log": log(Colour="red")})
    assert "extraneous key [Colour]" in reason_of(cf, "Log", "CREATE_FAILED")
