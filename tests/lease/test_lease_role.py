"""The deployed function with its own role: the template's permissions are enough, and not more."""

import uuid
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from htcondor_annex.templates import lease_template
from localcloud import LocalCloud, rules, stacks
from tests.lease.conftest import BUCKET, EXPIRES, Annexes

AHEAD = 3600.0 * 24 * 365 * 10
"""Seconds: by such a clock every lease of these tests is over."""
NOTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:ListBucket",
           "Resource": "*"}]}  # fmt: skip


def deploy(cloud: LocalCloud, template: dict[str, Any]) -> str:
    """Make the stack, and let policies count; return the function's ARN."""
    made = stacks.make_stack(cloud, stacks.LEASE_STACK, template, {"ConfigurationBucket": BUCKET})
    cloud.enforce(NOTHING)
    return made["LeaseFunctionARN"]


def build(annexes: Annexes, arn: str) -> str:
    """Make an annex that has one of everything, whose rule runs the function; return its id."""
    annex_id = str(uuid.uuid4())
    annexes.configuration(annex_id)
    annexes.rule(annex_id, arn=arn)
    annexes.fleet(annex_id, 1, expires=str(EXPIRES))
    annexes.instances(annex_id, 1, expires=str(EXPIRES))
    return annex_id


@pytest.mark.parametrize("sweeps", [False, True], ids=["rule", "sweep"])
def test_the_roles_permissions_are_enough(
    cloud: LocalCloud, annexes: Annexes, *, sweeps: bool
) -> None:
    """The rule of an annex, or the stack's own, fires: all ends, and nothing was refused."""
    annex_id = build(annexes, deploy(cloud, lease_template()))
    own = [rule["Name"] for rule in cloud.contents().rules if "Sweep" in rule["Name"]]
    (done,) = rules.fire(
        cloud, own[0] if sweeps else f"htcondor-annex-{annex_id}", clock_offset=AHEAD
    )
    assert ("", []) == (done.error, cloud.denied())
    assert cloud.contents().empty
    assert annexes.objects() == []


def statements(template: dict[str, Any]) -> list[Any]:
    """Return the statements of the function's role."""
    (policy,) = template["Resources"]["LeaseFunctionRole"]["Properties"]["Policies"]
    found: list[Any] = policy["PolicyDocument"]["Statement"]
    return found


def sid_of(statement: dict[str, Any]) -> str:
    """Return a statement's Sid, if it is conditional too."""
    return str(statement["Fn::If"][1]["Sid"] if "Fn::If" in statement else statement["Sid"])


NEEDED = [sid_of(one) for one in statements(lease_template()) if sid_of(one) != "WriteOwnLog"]


@pytest.mark.parametrize("sid", NEEDED)
def test_each_statement_of_the_role_is_needed(
    cloud: LocalCloud, annexes: Annexes, sid: str
) -> None:
    """Without any one of them the sweep is refused something; the log is Lambda's own matter."""
    template = lease_template()
    statements(template)[:] = [one for one in statements(template) if sid_of(one) != sid]
    annex_id = build(annexes, deploy(cloud, template))
    # What carries but one of the two tags may be ended by that one's statement alone.
    annexes.instances(annex_id, 1)
    annexes.instances(None, 1, expires=str(EXPIRES))
    rules.fire(cloud, clock_offset=AHEAD)
    assert cloud.denied() != []


def test_what_has_no_tag_of_ours_is_out_of_reach(cloud: LocalCloud, annexes: Annexes) -> None:
    """A program with the role's keys cannot end a stranger's instance."""
    deploy(cloud, lease_template())
    (stranger,) = annexes.instances(None, 1)
    (ours,) = annexes.instances(str(uuid.uuid4()), 1)
    iam = cloud.client("iam", looks=True)
    role = next(one for one in iam.list_roles()["Roles"] if "LeaseFunctionRole" in one["RoleName"])
    ec2 = of_role(cloud, role["Arn"])
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        ec2.terminate_instances(InstanceIds=[stranger])
    ec2.terminate_instances(InstanceIds=[ours])
    assert [stranger] == [one["InstanceId"] for one in cloud.contents().instances]


def of_role(cloud: LocalCloud, arn: str) -> Any:  # noqa: ANN401  (boto3)
    """Return EC2's client with a role's keys."""
    key, secret, token = cloud.role_credentials(arn)
    return boto3.client(
        "ec2",
        region_name="us-east-1",
        endpoint_url=cloud.endpoint,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
    )
