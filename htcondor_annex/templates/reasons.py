"""Why each permission in the templates is there; docs/reference/permissions.md shows it. Pure.

`permissions.py` has the reasons of annexd-policy.json beside its statements; these are those of the
roles that the stacks make. A test holds both to the templates.
"""

from collections.abc import Mapping

__all__ = ["INSTANCE_ROLE", "LEASE_FUNCTION"]

LEASE_FUNCTION: Mapping[str, str] = {
    "ec2:DescribeInstances": "looks for what outlives its lease",
    "ec2:DescribeSpotFleetRequests": "as above",
    "ec2:CancelSpotFleetRequests": "ends a fleet that carries an annex's id or a lease; no other",
    "ec2:TerminateInstances": "ends an instance that carries an annex's id or a lease; no other",
    "events:ListRules": "the sweep finds rules that are left of annexes",
    "events:ListTargetsByRule": "the sweep heeds what a rule says of its annex's lease",
    "events:ListTagsForResource": "as above",
    "events:RemoveTargets": "removes an annex's rule when nothing is left of the annex",
    "events:DeleteRule": "as above",
    "logs:CreateLogStream": "writes its own log",
    "logs:PutLogEvents": "as above",
    "s3:DeleteObject": "removes an annex's configuration; only if the stack is given a bucket",
}
"""IAM action of the lease function's role to its reason."""

INSTANCE_ROLE: Mapping[str, str] = {
    "s3:GetObject": "the one object that holds the instance's configuration",
    "iam:GetRolePolicy": "the agent finds that object by reading the role's own policies",
    "iam:ListRolePolicies": "as above",
    "iam:ListAttachedRolePolicies": "as above; the role has none, and the agent sees that",
}
"""IAM action of the instances' role to its reason."""
