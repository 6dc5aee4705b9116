"""The policies of CloudFormation templates, with all that a stack would fill in filled in. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["Unresolved", "policies", "resolve"]

_PSEUDO = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::StackName": "HTCondorAnnex-Stack",
    "AWS::URLSuffix": "amazonaws.com",
}
_ARNS = {
    "AWS::Events::Rule": "arn:aws:events:us-east-1:123456789012:rule/{}",
    "AWS::IAM::InstanceProfile": "arn:aws:iam::123456789012:instance-profile/{}",
    "AWS::IAM::Role": "arn:aws:iam::123456789012:role/{}",
    "AWS::Lambda::Function": "arn:aws:lambda:us-east-1:123456789012:function:{}",
    "AWS::Logs::LogGroup": "arn:aws:logs:us-east-1:123456789012:log-group:{}:*",
    "AWS::S3::Bucket": "arn:aws:s3:::{}",
}
_NOTHING = {"Ref": "AWS::NoValue"}
_VARIABLE = re.compile(r"\$\{([^!}][^}]*)\}")


class Unresolved(ValueError):  # noqa: N818  (a finding)
    """A template asks for what is not known here."""


def policies(template: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give each policy document of a template, with its name; conditions are taken as met.

    Raises:
        Unresolved: If one cannot be filled in.
    """
    for name, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        found = {f"{name}/{one['PolicyName']}": one for one in properties.get("Policies", [])}
        documents = {label: one["PolicyDocument"] for label, one in found.items()}
        for key in ("PolicyDocument", "AssumeRolePolicyDocument"):
            if key in properties:
                documents[f"{name}/{key}"] = properties[key]
        for label, document in documents.items():
            yield label, resolve(document, template)


def resolve(value: Any, template: Mapping[str, Any]) -> Any:  # noqa: ANN401  (JSON)
    """Return a part of a template with its functions resolved."""
    if isinstance(value, list):
        return [resolve(one, template) for one in value if one != _NOTHING]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((name, given),) = value.items()
        if name == "Ref" or name.startswith("Fn::"):
            return _call(name, given, template)
    return {key: resolve(one, template) for key, one in value.items() if one != _NOTHING}


def _call(name: str, given: Any, template: Mapping[str, Any]) -> Any:  # noqa: ANN401  (JSON)
    """Return what a function of a template gives."""
    if name == "Fn::If":
        return resolve(given[1], template)
    known = {"Ref": _reference, "Fn::GetAtt": _attribute, "Fn::Sub": _substitute}
    if name not in known:
        raise Unresolved(f"{name} is not known here")
    return known[name](given, template)


def _reference(name: str, template: Mapping[str, Any]) -> str:
    if name in _PSEUDO:
        return _PSEUDO[name]
    if name in template["Resources"] or name in template.get("Parameters", {}):
        return name.lower()
    raise Unresolved(f"there is nothing of the name {name}")


def _attribute(given: Any, template: Mapping[str, Any]) -> str:  # noqa: ANN401  (JSON)
    name, attribute = given.split(".", 1) if isinstance(given, str) else given
    kind = template["Resources"].get(name, {}).get("Type")
    if attribute != "Arn" or kind not in _ARNS:
        raise Unresolved(f"{name}.{attribute} is not known here")
    return _ARNS[kind].format(name.lower())


def _substitute(given: Any, template: Mapping[str, Any]) -> str:  # noqa: ANN401  (JSON)
    text, values = (given, {}) if isinstance(given, str) else given

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name in values:
            return str(resolve(values[name], template))
        return _attribute(name, template) if "." in name else _reference(name, template)

    return _VARIABLE.sub(value, text)
