"""The lease function's template: the function, its role, its log, and who may run it. Pure.

Every permission has its reason beside it. What can end something asks for the annex's tag.
"""

from importlib import resources

from htcondor_annex.templates.objects import BUCKET_PATTERN
from htcondor_annex.templates.parts import (
    Template,
    boundary_parameter,
    boundary_property,
    if_given,
    policy,
    trust,
)

__all__ = ["HANDLER", "RUNTIME", "TIMEOUT_SECONDS", "function_source", "lease_template"]

RUNTIME = "python3.13"
HANDLER = "index.handler"
TIMEOUT_SECONDS = 280
"""Less than the five minutes between two runs of a rule."""

_RULES = "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:rule/htcondor-annex-*"
_BUCKET = "ConfigurationBucket"
_HAS_BUCKET = "HasConfigurationBucket"
_TAGGED = {"Null": {"aws:ResourceTag/htcondor:annex-id": "false"}}


def function_source() -> str:
    """Return the text of the lease function."""
    return (resources.files("htcondor_annex.lease") / "function.py").read_text(encoding="utf-8")


def _arn(rest: str) -> Template:
    return {"Fn::Sub": "arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:" + rest}


def _permissions() -> Template:
    """Return what the function may do, and no more."""
    return policy(
        {
            # EC2 knows no resource-level permissions for looking.
            "Sid": "Look",
            "Effect": "Allow",
            "Action": ["ec2:DescribeInstances", "ec2:DescribeSpotFleetRequests"],
            "Resource": "*",
        },
        {
            "Sid": "EndFleetsOfAnnexes",
            "Effect": "Allow",
            "Action": "ec2:CancelSpotFleetRequests",
            "Resource": _arn("spot-fleet-request/*"),
            "Condition": _TAGGED,
        },
        {
            "Sid": "EndInstancesOfAnnexes",
            "Effect": "Allow",
            "Action": "ec2:TerminateInstances",
            "Resource": _arn("instance/*"),
            "Condition": _TAGGED,
        },
        {
            "Sid": "RemoveRulesOfAnnexes",
            "Effect": "Allow",
            "Action": ["events:DeleteRule", "events:RemoveTargets"],
            "Resource": {"Fn::Sub": _RULES},
        },
        {
            # The group itself is the stack's, so that creating one need not be allowed.
            "Sid": "WriteOwnLog",
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": {"Fn::GetAtt": ["LeaseFunctionLog", "Arn"]},
        },
        {
            "Fn::If": [
                _HAS_BUCKET,
                {
                    "Sid": "DeleteConfigurations",
                    "Effect": "Allow",
                    "Action": "s3:DeleteObject",
                    "Resource": {"Fn::Sub": "arn:${AWS::Partition}:s3:::${" + _BUCKET + "}/*"},
                },
                {"Ref": "AWS::NoValue"},
            ]
        },
    )


def _resources() -> Template:
    return {
        "LeaseFunctionLog": {
            "Type": "AWS::Logs::LogGroup",
            "DeletionPolicy": "Delete",
            "UpdateReplacePolicy": "Delete",
            "Properties": {"RetentionInDays": 30},
        },
        "LeaseFunctionRole": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "Description": "What HTCondor's lease function may do",
                "AssumeRolePolicyDocument": trust("lambda"),
                "Policies": [{"PolicyName": "EndExpiredAnnexes", "PolicyDocument": _permissions()}],
                **boundary_property(),
            },
        },
        "LeaseFunction": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Description": "Ends HTCondor annexes whose lease is over",
                "Runtime": RUNTIME,
                "Handler": HANDLER,
                "Timeout": TIMEOUT_SECONDS,
                "MemorySize": 256,
                "Role": {"Fn::GetAtt": ["LeaseFunctionRole", "Arn"]},
                "LoggingConfig": {"LogGroup": {"Ref": "LeaseFunctionLog"}},
                "Code": {"ZipFile": function_source()},
            },
        },
        "LeaseFunctionPermission": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "Action": "lambda:InvokeFunction",
                "FunctionName": {"Fn::GetAtt": ["LeaseFunction", "Arn"]},
                "Principal": "events.amazonaws.com",
                "SourceAccount": {"Ref": "AWS::AccountId"},
                "SourceArn": {"Fn::Sub": _RULES},
            },
        },
    }


def lease_template() -> Template:
    """Return the template of the lease function, its source inlined.

    Its output `LeaseFunctionARN` is what `condor_annex -lease-function-arn` takes.
    """
    boundary, condition = boundary_parameter()
    bucket = {
        _BUCKET: {
            "Type": "String",
            "Default": "",
            "AllowedPattern": f"({BUCKET_PATTERN})?",
            "ConstraintDescription": "must be the name of a bucket, or empty",
            "Description": "Bucket whose configuration objects the function may delete; may be "
            "empty",
        }
    }
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "HTCondor annex: the function that ends what outlives its lease",
        "Parameters": {**bucket, **boundary},
        "Conditions": {_HAS_BUCKET: if_given(_BUCKET), **condition},
        "Resources": _resources(),
        "Outputs": {
            "LeaseFunctionARN": {
                "Description": "For condor_annex -lease-function-arn, or the knob "
                "ANNEX_DEFAULT_SFR_LEASE_FUNCTION_ARN",
                "Value": {"Fn::GetAtt": ["LeaseFunction", "Arn"]},
            }
        },
    }
