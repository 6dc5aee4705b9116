"""The lease function's template: the function, its role, its log, its sweep, who may run it. Pure.

Every permission has its reason beside it. What can end something asks for a tag of ours. The sweep
is a rule of the stack's own: it ends what has expired though no annex has a rule.
"""

import json
from importlib import resources

from htcondor_annex.lease import rule, sweep
from htcondor_annex.templates.inline import one_text
from htcondor_annex.templates.objects import BUCKET_PATTERN
from htcondor_annex.templates.parts import (
    Template,
    boundary_parameter,
    boundary_property,
    if_given,
    policy,
    trust,
)

__all__ = [
    "HANDLER",
    "RUNTIME",
    "TIMEOUT_SECONDS",
    "function_source",
    "lease_template",
]

RUNTIME = "python3.13"
HANDLER = "index.handler"
TIMEOUT_SECONDS = 280
"""Less than the five minutes between two runs of a rule."""

_MODULES = ("over.py", "function.py")
_RULES = "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:rule/htcondor-annex-*"
_BUCKET = "ConfigurationBucket"
_HAS_BUCKET = "HasConfigurationBucket"
_OF_AN_ANNEX = {"Null": {"aws:ResourceTag/htcondor:annex-id": "false"}}
_UNDER_A_LEASE = {"Null": {"aws:ResourceTag/htcondor:lease-expires": "false"}}


def function_source() -> str:
    """Return the text of the lease function."""
    directory = resources.files("htcondor_annex.lease")
    return one_text(*((directory / name).read_text(encoding="utf-8") for name in _MODULES))


def _arn(rest: str) -> Template:
    return {"Fn::Sub": "arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:" + rest}


def _ending(sid: str, condition: Template) -> Template:
    """Return the statement that lets end what carries a tag."""
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Action": ["ec2:CancelSpotFleetRequests", "ec2:TerminateInstances"],
        "Resource": [_arn("spot-fleet-request/*"), _arn("instance/*")],
        "Condition": condition,
    }


def _may_run(source_arn: Template) -> Template:
    """Return what lets EventBridge run the function for the rules of that ARN."""
    return {
        "Type": "AWS::Lambda::Permission",
        "Properties": {
            "Action": "lambda:InvokeFunction",
            "FunctionName": {"Fn::GetAtt": ["LeaseFunction", "Arn"]},
            "Principal": "events.amazonaws.com",
            "SourceAccount": {"Ref": "AWS::AccountId"},
            "SourceArn": source_arn,
        },
    }


def _permissions() -> Template:
    """Return what the function may do, and no more."""
    return policy(
        {
            # These know no resource-level permissions.
            "Sid": "Look",
            "Effect": "Allow",
            "Action": [
                "ec2:DescribeInstances",
                "ec2:DescribeSpotFleetRequests",
                "events:ListRules",
            ],
            "Resource": "*",
        },
        _ending("EndWhatIsOfAnAnnex", _OF_AN_ANNEX),
        # The sweep ends by the lease's tag alone: the annex's own may have been taken away.
        _ending("EndWhatIsUnderALease", _UNDER_A_LEASE),
        {
            # The sweep reads what a rule says, for it may be newer than the tags.
            "Sid": "ReadAndRemoveRulesOfAnnexes",
            "Effect": "Allow",
            "Action": [
                "events:DeleteRule",
                "events:ListTagsForResource",
                "events:ListTargetsByRule",
                "events:RemoveTargets",
            ],
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
                "Environment": {"Variables": {"CONFIGURATION_BUCKET": {"Ref": _BUCKET}}},
                "Code": {"ZipFile": function_source()},
            },
        },
        "LeaseFunctionPermission": _may_run({"Fn::Sub": _RULES}),
        "Sweep": {
            "Type": "AWS::Events::Rule",
            "Properties": {
                "Description": "Ends every HTCondor annex whose lease is over, whoever made it",
                "ScheduleExpression": rule.SCHEDULE,
                "State": "ENABLED",
                "Targets": [
                    {
                        "Id": "sweep",
                        "Arn": {"Fn::GetAtt": ["LeaseFunction", "Arn"]},
                        "Input": json.dumps(sweep.INPUT),
                    }
                ],
            },
        },
        "SweepPermission": _may_run({"Fn::GetAtt": ["Sweep", "Arn"]}),
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
            },
            "SweepRuleName": {
                "Description": "The rule that runs the function's sweep",
                "Value": {"Ref": "Sweep"},
            },
        },
    }
