"""What IAM is asked for calls to other services than EC2.

Source: Service Authorization Reference; see `localcloud.iamactions` and its neighbours.
"""

import contextlib
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud import LocalCloud
from tests.localcloud.authority import (
    ACCOUNT,
    GIVES,
    ID_TAG,
    MARK,
    Check,
    all_powerful,
    allow,
    asked,
    client,
    make_role,
    policy,
    refused,
)

RULE = f"arn:aws:events:us-east-1:{ACCOUNT}:rule/r"
FUNCTION = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f"
FUNCTION_ROLE = f"arn:aws:iam::{ACCOUNT}:role/function"
STACK = f"arn:aws:cloudformation:us-east-1:{ACCOUNT}:stack/s/*"
LOG = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:g"
OWNER = {"events:creatorAccount": ACCOUNT}
ARN_OF_TARGET = {"events:TargetArn": [FUNCTION]}
PASS_FUNCTION = ("iam:PassRole", FUNCTION_ROLE, {"iam:PassedToService": "lambda.amazonaws.com"})
CODE = {"ZipFile": b"code"}
CREATE = {"FunctionName": "f", "Role": FUNCTION_ROLE, "Code": CODE, "Handler": "i.h"}


@pytest.mark.parametrize(
    ("service", "method", "given", "expected"),
    [
        pytest.param(
            "events",
            "put_rule",
            {"Name": "r", "ScheduleExpression": "rate(5 minutes)", "Tags": MARK},
            [
                ("events:PutRule", RULE, {**OWNER, **GIVES}),
                ("events:TagResource", RULE, {**OWNER, **GIVES}),
            ],
            id="PutRule with tags needs TagResource",
        ),
        pytest.param(
            "events",
            "put_targets",
            {"Rule": "r", "Targets": [{"Id": "t", "Arn": FUNCTION}]},
            [("events:PutTargets", RULE, {**OWNER, **ARN_OF_TARGET})],
            id="PutTargets tells the targets",
        ),
        pytest.param(
            "events",
            "remove_targets",
            {"Rule": "r", "Ids": ["t"]},
            [("events:RemoveTargets", RULE, OWNER)],
            id="RemoveTargets",
        ),
        pytest.param(
            "events",
            "delete_rule",
            {"Name": "r"},
            [("events:DeleteRule", RULE, OWNER)],
            id="DeleteRule",
        ),
        pytest.param(
            "events",
            "describe_rule",
            {"Name": "r", "EventBusName": "bus"},
            [("events:DescribeRule", RULE.replace("rule/r", "rule/bus/r"), OWNER)],
            id="a rule of another bus",
        ),
        pytest.param(
            "events",
            "list_targets_by_rule",
            {"Rule": "r"},
            [("events:ListTargetsByRule", RULE, OWNER)],
            id="ListTargetsByRule",
        ),
        pytest.param(
            "events",
            "tag_resource",
            {"ResourceARN": RULE, "Tags": MARK},
            [("events:TagResource", RULE, {**OWNER, **GIVES})],
            id="TagResource",
        ),
        pytest.param(
            "events",
            "list_tags_for_resource",
            {"ResourceARN": RULE},
            [("events:ListTagsForResource", RULE, OWNER)],
            id="ListTagsForResource",
        ),
        pytest.param(
            "events",
            "list_rule_names_by_target",
            {"TargetArn": FUNCTION},
            [("events:ListRuleNamesByTarget", "*", {})],
            id="ListRuleNamesByTarget knows no resource",
        ),
        pytest.param(
            "lambda",
            "create_function",
            {**CREATE, "Tags": {ID_TAG: "x"}},
            [
                ("lambda:CreateFunction", FUNCTION, GIVES),
                ("lambda:TagResource", FUNCTION, GIVES),
                PASS_FUNCTION,
            ],
            id="CreateFunction passes a role",
        ),
        pytest.param(
            "lambda",
            "get_function",
            {"FunctionName": FUNCTION},
            [("lambda:GetFunction", FUNCTION, {})],
            id="a function by ARN",
        ),
        pytest.param(
            "lambda",
            "get_policy",
            {"FunctionName": f"{ACCOUNT}:function:f"},
            [("lambda:GetPolicy", FUNCTION, {})],
            id="a function by part of an ARN",
        ),
        pytest.param(
            "lambda",
            "invoke",
            {"FunctionName": "f", "Qualifier": "1"},
            [("lambda:InvokeFunction", f"{FUNCTION}:1", {})],
            id="Invoke is InvokeFunction, of a version",
        ),
        pytest.param(
            "lambda",
            "add_permission",
            {
                "FunctionName": "f",
                "StatementId": "s",
                "Action": "lambda:InvokeFunction",
                "Principal": "events.amazonaws.com",
            },
            [("lambda:AddPermission", FUNCTION, {"lambda:Principal": "events.amazonaws.com"})],
            id="AddPermission tells the principal",
        ),
        pytest.param(
            "cloudformation",
            "create_stack",
            {"StackName": "s", "TemplateBody": "{}", "Tags": MARK, "RoleARN": FUNCTION_ROLE},
            [
                (
                    "cloudformation:CreateStack",
                    STACK,
                    {**GIVES, "cloudformation:RoleArn": FUNCTION_ROLE},
                ),
                (
                    "cloudformation:TagResource",
                    STACK,
                    {
                        **GIVES,
                        "cloudformation:RoleArn": FUNCTION_ROLE,
                        "cloudformation:CreateAction": "CreateStack",
                    },
                ),
                (
                    "iam:PassRole",
                    FUNCTION_ROLE,
                    {"iam:PassedToService": "cloudformation.amazonaws.com"},
                ),
            ],
            id="CreateStack with tags and a role",
        ),
        pytest.param(
            "cloudformation",
            "describe_stacks",
            {"StackName": STACK.replace("*", "1")},
            [("cloudformation:DescribeStacks", STACK.replace("*", "1"), {})],
            id="a stack by ARN",
        ),
        pytest.param(
            "cloudformation",
            "describe_stacks",
            {},
            [("cloudformation:DescribeStacks", "*", {}), ("cloudformation:ListStacks", "*", {})],
            id="all stacks are a list, too",
        ),
        pytest.param(
            "iam",
            "create_role",
            {
                "RoleName": "r",
                "Path": "/p/",
                "AssumeRolePolicyDocument": "{}",
                "PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/b",
            },
            [
                (
                    "iam:CreateRole",
                    f"arn:aws:iam::{ACCOUNT}:role/p/r",
                    {"iam:PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/b"},
                )
            ],
            id="CreateRole tells the boundary",
        ),
        pytest.param(
            "iam",
            "attach_role_policy",
            {"RoleName": "r", "PolicyArn": "arn:aws:iam::aws:policy/p"},
            [
                (
                    "iam:AttachRolePolicy",
                    f"arn:aws:iam::{ACCOUNT}:role/r",
                    {"iam:PolicyARN": "arn:aws:iam::aws:policy/p"},
                )
            ],
            id="AttachRolePolicy tells the policy",
        ),
        pytest.param(
            "iam",
            "add_role_to_instance_profile",
            {"InstanceProfileName": "p", "RoleName": "r"},
            [
                (
                    "iam:AddRoleToInstanceProfile",
                    f"arn:aws:iam::{ACCOUNT}:instance-profile/p",
                    {},
                ),
                (
                    "iam:PassRole",
                    f"arn:aws:iam::{ACCOUNT}:role/r",
                    {"iam:PassedToService": "ec2.amazonaws.com"},
                ),
            ],
            id="AddRoleToInstanceProfile passes the role",
        ),
        pytest.param(
            "s3",
            "get_object",
            {"Bucket": "b", "Key": "a/k"},
            [
                ("s3:GetObject", "arn:aws:s3:::b/a/k", {}),
                ("s3:ListBucket", "arn:aws:s3:::b", {}),
            ],
            id="an object's absence is told to whoever may list",
        ),
        pytest.param(
            "s3",
            "list_objects_v2",
            {"Bucket": "b", "Prefix": "config-"},
            [("s3:ListBucket", "arn:aws:s3:::b", {"s3:prefix": "config-"})],
            id="ListObjectsV2 is ListBucket",
        ),
        pytest.param(
            "s3",
            "delete_object",
            {"Bucket": "b", "Key": "k"},
            [("s3:DeleteObject", "arn:aws:s3:::b/k", {})],
            id="DeleteObject",
        ),
        pytest.param(
            "s3",
            "put_public_access_block",
            {"Bucket": "b", "PublicAccessBlockConfiguration": {"BlockPublicAcls": True}},
            [("s3:PutBucketPublicAccessBlock", "arn:aws:s3:::b", {})],
            id="PutPublicAccessBlock has another name",
        ),
        pytest.param(
            "logs",
            "create_log_group",
            {"logGroupName": "g", "tags": {ID_TAG: "x"}},
            [
                ("logs:CreateLogGroup", f"{LOG}:log-stream:", GIVES),
                ("logs:TagResource", LOG, GIVES),
            ],
            id="CreateLogGroup with tags",
        ),
        pytest.param(
            "logs",
            "create_log_stream",
            {"logGroupName": "g", "logStreamName": "s"},
            [("logs:CreateLogStream", f"{LOG}:log-stream:s", {})],
            id="CreateLogStream",
        ),
    ],
)
def test_a_call_asks_for(
    cloud: LocalCloud,
    service: str,
    method: str,
    given: dict[str, Any],
    expected: list[Check],
) -> None:
    """Whether it then succeeds or not: these things are not there."""
    own = all_powerful(cloud, service)
    with contextlib.suppress(ClientError):
        getattr(own, method)(**given)
    assert expected == asked(cloud)


def test_a_rule_s_own_tags_count(cloud: LocalCloud) -> None:
    """EventBridge knows aws:ResourceTag."""
    cloud.client("events").put_rule(Name="r", ScheduleExpression="rate(1 hour)", Tags=MARK)
    all_powerful(cloud, "events").describe_rule(Name="r")
    context = {**OWNER, f"aws:ResourceTag/{ID_TAG}": "x"}
    assert [("events:DescribeRule", RULE, context)] == asked(cloud)


def test_a_role_s_boundary_counts(cloud: LocalCloud) -> None:
    """iam:PermissionsBoundary has that of a role which is there."""
    boundary = cloud.client("iam").create_policy(
        PolicyName="b", PolicyDocument=json.dumps(policy(allow("s3:*")))
    )["Policy"]["Arn"]
    arn = make_role(cloud, "r", policy(allow("s3:*")), PermissionsBoundary=boundary)
    all_powerful(cloud, "iam").delete_role_policy(RoleName="r", PolicyName="own")
    context = {"iam:PermissionsBoundary": boundary}
    assert [("iam:DeleteRolePolicy", arn, context)] == asked(cloud)


def test_an_object_that_is_there_needs_no_list(cloud: LocalCloud) -> None:
    """Who may get it gets it; its absence is hidden from who may not list the bucket."""
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="k", Body=b"text")
    keys = cloud.enforce(policy(allow("s3:GetObject", "arn:aws:s3:::bucket/*")))
    own = client(cloud, "s3", keys)
    assert b"text" == own.get_object(Bucket="bucket", Key="k")["Body"].read()
    _, code, message = refused(own.get_object, Bucket="bucket", Key="other")
    assert ("AccessDenied", True) == (code, "to perform: s3:ListBucket" in message)
