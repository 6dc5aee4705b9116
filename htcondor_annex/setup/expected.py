"""What a template asks for once its stack is made: intrinsic functions resolved. Pure.

Only those that the project's own templates use; source: CloudFormation User Guide, "Intrinsic
function reference". IAM's documents are compared by what they say, not by how they are written.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["RoleSpec", "Values", "resolve", "role_of", "same_document", "values_of"]

Values = Mapping[str, str]
"""What references stand for: `Name`, `Name.Attribute`, `AWS::Region`."""

_NO_VALUE = {"Ref": "AWS::NoValue"}
_IN_TEXT = re.compile(r"\$\{([^!}][^}]*)\}")
_SUFFIXES = {"aws-cn": "amazonaws.com.cn"}


def values_of(
    stack_id: str, parameters: Values, physical: Values, log_groups: frozenset[str] = frozenset()
) -> dict[str, str]:
    """Return what references stand for in a stack.

    Args:
        stack_id: Its ARN, which tells partition, region and account.
        parameters: Name to value.
        physical: Logical to physical id.
        log_groups: The logical ids of log groups.
    """
    _, partition, _, region, account, _ = stack_id.split(":", 5)
    values = {
        "AWS::Partition": partition,
        "AWS::Region": region,
        "AWS::AccountId": account,
        "AWS::URLSuffix": _SUFFIXES.get(partition, "amazonaws.com"),
        **parameters,
        **physical,
    }
    for name, one in physical.items():
        if name in log_groups:
            values[f"{name}.Arn"] = f"arn:{partition}:logs:{region}:{account}:log-group:{one}:*"
        else:
            values[f"{name}.Arn"] = f"arn:{partition}:iam::{account}:role/{one}"
    return values


def _holds(condition: Mapping[str, Any], values: Values) -> bool:
    (operator, operands), *_ = condition.items()
    if operator == "Fn::Not":
        return not _holds(operands[0], values)
    left, right = (resolve(one, {}, values) for one in operands)  # Fn::Equals
    return bool(left == right)


def resolve(value: Any, conditions: Mapping[str, Any], values: Values) -> Any:  # noqa: ANN401  (JSON)
    """Return a part of a template with its functions resolved.

    Args:
        value: The part.
        conditions: The template's Conditions.
        values: What references stand for.

    Raises:
        LookupError: If it refers to what `values` does not have.
    """
    if isinstance(value, list):
        found = [resolve(item, conditions, values) for item in value]
        return [one for one in found if one != _NO_VALUE]
    if not isinstance(value, Mapping) or value == _NO_VALUE:
        return value
    if len(value) == 1 and next(iter(value)) in {"Ref", "Fn::GetAtt", "Fn::Sub"}:
        return _text(value, values)
    if "Fn::If" in value:
        condition, yes, no = value["Fn::If"]
        chosen = yes if _holds(conditions[condition], values) else no
        return resolve(chosen, conditions, values)
    parts = {key: resolve(one, conditions, values) for key, one in value.items()}
    return {key: one for key, one in parts.items() if one != _NO_VALUE}


def _text(function: Mapping[str, Any], values: Values) -> str:
    ((name, given),) = function.items()
    if name == "Ref":
        return values[given]
    if name == "Fn::GetAtt":
        return values[".".join(given)]
    return _IN_TEXT.sub(lambda found: values[found[1]], given)


@dataclass(frozen=True, slots=True)
class RoleSpec:
    """What a role must be.

    Attributes:
        trust: Who may take it: a policy document.
        inline: The name of each inline policy, to its document.
        attached: The ARNs of managed policies.
        boundary: The ARN of its permissions boundary; empty for none.
    """

    trust: Any
    inline: Mapping[str, Any]
    attached: frozenset[str]
    boundary: str


def role_of(template: Mapping[str, Any], logical: str, values: Values) -> RoleSpec:
    """Return what a template makes of a role; raises LookupError as `resolve`."""
    conditions = template.get("Conditions", {})
    role = template["Resources"][logical]["Properties"]
    inline = {one["PolicyName"]: one["PolicyDocument"] for one in role.get("Policies", [])}
    for resource in template["Resources"].values():
        properties = resource["Properties"]
        if resource["Type"] == "AWS::IAM::Policy" and {"Ref": logical} in properties["Roles"]:
            inline[properties["PolicyName"]] = properties["PolicyDocument"]
    boundary = resolve(role.get("PermissionsBoundary", _NO_VALUE), conditions, values)
    return RoleSpec(
        trust=resolve(role["AssumeRolePolicyDocument"], conditions, values),
        inline=resolve(inline, conditions, values),
        attached=frozenset(resolve(role.get("ManagedPolicyArns", []), conditions, values)),
        boundary="" if boundary == _NO_VALUE else str(boundary),
    )


def _plain(value: Any) -> Any:  # noqa: ANN401  (JSON)
    """Return a document in one form: IAM takes a single thing for a list of one, in any order."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    listed = value if isinstance(value, list) else [value]
    return sorted((_plain(one) for one in listed), key=_key) if isinstance(value, list) else value


def _key(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _statement(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a statement, its single things as lists."""
    found = dict(given)
    for name in ("Action", "NotAction", "Resource", "NotResource"):
        if isinstance(found.get(name), str):
            found[name] = [found[name]]
    for name in ("Principal", "Condition"):
        if isinstance(found.get(name), Mapping):
            found[name] = _listed(found[name])
    return found


def _listed(value: Any) -> Any:  # noqa: ANN401  (JSON)
    if isinstance(value, Mapping):
        return {key: _listed(one) for key, one in value.items()}
    return value if isinstance(value, list) else [value]


def same_document(one: Any, other: Any) -> bool:  # noqa: ANN401  (JSON)
    """Tell whether two policy documents say the same."""
    forms = []
    for document in (one, other):
        if not isinstance(document, Mapping):
            return False
        given = document.get("Statement", [])
        statements = given if isinstance(given, list) else [given]
        if not all(isinstance(statement, Mapping) for statement in statements):
            return False
        plain = [_plain(_statement(statement)) for statement in statements]
        forms.append((document.get("Version"), sorted(map(_key, plain))))
    return bool(forms[0] == forms[1])
