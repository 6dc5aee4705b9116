"""Small stacks, and what the tests of stacks ask of them."""

import json
from collections.abc import Mapping
from typing import Any

from localcloud import LocalCloud

__all__ = [
    "CF",
    "NAME",
    "SOURCE",
    "bucket",
    "events_of",
    "function",
    "log",
    "make",
    "names",
    "physical",
    "reason_of",
    "role",
    "stack_of",
    "template",
    "trust",
    "update",
]

CF = Any
"""A boto3 client of CloudFormation, which has no types."""

NAME = "HTCondorAnnex-Test"
SOURCE = "def handler(event, context):\n    return 'old'\n"


def template(resources: Mapping[str, Any], **parts: object) -> str:
    """Return a template's text."""
    return json.dumps({"Resources": resources, **parts})


def log(**properties: object) -> dict[str, Any]:
    """Return a log group's entry."""
    return {"Type": "AWS::Logs::LogGroup", "Properties": properties}


def trust(service: str = "lambda") -> dict[str, Any]:
    """Return a trust policy."""
    principal = {"Service": f"{service}.amazonaws.com"}
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def role(**properties: object) -> dict[str, Any]:
    """Return a role's entry."""
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {"AssumeRolePolicyDocument": trust(), **properties},
    }


def function(**properties: object) -> dict[str, Any]:
    """Return the entry of a function with the role `Role`."""
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Runtime": "python3.13",
            "Handler": "index.handler",
            "Role": {"Fn::GetAtt": ["Role", "Arn"]},
            "Code": {"ZipFile": SOURCE},
            **properties,
        },
    }


def bucket(**properties: object) -> dict[str, Any]:
    """Return a bucket's entry."""
    return {"Type": "AWS::S3::Bucket", "Properties": properties}


def make(cf: CF, resources: Mapping[str, Any], **asked: object) -> str:
    """Make a stack of resources named NAME; return its id."""
    given = {"StackName": NAME, "Capabilities": ["CAPABILITY_IAM"], **asked}
    body = given.pop("TemplateBody", None) or template(resources)
    return str(cf.create_stack(TemplateBody=body, **given)["StackId"])


def update(cf: CF, resources: Mapping[str, Any], **asked: object) -> None:
    """Update the stack NAME."""
    given = {"StackName": NAME, "Capabilities": ["CAPABILITY_IAM"], **asked}
    body = given.pop("TemplateBody", None) or template(resources)
    cf.update_stack(TemplateBody=body, **given)


def stack_of(cf: CF, name: str = NAME) -> dict[str, Any]:
    """Return a stack as DescribeStacks has it."""
    found: dict[str, Any] = cf.describe_stacks(StackName=name)["Stacks"][0]
    return found


def events_of(cf: CF, name: str = NAME) -> list[tuple[str, str]]:
    """Return a stack's events, oldest first: logical id and status."""
    found = cf.describe_stack_events(StackName=name)["StackEvents"]
    return [(one["LogicalResourceId"], one["ResourceStatus"]) for one in found[::-1]]


def reason_of(cf: CF, logical: str, status: str) -> str:
    """Return why a resource of the stack NAME came into a status."""
    found = cf.describe_stack_events(StackName=NAME)["StackEvents"]
    return next(
        str(one["ResourceStatusReason"])
        for one in found
        if (one["LogicalResourceId"], one["ResourceStatus"]) == (logical, status)
    )


def physical(cf: CF, logical: str, name: str = NAME) -> str:
    """Return a resource's physical id."""
    found = cf.describe_stack_resource(StackName=name, LogicalResourceId=logical)
    return str(found["StackResourceDetail"]["PhysicalResourceId"])


def names(cloud: LocalCloud) -> set[str]:
    """Return the names of all log groups, roles and buckets: what stacks of the tests leave."""
    logs = cloud.client("logs").describe_log_groups()["logGroups"]
    roles = cloud.client("iam").list_roles()["Roles"]
    buckets = cloud.client("s3").list_buckets()["Buckets"]
    return {
        *(one["logGroupName"] for one in logs),
        *(one["RoleName"] for one in roles),
        *(one["Name"] for one in buckets),
    }
