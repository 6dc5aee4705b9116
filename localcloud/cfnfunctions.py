"""AWS::Lambda::Function and ::Permission, AWS::Events::Rule, AWS::Logs::LogGroup.

Source: the schemas of these types: what their handlers call, and which properties need a new one;
for inline code, CloudFormation User Guide, "AWS::Lambda::Function Code".
"""

import io
import json
import zipfile
from typing import Any

from localcloud.cfncalls import Hand
from localcloud.cfnkinds import Kind, Thing, Wanted, as_list

__all__ = ["KINDS"]

_SETTINGS = (
    "Description",
    "Environment",
    "Handler",
    "LoggingConfig",
    "MemorySize",
    "Role",
    "Runtime",
    "Timeout",
)
_DEFAULTS = {
    "Description": "",
    "Environment": {"Variables": {}},
    "MemorySize": 128,
    "Timeout": 3,
}
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same source gives the same archive, and so CodeSha256
_PERMISSION = (
    "Action",
    "EventSourceToken",
    "FunctionName",
    "Principal",
    "PrincipalOrgID",
    "SourceAccount",
    "SourceArn",
)
_RULE = ("Description", "EventBusName", "RoleArn", "ScheduleExpression", "State")


def _picked(want: Wanted, names: tuple[str, ...]) -> dict[str, Any]:
    """Return those properties, None for one that is not there."""
    return {name: want.properties.get(name) for name in names}


# -- functions -------------------------------------------------------------------------------------


def _make_function(hand: Hand, one: Thing, want: Wanted) -> None:
    given = want.properties
    name = given.get("FunctionName", one.name)
    made = hand.ask(
        "lambda",
        "CreateFunction",
        FunctionName=name,
        Code=_code(want),
        Architectures=given.get("Architectures"),
        Tags=dict(want.tags) or None,
        **_picked(want, _SETTINGS),
    )
    one.physical, one.attributes = name, {"Arn": made["FunctionArn"]}
    hand.ask("lambda", "GetFunction", FunctionName=name)


def _code(want: Wanted) -> dict[str, Any]:
    """Return the code as the API takes it: a source becomes a file `index` in an archive."""
    code = want.properties["Code"]
    if "ZipFile" not in code:
        return dict(code)
    suffix = "js" if str(want.properties.get("Runtime", "")).startswith("nodejs") else "py"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo(f"index.{suffix}", _LONG_AGO)
        entry.external_attr = 0o644 << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(entry, code["ZipFile"])
    return {"ZipFile": packed.getvalue()}


def _change_function(hand: Hand, one: Thing, was: Wanted, want: Wanted) -> None:
    name, before, after = one.physical, was.properties, want.properties
    if any(before.get(part) != after.get(part) for part in ("Code", "Architectures")):
        hand.ask("lambda", "UpdateFunctionCode", FunctionName=name, **_code(want))
        hand.ask("lambda", "GetFunction", FunctionName=name)
    changed = [one for one in _SETTINGS if before.get(one) != after.get(one)]
    if changed:
        settings = {setting: after.get(setting, _DEFAULTS.get(setting)) for setting in changed}
        hand.ask("lambda", "UpdateFunctionConfiguration", FunctionName=name, **settings)
        hand.ask("lambda", "GetFunction", FunctionName=name)
    _change_tags(hand, "lambda", one.attributes["Arn"], was, want)


def _unmake_function(hand: Hand, one: Thing, _: Wanted) -> None:
    hand.ask("lambda", "GetFunction", FunctionName=one.physical)
    hand.ask("lambda", "DeleteFunction", FunctionName=one.physical)


def _make_permission(hand: Hand, one: Thing, want: Wanted) -> None:
    hand.ask("lambda", "AddPermission", StatementId=one.name, **_picked(want, _PERMISSION))
    one.physical, one.attributes = one.name, {"Id": one.name}


def _unchanged(*_: object) -> None:
    """Do nothing: each of its properties needs a new one."""


def _unmake_permission(hand: Hand, one: Thing, want: Wanted) -> None:
    function = want.properties["FunctionName"]
    hand.ask("lambda", "RemovePermission", FunctionName=function, StatementId=one.physical)


def _change_tags(hand: Hand, service: str, arn: str, was: Wanted, want: Wanted) -> None:
    """Bring the tags of a function or a log group up to date; the tags are a mapping there."""
    names = ("Resource", "TagKeys", "Tags") if service == "lambda" else _LOG_NAMES
    resource, keys, tags = names
    left = sorted(was.tags.keys() - want.tags.keys())
    if left:
        hand.ask(service, "UntagResource", **{resource: arn, keys: left})
    if want.tags and was.tags != want.tags:
        hand.ask(service, "TagResource", **{resource: arn, tags: dict(want.tags)})


_LOG_NAMES = ("resourceArn", "tagKeys", "tags")


# -- rules -----------------------------------------------------------------------------------------


def _put_rule(hand: Hand, name: str, want: Wanted, tags: list[dict[str, str]] | None) -> str:
    pattern = want.properties.get("EventPattern")
    put = hand.ask(
        "events",
        "PutRule",
        Name=name,
        EventPattern=json.dumps(pattern) if isinstance(pattern, dict) else pattern,
        Tags=tags,
        **_picked(want, _RULE),
    )
    return str(put["RuleArn"])


def _put_targets(hand: Hand, name: str, want: Wanted) -> None:
    targets, bus = want.properties.get("Targets"), want.properties.get("EventBusName")
    if targets:
        hand.ask("events", "PutTargets", Rule=name, EventBusName=bus, Targets=targets)


def _make_rule(hand: Hand, one: Thing, want: Wanted) -> None:
    name = want.properties.get("Name", one.name)
    arn = _put_rule(hand, name, want, as_list(want.tags))
    one.physical, one.attributes = name, {"Arn": arn}
    _put_targets(hand, name, want)
    hand.ask("events", "DescribeRule", Name=name, EventBusName=want.properties.get("EventBusName"))


def _change_rule(hand: Hand, one: Thing, was: Wanted, want: Wanted) -> None:
    name, bus = one.physical, want.properties.get("EventBusName")
    hand.ask("events", "DescribeRule", Name=name, EventBusName=bus)
    if any(
        was.properties.get(part) != want.properties.get(part) for part in (*_RULE, "EventPattern")
    ):
        _put_rule(hand, name, want, None)
    before, after = (side.properties.get("Targets", []) for side in (was, want))
    left = sorted({target["Id"] for target in before} - {target["Id"] for target in after})
    if left:
        hand.ask("events", "RemoveTargets", Rule=name, EventBusName=bus, Ids=left)
    if before != after:
        _put_targets(hand, name, want)
    arn = one.attributes["Arn"]
    untagged = sorted(was.tags.keys() - want.tags.keys())
    if untagged:
        hand.ask("events", "UntagResource", ResourceARN=arn, TagKeys=untagged)
    if want.tags and was.tags != want.tags:
        hand.ask("events", "TagResource", ResourceARN=arn, Tags=as_list(want.tags))


def _unmake_rule(hand: Hand, one: Thing, want: Wanted) -> None:
    name, bus = one.physical, want.properties.get("EventBusName")
    hand.ask("events", "DescribeRule", Name=name, EventBusName=bus)
    targets = hand.ask("events", "ListTargetsByRule", Rule=name, EventBusName=bus)["Targets"]
    if targets:
        ids = [target["Id"] for target in targets]
        hand.ask("events", "RemoveTargets", Rule=name, EventBusName=bus, Ids=ids)
    hand.ask("events", "DeleteRule", Name=name, EventBusName=bus)


# -- logs ------------------------------------------------------------------------------------------


def _make_log(hand: Hand, one: Thing, want: Wanted) -> None:
    name = want.properties.get("LogGroupName", one.name)
    hand.ask("logs", "CreateLogGroup", logGroupName=name, tags=dict(want.tags) or None)
    one.physical = name
    days = want.properties.get("RetentionInDays")
    if days:
        hand.ask("logs", "PutRetentionPolicy", logGroupName=name, retentionInDays=days)
    groups = hand.ask("logs", "DescribeLogGroups", logGroupNamePrefix=name)["logGroups"]
    arn = next(group["arn"] for group in groups if group["logGroupName"] == name)
    one.attributes = {"Arn": arn}


def _change_log(hand: Hand, one: Thing, was: Wanted, want: Wanted) -> None:
    name = one.physical
    before, after = (side.properties.get("RetentionInDays") for side in (was, want))
    if before != after:
        action = "PutRetentionPolicy" if after else "DeleteRetentionPolicy"
        hand.ask("logs", action, logGroupName=name, retentionInDays=after)
    if was.tags != want.tags:
        arn = one.attributes["Arn"].removesuffix(":*")
        hand.ask("logs", "ListTagsForResource", resourceArn=arn)
        _change_tags(hand, "logs", arn, was, want)


def _unmake_log(hand: Hand, one: Thing, _: Wanted) -> None:
    hand.ask("logs", "DescribeLogGroups", logGroupNamePrefix=one.physical)
    hand.ask("logs", "DeleteLogGroup", logGroupName=one.physical)


KINDS = (
    Kind(
        "AWS::Lambda::Function",
        _make_function,
        _change_function,
        _unmake_function,
        known=frozenset({"Architectures", "Code", "FunctionName", "Tags", *_SETTINGS}),
        replaced=frozenset({"FunctionName"}),
        attributes=frozenset({"Arn"}),
        named="FunctionName",
        longest=64,
        tagged=True,
    ),
    Kind(
        "AWS::Lambda::Permission",
        _make_permission,
        _unchanged,
        _unmake_permission,
        known=frozenset(_PERMISSION),
        replaced=frozenset(_PERMISSION),
        attributes=frozenset({"Id"}),
        longest=100,
    ),
    Kind(
        "AWS::Events::Rule",
        _make_rule,
        _change_rule,
        _unmake_rule,
        known=frozenset({"EventPattern", "Name", "Tags", "Targets", *_RULE}),
        replaced=frozenset({"Name", "EventBusName"}),
        attributes=frozenset({"Arn"}),
        named="Name",
        longest=64,
        tagged=True,
    ),
    Kind(
        "AWS::Logs::LogGroup",
        _make_log,
        _change_log,
        _unmake_log,
        known=frozenset({"LogGroupName", "RetentionInDays", "Tags"}),
        replaced=frozenset({"LogGroupName"}),
        attributes=frozenset({"Arn"}),
        named="LogGroupName",
        tagged=True,
    ),
)
