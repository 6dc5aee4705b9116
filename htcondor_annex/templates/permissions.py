"""`annexd-policy.json`: the least that the keys need with which annexes are made and set up. Pure.

One table, `GRANTS`: each statement of the policy with the reason for each of its actions;
docs/reference/permissions.md is generated from it. Names are held to those that `-setup` gives.
Sources: Service Authorization Reference; EC2 User Guide, "Spot Fleet permissions"; for what
CloudFormation does in the caller's name, the handlers of its resource types' schemas.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from htcondor_annex.templates.parts import Template, policy

__all__ = ["GRANTS", "PARTITIONS", "Grant", "annexd_policy"]

PARTITIONS = ("aws", "aws-cn", "aws-us-gov")


class Grant(NamedTuple):
    """One statement.

    Attributes:
        sid: Its name.
        who: Who needs it: `annexes` (annexd, for every annex) or `setup` (the tool's -setup,
            -check-setup and -teardown alone).
        actions: IAM action to its reason.
        resources: What on; `{partition}` stands for AWS's partition.
        condition: IAM's Condition, or None.
    """

    sid: str
    who: str
    actions: Mapping[str, str]
    resources: Sequence[str]
    condition: Mapping[str, Any] | None = None


_FLEETS = "arn:{partition}:ec2:*:*:spot-fleet-request/*"
_INSTANCES = "arn:{partition}:ec2:*:*:instance/*"
_GROUPS = "arn:{partition}:ec2:*:*:security-group/*"
_RULES = "arn:{partition}:events:*:*:rule/htcondor-annex-*"
_SETUP_RULES = "arn:{partition}:events:*:*:rule/HTCondorAnnex-*"
_FUNCTIONS = "arn:{partition}:lambda:*:*:function:HTCondor*"
_ROLES = "arn:{partition}:iam::*:role/HTCondorAnnex-*"
_OF_AN_ANNEX = {"Null": {"aws:ResourceTag/htcondor:annex-id": "false"}}

GRANTS: tuple[Grant, ...] = (
    Grant(
        "Look",
        "annexes",
        {
            "ec2:DescribeInstances": "follows the instances of annexes",
            "ec2:DescribeSpotFleetRequests": "follows their fleets",
            "events:ListRules": "finds rules that no annex owns",
            "events:ListRuleNamesByTarget": "finds the sweep (ANNEX_LEASE_METHOD = SWEEP)",
        },
        ("*",),  # these know no resources
    ),
    Grant(
        "AskForCapacity",
        "annexes",
        {
            "ec2:RequestSpotFleet": "asks for an annex's capacity",
            "ec2:RunInstances": "AWS asks for it of whoever requests a Spot Fleet",
        },
        ("*",),  # images, subnets, groups and snapshots are the user's own choice
    ),
    Grant(
        "PassFleetRole",
        "annexes",
        {"iam:PassRole": "hands the fleet the role with which it launches instances"},
        (_ROLES, "arn:{partition}:iam::*:role/aws-ec2-spot-fleet-tagging-role"),
        {"StringLike": {"iam:PassedToService": "spotfleet.amazonaws.com*"}},
    ),
    Grant(
        "PassInstanceRole",
        "annexes",
        {"iam:PassRole": "hands the instances (and, in -setup, their profile) their role"},
        (_ROLES,),
        {"StringLike": {"iam:PassedToService": "ec2.amazonaws.com*"}},
    ),
    Grant(
        "TagAtLaunch",
        "annexes",
        {"ec2:CreateTags": "an annex's fleet and instances carry its id and its lease"},
        ("*",),  # EC2 User Guide, "Tag a Spot Fleet": no narrower; and only what is being made
        {"StringEquals": {"ec2:CreateAction": ["RequestSpotFleet", "RunInstances"]}},
    ),
    Grant(
        "ChangeLease",
        "annexes",
        {"ec2:CreateTags": "another end of the lease is written into its tag, and no other"},
        (_FLEETS, _INSTANCES),
        {
            **_OF_AN_ANNEX,
            "ForAllValues:StringEquals": {"aws:TagKeys": "htcondor:lease-expires"},
        },
    ),
    Grant(
        "EndWhatIsOfAnAnnex",
        "annexes",
        {
            "ec2:CancelSpotFleetRequests": "ends an annex's fleet",
            "ec2:TerminateInstances": "ends instances that outlive their fleet",
        },
        (_FLEETS, _INSTANCES),
        _OF_AN_ANNEX,
    ),
    Grant(
        "LeaseRules",
        "annexes",
        {
            "events:PutRule": "the lease's rule stands before any capacity is asked for",
            "events:DescribeRule": "sees that a rule is there, or gone",
            "events:DeleteRule": "removes the rule when nothing is left of the annex",
            "events:RemoveTargets": "as above: a rule with a target is not deleted",
            "events:TagResource": "the rule carries the annex's tags",
            "events:ListTagsForResource": "sees whose a rule is",
        },
        (_RULES,),
    ),
    Grant(
        "LeaseTargets",
        "annexes",
        {"events:PutTargets": "the rule runs the lease function, and nothing else"},
        (_RULES,),
        # A call may have several targets; without any, "for all" would be said of nothing.
        {
            "ForAllValues:ArnLike": {"events:TargetArn": _FUNCTIONS},
            "Null": {"events:TargetArn": "false"},
        },
    ),
    Grant(
        "CheckLease",
        "annexes",
        {
            "lambda:GetFunction": "the lease function is there and not switched off",
            "lambda:GetPolicy": "EventBridge may run it",
        },
        (_FUNCTIONS,),
    ),
    Grant(
        "CheckSweep",
        "annexes",
        {
            "events:DescribeRule": "the sweep's rule is enabled",
            "events:ListTargetsByRule": "it runs the lease function's sweep",
        },
        (_SETUP_RULES,),
    ),
    Grant(
        "SetupStacks",
        "setup",
        {
            "cloudformation:CreateStack": "makes what annexes need",
            "cloudformation:UpdateStack": "brings it up to date",
            "cloudformation:DeleteStack": "-teardown, and to mend a stack that did not come up",
            "cloudformation:DescribeStacks": "sees how a stack is",
            "cloudformation:DescribeStackEvents": "shows progress, and why something failed",
            "cloudformation:DescribeStackResources": "sees what a stack made",
            "cloudformation:GetTemplate": "-check-setup sees whether it is up to date",
            "cloudformation:TagResource": "marks the stacks as -setup's",
        },
        ("arn:{partition}:cloudformation:*:*:stack/HTCondorAnnex-*",),
    ),
    Grant(
        "SetupLook",
        "setup",
        {
            "ec2:DescribeVpcs": "finds the default VPC",
            "ec2:DescribeSecurityGroups": "-check-setup looks at the instances' group",
            "logs:DescribeLogGroups": "CloudFormation looks at the function's log",
        },
        ("*",),  # these know no resources
    ),
    Grant(
        "SetupRoles",
        "setup",
        {
            "iam:CreateRole": "the roles of the function, the instances and the fleets",
            "iam:DeleteRole": "-teardown",
            "iam:GetRole": "CloudFormation looks at what it made",
            "iam:TagRole": "CloudFormation tags what it makes",
            "iam:UpdateRole": "as above: the role's description",
            "iam:UpdateAssumeRolePolicy": "as above: who may take the role",
            "iam:PutRolePolicy": "writes a role's permissions",
            "iam:DeleteRolePolicy": "takes them away",
            "iam:GetRolePolicy": "-check-setup compares them with the template's",
            "iam:ListRolePolicies": "as above",
            "iam:ListAttachedRolePolicies": "as above",
            "iam:PutRolePermissionsBoundary": "-permissions-boundary",
            "iam:DeleteRolePermissionsBoundary": "as above, when it is left out again",
        },
        (_ROLES,),
    ),
    Grant(
        "SetupFleetRole",
        "setup",
        {
            "iam:AttachRolePolicy": "the fleets' role has AWS's own policy for it, and no other",
            "iam:DetachRolePolicy": "-teardown",
        },
        (_ROLES,),
        {
            "ArnEquals": {
                "iam:PolicyARN": "arn:{partition}:iam::aws:policy/service-role/"
                "AmazonEC2SpotFleetTaggingRole"
            }
        },
    ),
    Grant(
        "SetupSpotRoles",
        "setup",
        {"iam:CreateServiceLinkedRole": "an account's first Spot Fleet needs AWS's own two roles"},
        ("arn:{partition}:iam::*:role/aws-service-role/spot*",),
        {"StringEquals": {"iam:AWSServiceName": ["spot.amazonaws.com", "spotfleet.amazonaws.com"]}},
    ),
    Grant(
        "SetupFunctionRole",
        "setup",
        {"iam:PassRole": "hands the lease function its role"},
        (_ROLES,),
        {"StringLike": {"iam:PassedToService": "lambda.amazonaws.com*"}},
    ),
    Grant(
        "SetupProfile",
        "setup",
        {
            "iam:CreateInstanceProfile": "the profile through which instances get their role",
            "iam:DeleteInstanceProfile": "-teardown",
            "iam:GetInstanceProfile": "-check-setup sees which role it holds",
            "iam:AddRoleToInstanceProfile": "puts the role into it",
            "iam:RemoveRoleFromInstanceProfile": "-teardown",
        },
        ("arn:{partition}:iam::*:instance-profile/HTCondorAnnex-*",),
    ),
    Grant(
        "SetupFunction",
        "setup",
        {
            "lambda:CreateFunction": "the lease function",
            "lambda:UpdateFunctionCode": "brings it up to date",
            "lambda:UpdateFunctionConfiguration": "as above",
            "lambda:GetFunctionConfiguration": "CloudFormation waits until it is active",
            "lambda:DeleteFunction": "-teardown",
            "lambda:AddPermission": "lets EventBridge run it",
            "lambda:RemovePermission": "-teardown",
            "lambda:TagResource": "CloudFormation tags what it makes",
            "lambda:InvokeFunction": "-check-setup runs it dry",
        },
        ("arn:{partition}:lambda:*:*:function:HTCondorAnnex-*",),
    ),
    Grant(
        "SetupLog",
        "setup",
        {
            "logs:CreateLogGroup": "the function's log",
            "logs:DeleteLogGroup": "-teardown",
            "logs:PutRetentionPolicy": "its lines are kept for 30 days",
            "logs:TagResource": "CloudFormation tags what it makes",
            "logs:ListTagsForResource": "CloudFormation looks at what it made",
        },
        ("arn:{partition}:logs:*:*:log-group:HTCondorAnnex-*",),
    ),
    Grant(
        "SetupSweep",
        "setup",
        {
            "events:PutRule": "the sweep's schedule",
            "events:PutTargets": "the sweep runs the lease function",
            "events:RemoveTargets": "-teardown",
            "events:DeleteRule": "-teardown",
            "events:TagResource": "CloudFormation tags what it makes",
        },
        (_SETUP_RULES,),
    ),
    Grant(
        "SetupBucket",
        "setup",
        {
            "s3:CreateBucket": "the bucket of the instances' configurations",
            "s3:DeleteBucket": "-teardown",
            "s3:ListBucket": "-teardown looks whether it is empty",
            "s3:PutEncryptionConfiguration": "it is encrypted",
            "s3:GetEncryptionConfiguration": "-check-setup sees that it is",
            "s3:PutBucketPublicAccessBlock": "it is closed to the public",
            "s3:GetBucketPublicAccessBlock": "-check-setup sees that it is",
            "s3:PutBucketOwnershipControls": "no access control lists",
            "s3:PutLifecycleConfiguration": "nothing stays in it for ever",
            "s3:PutBucketPolicy": "it refuses requests without TLS",
            "s3:GetBucketPolicy": "CloudFormation looks at what it made",
            "s3:DeleteBucketPolicy": "-teardown",
            "s3:PutBucketTagging": "CloudFormation tags what it makes",
        },
        ("arn:{partition}:s3:::htcondorannex-*",),
    ),
    Grant(
        "SetupEmptyBucket",
        "setup",
        {"s3:DeleteObject": "-teardown empties the bucket of annexes' configurations"},
        ("arn:{partition}:s3:::htcondorannex-*/config-*.tar.gz",),
    ),
    Grant(
        "SetupSecurityGroup",
        "setup",
        {"ec2:CreateSecurityGroup": "the group of the instances"},
        (_GROUPS, "arn:{partition}:ec2:*:*:vpc/*"),
    ),
    Grant(
        "SetupGroupRules",
        "setup",
        {
            "ec2:DeleteSecurityGroup": "-teardown",
            "ec2:AuthorizeSecurityGroupIngress": "-pool-address",
            "ec2:RevokeSecurityGroupIngress": "as above, when it is left out again",
            "ec2:AuthorizeSecurityGroupEgress": "instances find the pool themselves",
            "ec2:RevokeSecurityGroupEgress": "as above: it replaces EC2's own rule",
        },
        (_GROUPS,),
        {"Null": {"aws:ResourceTag/htcondor:annex-setup": "false"}},
    ),
    Grant(
        "SetupTags",
        "setup",
        {"ec2:CreateTags": "CloudFormation tags the group as it makes it"},
        (_GROUPS,),
        {"StringEquals": {"ec2:CreateAction": "CreateSecurityGroup"}},
    ),
)


def _filled(value: Any, partition: str) -> Any:  # noqa: ANN401  (JSON)
    if isinstance(value, str):
        return value.replace("{partition}", partition)
    if isinstance(value, Mapping):
        return {key: _filled(one, partition) for key, one in value.items()}
    return [_filled(one, partition) for one in value]


def _one_or_all(values: list[str]) -> list[str] | str:
    """Return a list of one as that one: IAM counts every character."""
    return values[0] if len(values) == 1 else values


def annexd_policy(partition: str = "aws") -> Template:
    """Return the policy document for the keys of annexd and of -setup.

    Args:
        partition: One of `PARTITIONS`.
    """
    return policy(
        *(
            {
                "Sid": grant.sid,
                "Effect": "Allow",
                "Action": sorted(grant.actions),
                "Resource": _one_or_all(_filled(grant.resources, partition)),
                **({"Condition": _filled(grant.condition, partition)} if grant.condition else {}),
            }
            for grant in GRANTS
        )
    )
