"""From what a caller asks to the plan of a stack, or AWS's refusal of it. Pure.

Source: CloudFormation API Reference ("CreateStack", "UpdateStack", "CloudFormation quotas").
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moto.cloudformation.models import Stack as MotoStack

from localcloud.cfnresources import KINDS
from localcloud.cfnstacks import Plan
from localcloud.cfntemplate import Scope, TemplateError, conditions, order, parameters, resolve

__all__ = ["LONGEST_BODY", "plan_of", "read"]

LONGEST_BODY = 51_200
"""Bytes of a TemplateBody."""

_PARTITIONS = {"cn": ("aws-cn", "amazonaws.com.cn"), "us-gov": ("aws-us-gov", "amazonaws.com")}
_ANY = "arn:aws:service:region:account:kind/name"


@dataclass(frozen=True, slots=True)
class _Any:
    """Stands for a resource that is not made yet."""

    physical: str
    attributes: Mapping[str, str]


def read(text: str) -> dict[str, Any]:
    """Return a template of JSON or YAML.

    Raises:
        TemplateError: If it is none.
    """
    try:
        template = json.loads(text) if text.lstrip().startswith("{") else _yaml(text)
    except ValueError as error:
        raise TemplateError(f"Template format error: JSON not well-formed. ({error})") from error
    if not isinstance(template, dict):
        raise TemplateError("Template format error: unsupported structure.")
    resources = template.get("Resources")
    if not resources:
        raise TemplateError("Template format error: At least one Resources member must be defined.")
    unknown = sorted({str(one.get("Type")) for one in resources.values()} - KINDS.keys())
    if unknown:
        raise TemplateError(
            f"Template format error: Unrecognized resource types: [{', '.join(unknown)}]"
        )
    return template


def _yaml(text: str) -> Any:  # noqa: ANN401  (YAML)
    try:
        return MotoStack.parse_template(text)
    except Exception as error:  # the parser has many, and JSON's beside
        raise TemplateError(f"Template format error: YAML not well-formed. ({error})") from error


def plan_of(
    text: str,
    given: Mapping[str, str],
    tags: Mapping[str, str],
    capabilities: tuple[str, ...],
    stack: tuple[str, str, str, str],
) -> Plan:
    """Return the plan of a stack.

    Args:
        text: The template.
        given: Parameters.
        tags: Of the stack.
        capabilities: That were acknowledged.
        stack: Its name, its ARN, the Region and the account.

    Raises:
        TemplateError: If it cannot be one.
    """
    template = read(text)
    texts = parameters(template, given)
    values: dict[str, Any] = {**_pseudo(*stack), **texts}
    for name, one in template.get("Parameters", {}).items():
        if one["Type"] == "CommaDelimitedList" or one["Type"].startswith("List<"):
            values[name] = [part.strip() for part in texts[name].split(",")]
    scope = Scope(values, conditions(template, values), template.get("Mappings", {}))
    ordered = order(template, scope)
    _try(template, scope, ordered)
    return Plan(text, template, texts, scope, ordered, dict(tags), capabilities)


def _pseudo(name: str, arn: str, region: str, account: str) -> dict[str, Any]:
    partition, suffix = next(
        (found for start, found in _PARTITIONS.items() if region.startswith(start)),
        ("aws", "amazonaws.com"),
    )
    return {
        "AWS::AccountId": account,
        "AWS::NotificationARNs": [],
        "AWS::Partition": partition,
        "AWS::Region": region,
        "AWS::StackId": arn,
        "AWS::StackName": name,
        "AWS::URLSuffix": suffix,
    }


def _try(template: Mapping[str, Any], plain: Scope, ordered: Mapping[str, Any]) -> None:
    """Work out all functions once, as if all resources were made."""
    made = {}
    for logical in ordered:
        kind = KINDS[template["Resources"][logical]["Type"]]
        made[logical] = _Any("any", dict.fromkeys(kind.attributes, _ANY))
    scope = Scope(plain.values, plain.conditions, plain.mappings, made)
    for logical in ordered:
        resolve(template["Resources"][logical].get("Properties", {}), scope)
    for one in template.get("Outputs", {}).values():
        if "Condition" not in one or scope.conditions[one["Condition"]]:
            resolve(one["Value"], scope)
