"""What the templates are made of. Pure."""

from typing import Any

__all__ = ["Template", "boundary_parameter", "boundary_property", "if_given", "policy", "trust"]

Template = dict[str, Any]
"""A CloudFormation template, or a part of one, as JSON can hold it."""

_VERSION = "2012-10-17"
_BOUNDARY = "PermissionsBoundary"
_HAS_BOUNDARY = "HasPermissionsBoundary"


def policy(*statements: Any) -> Template:  # noqa: ANN401  (statements, or conditions that give one)
    """Return a policy document."""
    return {"Version": _VERSION, "Statement": list(statements)}


def trust(service: str) -> Template:
    """Return the policy that lets an AWS service, such as `lambda`, take a role."""
    return policy(
        {
            "Effect": "Allow",
            "Principal": {"Service": {"Fn::Sub": service + ".${AWS::URLSuffix}"}},
            "Action": "sts:AssumeRole",
        }
    )


def if_given(parameter: str) -> Template:
    """Return the condition that an optional parameter was given."""
    return {"Fn::Not": [{"Fn::Equals": [{"Ref": parameter}, ""]}]}


def boundary_parameter() -> tuple[Template, Template]:
    """Return the parameter for a permissions boundary, and its condition."""
    parameter = {
        _BOUNDARY: {
            "Type": "String",
            "Default": "",
            "AllowedPattern": "(arn:[a-z0-9-]+:iam::([0-9]{12}|aws):policy/[!-~]+)?",
            "ConstraintDescription": "must be the ARN of an IAM policy, or empty",
            "Description": "ARN of the policy that bounds the role's permissions; may be empty",
        }
    }
    return parameter, {_HAS_BOUNDARY: if_given(_BOUNDARY)}


def boundary_property() -> Template:
    """Return a role's PermissionsBoundary property."""
    return {
        _BOUNDARY: {"Fn::If": [_HAS_BOUNDARY, {"Ref": _BOUNDARY}, {"Ref": "AWS::NoValue"}]},
    }
