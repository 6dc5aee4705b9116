"""CloudFormation's templates: parameters, conditions, functions, and what depends on what. Pure.

Source: CloudFormation User Guide, "Template anatomy", "Intrinsic function reference", "Parameters",
"Acknowledging IAM resources in CloudFormation templates"; the words of errors are AWS's.
"""

import base64
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

__all__ = [
    "NOTHING",
    "Made",
    "Scope",
    "TemplateError",
    "capability",
    "conditions",
    "order",
    "parameters",
    "references",
    "resolve",
]

Json = Any
"""A part of a template."""

NOTHING = object()
"""What AWS::NoValue stands for: the member that has it is not there."""

_PSEUDO = re.compile(r"AWS::\w+")
_PLACE = re.compile(r"\$\{(!?)([^}]+)\}")
_IAM_NEEDS_NAMED = {
    "AWS::IAM::Group": "GroupName",
    "AWS::IAM::InstanceProfile": "InstanceProfileName",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::IAM::Role": "RoleName",
    "AWS::IAM::User": "UserName",
}
_IAM = {
    *_IAM_NEEDS_NAMED,
    "AWS::IAM::AccessKey",
    "AWS::IAM::Policy",
    "AWS::IAM::UserToGroupAddition",
}


class TemplateError(ValueError):
    """A template or a parameter that CloudFormation does not take; the text is AWS's."""


class Made(Protocol):
    """A resource that can be referred to."""

    @property
    def physical(self) -> str:
        """What Ref gives."""

    @property
    def attributes(self) -> Mapping[str, str]:
        """What Fn::GetAtt gives."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a template's functions can see.

    Attributes:
        values: Parameters and pseudo parameters by name: a text or a list of texts.
        conditions: By name.
        mappings: The template's.
        resources: Those that are made, by logical id.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    conditions: Mapping[str, bool] = field(default_factory=dict)
    mappings: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, Made] = field(default_factory=dict)


# -- functions -------------------------------------------------------------------------------------


def resolve(value: Json, scope: Scope) -> Any:  # noqa: ANN401  (JSON)
    """Return a part of a template with all its functions worked out; NOTHING if it is not there.

    Raises:
        TemplateError: If it asks for what there is not.
    """
    if isinstance(value, list):
        return [one for one in (resolve(item, scope) for item in value) if one is not NOTHING]
    if not isinstance(value, Mapping):
        return value
    function = _function(value)
    if function:
        if function not in _FUNCTIONS:
            raise TemplateError(f"Template error: the local cloud has no function {function}")
        return _FUNCTIONS[function](value[function], scope)
    found = {key: resolve(item, scope) for key, item in value.items()}
    return {key: one for key, one in found.items() if one is not NOTHING}


def _function(value: Mapping[str, Json]) -> str:
    """Return the name of the function that a mapping of one member is; empty if it is none."""
    name = next(iter(value)) if len(value) == 1 else ""
    if name in ("Ref", "Condition") and isinstance(value[name], str):
        return name
    return name if name.startswith("Fn::") else ""


def _ref(name: str, scope: Scope) -> Any:  # noqa: ANN401  (JSON)
    if name == "AWS::NoValue":
        return NOTHING
    if name in scope.values:
        return scope.values[name]
    if name in scope.resources:
        return scope.resources[name].physical
    raise TemplateError(
        f"Template format error: Unresolved resource dependencies [{name}] in the Resources block "
        "of the template"
    )


def _attribute(asked: Json, scope: Scope) -> str:
    name, _, attribute = (
        asked.partition(".") if isinstance(asked, str) else (asked[0], "", asked[1])
    )
    if name not in scope.resources:
        raise TemplateError(
            f"Template error: instance of Fn::GetAtt references undefined resource {name}"
        )
    attributes = scope.resources[name].attributes
    if attribute not in attributes:
        raise TemplateError(
            f"Template error: resource {name} does not support attribute type {attribute} in "
            "Fn::GetAtt"
        )
    return attributes[attribute]


def _sub(asked: Json, scope: Scope) -> str:
    text, own = (asked, {}) if isinstance(asked, str) else (asked[0], resolve(asked[1], scope))

    def fill(match: re.Match[str]) -> str:
        literal, name = match.groups()
        if literal:
            return "${" + name + "}"
        if name in own:
            return str(own[name])
        return str(_attribute(name, scope) if "." in name else _ref(name, scope))

    return _PLACE.sub(fill, text)


def _if(asked: Sequence[Json], scope: Scope) -> Any:  # noqa: ANN401  (JSON)
    name, true, false = asked
    return resolve(true if _condition(name, scope) else false, scope)


def _condition(name: str, scope: Scope) -> bool:
    if name not in scope.conditions:
        raise TemplateError(f"Template error: unresolved condition dependency {name}")
    return scope.conditions[name]


def _in_map(asked: Sequence[Json], scope: Scope) -> Any:  # noqa: ANN401  (JSON)
    found: Any = scope.mappings
    for key in resolve(asked, scope):
        if key not in found:
            raise TemplateError(f"Template error: Unable to get mapping for {'::'.join(asked)}")
        found = found[key]
    return found


def _select(asked: Sequence[Json], scope: Scope) -> Any:  # noqa: ANN401  (JSON)
    index, among = int(resolve(asked[0], scope)), resolve(asked[1], scope)
    if not 0 <= index < len(among):
        raise TemplateError(
            f"Template error: Fn::Select cannot select nonexistent value at index {index}"
        )
    return among[index]


_FUNCTIONS: Mapping[str, Callable[[Any, Scope], Any]] = {
    "Ref": _ref,
    "Condition": _condition,
    "Fn::GetAtt": _attribute,
    "Fn::Sub": _sub,
    "Fn::If": _if,
    "Fn::FindInMap": _in_map,
    "Fn::Join": lambda asked, scope: asked[0].join(str(one) for one in resolve(asked[1], scope)),
    "Fn::Split": lambda asked, scope: resolve(asked[1], scope).split(asked[0]),
    "Fn::Select": _select,
    "Fn::Base64": lambda asked, scope: base64.b64encode(resolve(asked, scope).encode()).decode(),
    "Fn::Equals": lambda asked, scope: resolve(asked[0], scope) == resolve(asked[1], scope),
    "Fn::And": lambda asked, scope: all(resolve(one, scope) for one in asked),
    "Fn::Or": lambda asked, scope: any(resolve(one, scope) for one in asked),
    "Fn::Not": lambda asked, scope: not resolve(asked[0], scope),
}


def conditions(template: Json, values: Mapping[str, Any]) -> dict[str, bool]:
    """Return a template's conditions, which may build on each other."""
    found: dict[str, bool] = {}
    waiting = dict(template.get("Conditions", {}))
    scope = Scope(values=values, conditions=found, mappings=template.get("Mappings", {}))
    while waiting:
        ready = [name for name, one in waiting.items() if not _conditions_in(one) & waiting.keys()]
        if not ready:
            raise TemplateError(
                f"Template error: Circular dependency between conditions: [{', '.join(waiting)}]"
            )
        for name in ready:
            found[name] = bool(resolve(waiting.pop(name), scope))
    return found


def _conditions_in(value: Json) -> set[str]:
    if isinstance(value, list):
        return set().union(*(_conditions_in(one) for one in value))
    if not isinstance(value, Mapping):
        return set()
    if _function(value) == "Condition":
        return {value["Condition"]}
    return set().union(*(_conditions_in(one) for one in value.values()))


# -- what depends on what --------------------------------------------------------------------------


def references(value: Json, scope: Scope) -> set[str]:
    """Return the logical ids, and names of parameters, that a part of a template refers to.

    What a condition takes away does not count.
    """
    if isinstance(value, list):
        return set().union(*(references(one, scope) for one in value))
    if not isinstance(value, Mapping):
        return set()
    function = _function(value)
    if function in _REFERRING:
        return _REFERRING[function](value[function], scope)
    return set().union(*(references(one, scope) for one in value.values()))


def _in_sub(asked: Json, scope: Scope) -> set[str]:
    text, own = (asked, {}) if isinstance(asked, str) else asked
    names = {name.partition(".")[0] for literal, name in _PLACE.findall(text) if not literal}
    names -= set(own)
    return names | references(list(own.values()), scope)


_REFERRING: Mapping[str, Callable[[Any, Scope], set[str]]] = {
    "Ref": lambda asked, _: {asked} - {"AWS::NoValue"},
    "Fn::GetAtt": lambda asked, _: {
        asked.partition(".")[0] if isinstance(asked, str) else asked[0]
    },
    "Fn::If": lambda asked, scope: references(
        asked[1 if _condition(asked[0], scope) else 2], scope
    ),
    "Fn::Sub": _in_sub,
    "Condition": lambda _, __: set(),
}


def order(template: Json, scope: Scope) -> dict[str, frozenset[str]]:
    """Return a template's resources in the order in which they are made.

    Returns:
        Logical id to the logical ids that it depends on; those whose condition does not hold are
        left out.

    Raises:
        TemplateError: If one refers to what there is not, or they depend on each other in a circle.
    """
    live = {
        name: one
        for name, one in template["Resources"].items()
        if "Condition" not in one or _condition(one["Condition"], scope)
    }
    needs: dict[str, frozenset[str]] = {}
    for name, one in live.items():
        after = one.get("DependsOn", [])
        stated = {after} if isinstance(after, str) else set(after)
        found = references(one.get("Properties", {}), scope) | (stated & live.keys())
        found |= stated - template["Resources"].keys()
        _check(found, live, scope, "Resources")
        needs[name] = frozenset(found & live.keys())
    _check(references(_outputs(template, scope), scope), live, scope, "Outputs")
    ordered: dict[str, frozenset[str]] = {}
    while len(ordered) < len(needs):
        ready = [one for one in needs if one not in ordered and needs[one] <= ordered.keys()]
        if not ready:
            left = ", ".join(one for one in needs if one not in ordered)
            raise TemplateError(f"Circular dependency between resources: [{left}]")
        ordered.update({one: needs[one] for one in ready})
    return ordered


def _outputs(template: Json, scope: Scope) -> list[Json]:
    return [
        one.get("Value")
        for one in template.get("Outputs", {}).values()
        if "Condition" not in one or _condition(one["Condition"], scope)
    ]


def _check(found: Collection[str], live: Collection[str], scope: Scope, block: str) -> None:
    unknown = [
        one
        for one in sorted(found)
        if one not in live and one not in scope.values and not _PSEUDO.fullmatch(one)
    ]
    if unknown:
        raise TemplateError(
            f"Template format error: Unresolved resource dependencies [{', '.join(unknown)}] in "
            f"the {block} block of the template"
        )


# -- parameters and capabilities -------------------------------------------------------------------


def parameters(template: Json, given: Mapping[str, str]) -> dict[str, str]:
    """Return the values of a template's parameters, as texts.

    Raises:
        TemplateError: If one is missing, unknown or not permitted.
    """
    declared = template.get("Parameters", {})
    unknown = [name for name in given if name not in declared]
    if unknown:
        raise TemplateError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    values = {
        name: given.get(name, one.get("Default"))
        for name, one in declared.items()
        if name in given or "Default" in one
    }
    missing = [name for name in declared if name not in values]
    if missing:
        raise TemplateError(f"Parameters: [{', '.join(missing)}] must have values")
    texts = {name: str(value) for name, value in values.items()}
    for name, text in texts.items():
        _check_value(name, text, declared[name])
    return texts


def _check_value(name: str, text: str, one: Json) -> None:
    of_list = one["Type"] == "CommaDelimitedList" or one["Type"].startswith("List<")
    for part in text.split(",") if of_list else [text]:
        broken = _broken_rule(name, part.strip() if of_list else part, one)
        if broken and "ConstraintDescription" in one:
            why = one["ConstraintDescription"]
            raise TemplateError(f"Parameter {name} failed to satisfy constraint: {why}")
        if broken:
            raise TemplateError(broken)


def _broken_rule(name: str, text: str, one: Json) -> str:
    """Return AWS's words for the rule that a value breaks; empty if it breaks none."""
    if "AllowedValues" in one and text not in [str(value) for value in one["AllowedValues"]]:
        return f"Parameter '{name}' must be one of AllowedValues"
    if "AllowedPattern" in one and not re.fullmatch(one["AllowedPattern"], text):
        return f"Parameter '{name}' must match pattern {one['AllowedPattern']}"
    if len(text) < int(one.get("MinLength", 0)):
        return f"Parameter '{name}' must contain at least {one['MinLength']} characters"
    if "MaxLength" in one and len(text) > int(one["MaxLength"]):
        return f"Parameter '{name}' must contain at most {one['MaxLength']} characters"
    if one["Type"] == "Number" and not re.fullmatch(r"-?\d+(\.\d+)?", text):
        return f"Parameter '{name}' must be a number"
    return ""


def capability(template: Json) -> str:
    """Return the capability that a template needs; empty if it needs none."""
    found = [one for one in template["Resources"].values() if one["Type"] in _IAM]
    if any(_IAM_NEEDS_NAMED.get(one["Type"]) in one.get("Properties", {}) for one in found):
        return "CAPABILITY_NAMED_IAM"
    return "CAPABILITY_IAM" if found else ""
