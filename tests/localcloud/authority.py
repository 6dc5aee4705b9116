"""Keys of users and roles who are held to policies, and what they meet."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from localcloud import LocalCloud

__all__ = [
    "ACCOUNT",
    "GIVES",
    "ID_TAG",
    "MARK",
    "Check",
    "Keys",
    "all_powerful",
    "allow",
    "asked",
    "client",
    "make_role",
    "policy",
    "refused",
]

Client = Any
"""A boto3 client, which has no types."""

Keys = tuple[str, ...]
"""Access key id, secret key, and the session token if there is one."""

Check = tuple[str, str, Mapping[str, Any]]
"""What IAM is asked: action, resource, condition keys."""

ACCOUNT = "123456789012"
ID_TAG = "htcondor:annex-id"
MARK = [{"Key": ID_TAG, "Value": "x"}]
GIVES = {f"aws:RequestTag/{ID_TAG}": "x", "aws:TagKeys": [ID_TAG]}
"""The condition keys of a call that gives that tag."""


def policy(*statements: Mapping[str, Any]) -> dict[str, Any]:
    """Return a policy document."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(actions: str | list[str], resource: str | list[str] = "*", **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return a statement that allows."""
    return {"Effect": "Allow", "Action": actions, "Resource": resource, **more}


def client(cloud: LocalCloud, service: str, keys: Keys) -> Client:
    """Return a boto3 client with these keys."""
    key, secret, *token = keys
    return boto3.client(
        service,
        region_name="us-east-1",
        endpoint_url=cloud.endpoint,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token[0] if token else None,
        config=Config(retries={"total_max_attempts": 1}),
    )


def asked(cloud: LocalCloud) -> list[Check]:
    """Return what IAM was asked, action, resource and condition keys."""
    return [(one.action, one.resource, one.context) for one in cloud.asked()]


def all_powerful(cloud: LocalCloud, service: str) -> Client:
    """Return a client of a user who may do all, and is asked for all the same."""
    return client(cloud, service, cloud.enforce(policy(allow("*"))))


def refused(call: Callable[..., object], **given: object) -> tuple[int, str, str]:
    """Make a call that fails; return the status, AWS's code and its message."""
    with pytest.raises(ClientError) as raised:
        call(**given)
    answer = raised.value.response
    said = answer["Error"]
    return answer["ResponseMetadata"]["HTTPStatusCode"], said["Code"], said["Message"]


def make_role(cloud: LocalCloud, name: str, document: Mapping[str, Any], **more: object) -> str:
    """Make a role that has one policy; return its ARN."""
    trust = allow("sts:AssumeRole") | {"Principal": {"Service": "ec2.amazonaws.com"}}
    del trust["Resource"]
    iam = cloud.client("iam")
    made = iam.create_role(
        RoleName=name, AssumeRolePolicyDocument=json.dumps(policy(trust)), **more
    )
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=json.dumps(document))
    return str(made["Role"]["Arn"])
