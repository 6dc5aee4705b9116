"""IAM as its callers meet it: real keys, real requests, AWS's errors."""

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import pytest

from localcloud import LocalCloud
from tests.localcloud.authority import (
    ACCOUNT,
    ID_TAG,
    MARK,
    allow,
    client,
    make_role,
    policy,
    refused,
)
from tests.localcloud.conftest import Client, fleet_config, instances_of, run

USER = f"arn:aws:iam::{ACCOUNT}:user/annexd"
OF_AN_ANNEX = {"Null": {f"aws:ResourceTag/{ID_TAG}": "false"}}


# -- users -----------------------------------------------------------------------------------------


def test_a_tag_decides_which_instance_may_be_ended(cloud: LocalCloud, ec2: Client) -> None:
    """One that carries the tag ends; one that does not is AWS's refusal."""
    mine, other = run(ec2, MinCount=2, MaxCount=2)
    ec2.create_tags(Resources=[mine], Tags=MARK)
    keys = cloud.enforce(policy(allow("ec2:TerminateInstances", Condition=OF_AN_ANNEX)))
    own = client(cloud, "ec2", keys)
    status, code, message = refused(own.terminate_instances, InstanceIds=[other])
    assert (403, "UnauthorizedOperation") == (status, code)
    assert message.startswith(
        f"You are not authorized to perform this operation. User: {USER} is not authorized to "
        "perform: ec2:TerminateInstances on resource: "
        f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/{other} because no identity-based policy "
        "allows the ec2:TerminateInstances action. Encoded authorization failure message: "
    )
    own.terminate_instances(InstanceIds=[mine])
    assert {mine: "terminated", other: "running"} == instances_of(ec2)


def test_one_that_may_not_be_ended_keeps_all(cloud: LocalCloud, ec2: Client) -> None:
    """A refusal leaves everything as it was."""
    mine, other = run(ec2, MinCount=2, MaxCount=2)
    ec2.create_tags(Resources=[mine], Tags=MARK)
    keys = cloud.enforce(policy(allow("ec2:TerminateInstances", Condition=OF_AN_ANNEX)))
    before = cloud.contents()
    refused(client(cloud, "ec2", keys).terminate_instances, InstanceIds=[mine, other])
    assert before == cloud.contents()


def test_a_refused_fleet_is_none(cloud: LocalCloud) -> None:
    """No fleet and no instance comes of it, and its token is not taken."""
    keys = cloud.enforce(policy(allow("ec2:Describe*")))
    own = client(cloud, "ec2", keys)
    config = fleet_config(ClientToken="token")
    refused(own.request_spot_fleet, SpotFleetRequestConfig=config)
    assert cloud.contents().empty
    other = fleet_config(ClientToken="token", TargetCapacity=1)
    cloud.client("ec2").request_spot_fleet(SpotFleetRequestConfig=other)


def test_what_is_not_there_has_no_tag(cloud: LocalCloud) -> None:
    """An unknown instance is refused, not unknown, to whoever may end tagged ones alone."""
    keys = cloud.enforce(policy(allow("ec2:TerminateInstances", Condition=OF_AN_ANNEX)))
    own = client(cloud, "ec2", keys)
    assert "UnauthorizedOperation" == refused(own.terminate_instances, InstanceIds=["i-0"])[1]


def test_what_is_hidden_has_no_tag(cloud: LocalCloud, ec2: Client) -> None:
    """What EC2 does not see yet, IAM does not see either."""
    cloud.hide(60)
    [hidden] = run(ec2, TagSpecifications=[{"ResourceType": "instance", "Tags": MARK}])
    keys = cloud.enforce(policy(allow("ec2:TerminateInstances", Condition=OF_AN_ANNEX)))
    own = client(cloud, "ec2", keys)
    assert "UnauthorizedOperation" == refused(own.terminate_instances, InstanceIds=[hidden])[1]


def test_a_deny_outweighs(cloud: LocalCloud) -> None:
    """AWS tells that it was an explicit one."""
    deny = {"Effect": "Deny", "Action": "events:PutRule", "Resource": "*"}
    keys = cloud.enforce(policy(allow("*"), deny))
    own = client(cloud, "events", keys)
    answer = refused(own.put_rule, Name="r", ScheduleExpression="rate(5 minutes)")
    said = (
        f"User: {USER} is not authorized to perform: events:PutRule on resource: "
        f"arn:aws:events:us-east-1:{ACCOUNT}:rule/r with an explicit deny in an identity-based "
        "policy"
    )
    assert (400, "AccessDeniedException", said) == answer


@pytest.mark.parametrize(
    ("service", "action", "given", "expected"),
    [
        ("ec2", "describe_vpcs", {}, (403, "UnauthorizedOperation")),
        ("events", "list_rules", {}, (400, "AccessDeniedException")),
        ("logs", "describe_log_groups", {}, (400, "AccessDeniedException")),
        ("lambda", "get_function", {"FunctionName": "f"}, (403, "AccessDeniedException")),
        ("lambda", "invoke", {"FunctionName": "f"}, (403, "AccessDeniedException")),
        ("iam", "get_role", {"RoleName": "r"}, (403, "AccessDenied")),
        ("cloudformation", "describe_stacks", {"StackName": "s"}, (403, "AccessDenied")),
        ("s3", "get_object", {"Bucket": "b", "Key": "k"}, (403, "AccessDenied")),
        ("s3", "head_object", {"Bucket": "b", "Key": "k"}, (403, "403")),
    ],
)
def test_each_service_refuses_in_its_own_way(
    cloud: LocalCloud, service: str, action: str, given: dict[str, str], expected: tuple[int, str]
) -> None:
    """The status and the code are those that boto3 sees of AWS."""
    keys = cloud.enforce(policy(allow("sts:GetCallerIdentity")))
    assert expected == refused(getattr(client(cloud, service, keys), action), **given)[:2]


def test_everyone_may_ask_who_they_are(cloud: LocalCloud) -> None:
    """GetCallerIdentity needs no permission."""
    keys = cloud.enforce(policy(allow("s3:ListAllMyBuckets")))
    assert USER == client(cloud, "sts", keys).get_caller_identity()["Arn"]


def test_the_cloud_s_own_keys_may_do_all(cloud: LocalCloud, ec2: Client) -> None:
    """They are root's."""
    cloud.enforce(policy(allow("s3:ListAllMyBuckets")))
    assert 1 == len(run(ec2))


def test_a_policy_takes_the_place_of_the_last(cloud: LocalCloud) -> None:
    """The user stays, with the same key."""
    first = cloud.enforce(policy(allow("events:*")))
    assert first == cloud.enforce(policy(allow("ec2:*")))
    assert "AccessDeniedException" == refused(client(cloud, "events", first).list_rules)[1]


def test_users_are_held_to_their_own_policies(cloud: LocalCloud) -> None:
    """What one may do, another may not."""
    looks = cloud.enforce(policy(allow("events:*")), user="ann")
    other = cloud.enforce(policy(allow("ec2:*")), user="bob")
    client(cloud, "events", looks).list_rules()
    assert "AccessDeniedException" == refused(client(cloud, "events", other).list_rules)[1]


def test_users_of_the_iam_api_are_held_too(cloud: LocalCloud) -> None:
    """Their inline policies count, and those of their groups."""
    cloud.enforce(policy(allow("*")), user="admin")
    iam = cloud.client("iam")
    iam.create_user(UserName="ann")
    iam.create_group(GroupName="lookers")
    iam.add_user_to_group(UserName="ann", GroupName="lookers")
    for name, action in (("user", "events:ListRules"), ("group", "ec2:DescribeVpcs")):
        document = json.dumps(policy(allow(action)))
        owner = {"UserName": "ann"} if name == "user" else {"GroupName": "lookers"}
        put = iam.put_user_policy if name == "user" else iam.put_group_policy
        put(PolicyName="own", PolicyDocument=document, **owner)
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    keys = (key["AccessKeyId"], key["SecretAccessKey"])
    client(cloud, "events", keys).list_rules()
    client(cloud, "ec2", keys).describe_vpcs()
    assert "UnauthorizedOperation" == refused(client(cloud, "ec2", keys).describe_subnets)[1]


def test_reset_ends_it() -> None:
    """A cloud that takes any key takes none but those that it knows, until it is reset."""
    with LocalCloud() as cloud:
        anyone = client(cloud, "events", ("AKIANOBODY0000000000", "secret"))
        cloud.enforce(policy(allow("ec2:*")))
        assert "UnrecognizedClientException" == refused(anyone.list_rules)[1]
        cloud.client("events").list_rules()
        cloud.reset()
        anyone.list_rules()


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(policy({"Effect": "Allow", "Action": "ec2:*"}), id="no resource"),
        pytest.param(
            policy(allow("ec2:*", Condition={"StringMatches": {"aws:username": "x"}})),
            id="no such operator",
        ),
        pytest.param(
            policy(allow("s3:GetObject", [f"arn:aws:s3:::bucket/{n:04}" for n in range(300)])),
            id="more than 6,144 characters",
        ),
        pytest.param(policy(allow("ec2:*", Sid="a-b")), id="IAM's own rules"),
    ],
)
def test_a_policy_that_iam_would_not_take(cloud: LocalCloud, document: Mapping[str, Any]) -> None:
    """It is refused when it is given, and no user is made."""
    with pytest.raises(ValueError, match="refused POST enforce"):
        cloud.enforce(document)
    assert [] == cloud.client("iam").list_users()["Users"]


# -- credentials -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "action", "wrong", "unknown"),
    [
        ("ec2", "describe_vpcs", "AuthFailure", "AuthFailure"),
        ("events", "list_rules", "InvalidSignatureException", "UnrecognizedClientException"),
        ("iam", "list_roles", "SignatureDoesNotMatch", "InvalidClientTokenId"),
        ("s3", "list_buckets", "SignatureDoesNotMatch", "InvalidAccessKeyId"),
    ],
)
def test_keys_are_checked(
    cloud: LocalCloud, service: str, action: str, wrong: str, unknown: str
) -> None:
    """A wrong secret and an unknown key are no one's."""
    key, _ = cloud.enforce(policy(allow("*")))
    assert wrong == refused(getattr(client(cloud, service, (key, "wrong")), action))[1]
    nobody = client(cloud, service, ("AKIANOBODY0000000000", "wrong"))
    assert unknown == refused(getattr(nobody, action))[1]


def test_a_key_that_was_switched_off_is_unknown(cloud: LocalCloud) -> None:
    """IAM's Inactive."""
    keys = cloud.enforce(policy(allow("*")))
    cloud.client("iam").update_access_key(UserName="annexd", AccessKeyId=keys[0], Status="Inactive")
    code = refused(client(cloud, "events", keys).list_rules)[1]
    assert "UnrecognizedClientException" == code


def test_a_role_s_credentials(cloud: LocalCloud) -> None:
    """They may do what the role may, and are told apart by the session's ARN."""
    arn = make_role(cloud, "reader", policy(allow("events:ListRules")))
    keys = cloud.role_credentials(arn)
    events = client(cloud, "events", keys)
    events.list_rules()
    message = refused(events.describe_rule, Name="r")[2]
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/localcloud"
    assert message.startswith(f"User: {session} is not authorized to perform: events:DescribeRule")


@pytest.mark.parametrize("token", [None, "another"])
def test_a_token_belongs_to_its_key(cloud: LocalCloud, token: str | None) -> None:
    """Temporary credentials without it, or with another, are refused."""
    arn = make_role(cloud, "reader", policy(allow("events:ListRules")))
    key, secret, _ = cloud.role_credentials(arn)
    keys = (key, secret, token) if token else (key, secret)
    code = refused(client(cloud, "events", keys).list_rules)[1]
    assert "UnrecognizedClientException" == code


def test_s3_has_a_code_of_its_own_for_a_wrong_token(cloud: LocalCloud) -> None:
    """S3 API Reference, "List of error codes"."""
    keys = cloud.enforce(policy(allow("*")))
    answer = refused(client(cloud, "s3", (*keys, "token")).list_buckets)
    assert (400, "InvalidToken") == answer[:2]


def test_a_boundary_bounds_a_role(cloud: LocalCloud) -> None:
    """What the boundary does not allow is denied, though the role's policy allows it."""
    boundary = cloud.client("iam").create_policy(
        PolicyName="boundary", PolicyDocument=json.dumps(policy(allow("events:List*")))
    )["Policy"]["Arn"]
    arn = make_role(cloud, "reader", policy(allow("events:*")), PermissionsBoundary=boundary)
    events = client(cloud, "events", cloud.role_credentials(arn))
    events.list_rules()
    message = refused(events.describe_rule, Name="r")[2]
    assert message.endswith("because no permissions boundary allows the events:DescribeRule action")


def test_there_are_no_credentials_of_a_role_that_is_not_there(cloud: LocalCloud) -> None:
    """The handle says so."""
    with pytest.raises(ValueError, match="there is no role"):
        cloud.role_credentials(f"arn:aws:iam::{ACCOUNT}:role/nobody")


# -- what was decided ------------------------------------------------------------------------------


def test_decisions_are_remembered(cloud: LocalCloud) -> None:
    """Each with who asked for what, and what came of it."""
    keys = cloud.enforce(policy(allow("events:ListRules")))
    events = client(cloud, "events", keys)
    events.list_rules()
    refused(events.describe_rule, Name="r")
    rule = f"arn:aws:events:us-east-1:{ACCOUNT}:rule/r"
    seen = [(one.who, one.action, one.resource, one.outcome) for one in cloud.asked()]
    assert [
        (USER, "events:ListRules", "*", "allowed"),
        (USER, "events:DescribeRule", rule, "implicit deny"),
    ] == seen
    assert ["events:DescribeRule"] == [one.action for one in cloud.denied()]


def test_decisions_are_forgotten_with_the_calls(cloud: LocalCloud) -> None:
    """`forget` forgets both."""
    keys = cloud.enforce(policy(allow("events:ListRules")))
    client(cloud, "events", keys).list_rules()
    cloud.forget()
    assert [] == cloud.asked()


def test_an_unlisted_action_is_asked_for_everything(cloud: LocalCloud) -> None:
    """And noted as one that no table knows."""
    keys = cloud.enforce(policy(allow("ec2:DescribeVpnGateways", "arn:aws:ec2:*:*:vpc/*")))
    refused(client(cloud, "ec2", keys).describe_vpn_gateways)
    [decided] = cloud.asked()
    assert ("ec2:DescribeVpnGateways", "*", False) == (
        decided.action,
        decided.resource,
        decided.listed,
    )


# -- what acts in somebody's name ------------------------------------------------------------------


def test_a_function_is_held_to_its_role(cloud: LocalCloud) -> None:
    """It runs with its role's credentials, whoever runs it."""
    source = "import boto3\ndef f(event, context):\n    boto3.client('ec2').describe_vpcs()\n"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as files:
        files.writestr("index.py", source)
    cloud.client("lambda").create_function(
        FunctionName="f",
        Runtime="python3.13",
        Role=make_role(cloud, "function", policy(allow("ec2:DescribeInstances"))),
        Handler="index.f",
        Code={"ZipFile": packed.getvalue()},
    )
    cloud.enforce(policy(allow("s3:ListAllMyBuckets")))
    error = json.load(cloud.client("lambda").invoke(FunctionName="f")["Payload"])
    assert "UnauthorizedOperation" in error["errorMessage"]
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/function/localcloud"
    assert [(session, "ec2:DescribeVpcs")] == [(one.who, one.action) for one in cloud.denied()]


def test_a_stack_is_made_in_its_maker_s_name(cloud: LocalCloud) -> None:
    """CloudFormation may do what the caller may, and its event tells what it may not."""
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "bucket"}}
    stacks = ["cloudformation:CreateStack", "cloudformation:Describe*"]
    keys = cloud.enforce(policy(allow(stacks)))
    own = client(cloud, "cloudformation", keys)
    template = json.dumps({"Resources": {"Bucket": bucket}})
    own.create_stack(StackName="s", TemplateBody=template, OnFailure="DO_NOTHING")
    events = own.describe_stack_events(StackName="s")["StackEvents"]
    [reason] = [
        one["ResourceStatusReason"]
        for one in events
        if (one["LogicalResourceId"], one["ResourceStatus"]) == ("Bucket", "CREATE_FAILED")
    ]
    assert f"User: {USER} is not authorized to perform: s3:CreateBucket on resource" in reason
    assert [] == cloud.client("s3").list_buckets()["Buckets"]
