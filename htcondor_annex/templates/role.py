"""An instance role's template: it may get one S3 object, and read its own permissions. Pure.

The seed's idea: an instance learns from its role's own policies which object holds its
configuration, and so needs no user data.
"""

import re

from htcondor_annex.templates.objects import BUCKET_PATTERN, KEY_PATTERN, ObjectName
from htcondor_annex.templates.parts import (
    Template,
    boundary_parameter,
    boundary_property,
    policy,
    trust,
)

__all__ = ["ANNEX_KEY", "role_template"]

ANNEX_KEY = "config-*.tar.gz"
"""HTCondor's own form: the agent puts the id of the instance's annex, a random one, for the `*`."""

_PARAMETERS: Template = {
    "Bucket": {
        "Type": "String",
        "AllowedPattern": BUCKET_PATTERN,
        "ConstraintDescription": "must be the name of a bucket",
        "Description": "Bucket of the object with the instances' HTCondor configuration",
    },
    "Key": {
        "Type": "String",
        "AllowedPattern": f"{KEY_PATTERN}|{re.escape(ANNEX_KEY)}",
        "ConstraintDescription": "must be the key of one object, with no wildcard and no $; or "
        + ANNEX_KEY,
        "Description": "Key of that object: a file for config.d, or a .tar.gz of such files; "
        f"{ANNEX_KEY} stands for the object of the instance's own annex",
    },
}


def _resources(resource: str) -> Template:
    return {
        "InstanceRole": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "Description": "Lets an HTCondor annex's instances get their configuration",
                "AssumeRolePolicyDocument": trust("ec2"),
                "Policies": [
                    {
                        "PolicyName": "GetConfiguration",
                        "PolicyDocument": policy(
                            {
                                "Sid": "GetConfiguration",
                                "Effect": "Allow",
                                "Action": "s3:GetObject",
                                "Resource": {"Fn::Sub": resource},
                            }
                        ),
                    }
                ],
                **boundary_property(),
            },
        },
        # A policy of its own: within the role it would refer to the role in a circle.
        "InstanceRoleIntrospection": {
            "Type": "AWS::IAM::Policy",
            "Properties": {
                "PolicyName": "ReadOwnPolicies",
                "Roles": [{"Ref": "InstanceRole"}],
                "PolicyDocument": policy(
                    {
                        "Sid": "ReadOwnPolicies",
                        "Effect": "Allow",
                        # No managed policy is attached, so that GetPolicy is not needed.
                        "Action": [
                            "iam:GetRolePolicy",
                            "iam:ListAttachedRolePolicies",
                            "iam:ListRolePolicies",
                        ],
                        "Resource": {"Fn::GetAtt": ["InstanceRole", "Arn"]},
                    }
                ),
            },
        },
        "InstanceProfile": {
            "Type": "AWS::IAM::InstanceProfile",
            # An instance that boots at once must find the whole of its role.
            "DependsOn": "InstanceRoleIntrospection",
            "Properties": {"Roles": [{"Ref": "InstanceRole"}]},
        },
    }


def role_template(name: ObjectName | None = None) -> Template:
    """Return the template of an instance role and its profile.

    Args:
        name: The one object that instances may get; None leaves it to the stack's parameters.
    """
    boundary, condition = boundary_parameter()
    which = f"{name.bucket}/{name.key}" if name else "${Bucket}/${Key}"
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "HTCondor annex: the role and profile of its instances",
        "Parameters": {**({} if name else _PARAMETERS), **boundary},
        "Conditions": condition,
        "Resources": _resources("arn:${AWS::Partition}:s3:::" + which),
        "Outputs": {
            "InstanceRoleName": {
                "Description": "Name of the role",
                "Value": {"Ref": "InstanceRole"},
            },
            "InstanceProfileName": {
                "Description": "Name of the instance profile",
                "Value": {"Ref": "InstanceProfile"},
            },
            "InstanceProfileARN": {
                "Description": "For IamInstanceProfile in a launch specification",
                "Value": {"Fn::GetAtt": ["InstanceProfile", "Arn"]},
            },
        },
    }
