"""Makes the project's CloudFormation stacks in the local cloud, as a user would on AWS."""

import json
from collections.abc import Mapping
from typing import Any

from htcondor_annex.templates import ObjectName, lease_template, role_template
from localcloud.cloud import LocalCloud

__all__ = ["LEASE_STACK", "ROLE_STACK", "make_lease_stack", "make_role_stack", "make_stack"]

LEASE_STACK = "HTCondorLeaseImplementation"
ROLE_STACK = "HTCondorAnnexInstanceRole"


def make_lease_stack(cloud: LocalCloud, name: str = LEASE_STACK) -> str:
    """Make the lease function's stack; return the function's ARN."""
    return make_stack(cloud, name, lease_template())["LeaseFunctionARN"]


def make_role_stack(
    cloud: LocalCloud, bucket: str, key: str, name: str = ROLE_STACK
) -> dict[str, str]:
    """Make an instance role's stack for one S3 object; return its outputs."""
    return make_stack(cloud, name, role_template(ObjectName(bucket, key)))


def make_stack(
    cloud: LocalCloud,
    name: str,
    template: Mapping[str, Any],
    parameters: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Make a stack, wait for it, and return its outputs.

    Args:
        cloud: Where.
        name: The stack's name.
        template: A CloudFormation template.
        parameters: Of the stack.

    Raises:
        botocore.exceptions.ClientError: If the cloud refuses.
        botocore.exceptions.WaiterError: If the stack does not come up.
    """
    client = cloud.client("cloudformation")
    client.create_stack(
        StackName=name,
        TemplateBody=json.dumps(template),
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value}
            for key, value in (parameters or {}).items()
        ],
        Capabilities=["CAPABILITY_IAM"],
    )
    client.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    outputs = client.describe_stacks(StackName=name)["Stacks"][0].get("Outputs", [])
    return {output["OutputKey"]: output["OutputValue"] for output in outputs}
