"""What IAM checks for calls to EventBridge, Lambda, CloudFormation and CloudWatch Logs.

After the Service Authorization Reference and:

* EventBridge API Reference, "PutRule": tags need events:TagResource, too; the EventBridge User
  Guide has that events:TargetArn has the ARNs of all targets of a call.
* CloudWatch Logs User Guide, "Overview of managing access permissions": a log group's ARN ends in
  `:*` for all actions but those on tags; what IAM is asked for ends in `:log-stream:`.
"""

from collections.abc import Callable, Mapping

from moto.awslambda.models import lambda_backends
from moto.cloudformation.models import cloudformation_backends
from moto.events.models import events_backends
from moto.logs.models import logs_backends

from localcloud.iamchecks import (
    Asked,
    Check,
    Table,
    everything,
    names,
    pass_role,
    request_tags,
    resource_tags,
)
from localcloud.iampatterns import Context

__all__ = ["TABLES"]

_Checks = Callable[[Asked], list[Check]]


def _of(kind: str, checks: _Checks) -> Table:
    return dict.fromkeys(names(kind), checks)


def _tag_keys(asked: Asked, *parameters: str) -> Context:
    """Return the condition keys of a call that takes tags away."""
    keys = [key for name in parameters for key in asked.parameters.get(name) or []]
    return {"aws:TagKeys": keys} if keys else {}


# -- EventBridge -----------------------------------------------------------------------------------


def _rule_arn(asked: Asked) -> str:
    named = asked.text("Rule") or asked.text("Name")
    bus = asked.text("EventBusName").rpartition("/")[2]
    return asked.arn(f"rule/{named}" if bus in ("", "default") else f"rule/{bus}/{named}")


def _rule_tags(asked: Asked, arn: str) -> Context:
    tagger = events_backends[asked.who.account][asked.region].tagger
    return resource_tags(tagger.get_tag_dict_for_resource(arn))


def _rule(asked: Asked) -> list[Check]:
    arn = _rule_arn(asked)
    context: dict[str, str | list[str]] = {
        "events:creatorAccount": asked.who.account,
        **_rule_tags(asked, arn),
        **request_tags(asked.parameters.get("Tags")),
    }
    targets = asked.parameters.get("Targets") or []
    if asked.action == "PutTargets":
        context["events:TargetArn"] = [str(target.get("Arn")) for target in targets]
    checks = [asked.check(arn, context)]
    if asked.action == "PutRule" and asked.parameters.get("Tags"):
        checks.append(asked.check(arn, context, "TagResource"))
    roles = [asked.text("RoleArn"), *(str(target.get("RoleArn") or "") for target in targets)]
    return [*checks, *(pass_role(role, "events") for role in roles if role)]


def _rule_by_arn(asked: Asked) -> list[Check]:
    arn = asked.text("ResourceARN")
    tags = request_tags(asked.parameters.get("Tags"))
    context = {**_rule_tags(asked, arn), **tags, **_tag_keys(asked, "TagKeys")}
    return [asked.check(arn, {"events:creatorAccount": asked.who.account, **context})]


_EVENTS: Table = {
    **_of(
        "DeleteRule DescribeRule DisableRule EnableRule ListTargetsByRule PutRule PutTargets "
        "RemoveTargets",
        _rule,
    ),
    **_of("ListTagsForResource TagResource UntagResource", _rule_by_arn),
    **_of("ListEventBuses ListRuleNamesByTarget ListRules", everything),
}

# -- Lambda ----------------------------------------------------------------------------------------


def _function_arn(asked: Asked, named: str) -> str:
    """Return the ARN of a function given by name, name and version, part of the ARN, or ARN."""
    if not named.startswith("arn:"):
        name = named.partition(":function:")[2] or named
        named = asked.arn(f"function:{name}")
    qualifier = asked.text("Qualifier")
    return f"{named}:{qualifier}" if qualifier else named


def _function(action: str = "") -> _Checks:
    def checks(asked: Asked) -> list[Check]:
        arn = _function_arn(asked, asked.text("FunctionName") or asked.text("Resource"))
        context: dict[str, str | list[str]] = {
            **_function_tags(asked, arn),
            **request_tags(asked.parameters.get("Tags")),
            **_tag_keys(asked, "TagKeys"),
        }
        if principal := asked.text("Principal"):
            context["lambda:Principal"] = principal
        found = [asked.check(arn, context, action)]
        if asked.action == "CreateFunction" and asked.parameters.get("Tags"):
            found.append(asked.check(arn, context, "TagResource"))
        if role := asked.text("Role"):
            found.append(pass_role(role, "lambda"))
        return found

    return checks


def _function_tags(asked: Asked, arn: str) -> Context:
    known = lambda_backends[asked.who.account][asked.region].list_functions()
    return resource_tags(next((one.tags for one in known if one.function_arn == arn), {}))


_LAMBDA: Table = {
    **_of(
        "AddPermission CreateFunction DeleteFunction GetFunction GetFunctionCodeSigningConfig "
        "GetFunctionConcurrency GetFunctionConfiguration GetPolicy GetRuntimeManagementConfig "
        "ListTags PutFunctionConcurrency RemovePermission TagResource UntagResource "
        "UpdateFunctionCode UpdateFunctionConfiguration",
        _function(),
    ),
    "Invoke": _function("InvokeFunction"),
    **_of("GetAccountSettings ListFunctions", everything),
}

# -- CloudFormation --------------------------------------------------------------------------------


def _stack_arn(asked: Asked) -> str:
    named = asked.text("StackName")
    return named if named.startswith("arn:") else asked.arn(f"stack/{named}/*")


def _stack(asked: Asked) -> list[Check]:
    if not asked.text("StackName"):
        return everything(asked)
    arn = _stack_arn(asked)
    context: dict[str, str | list[str]] = {
        **_stack_tags(asked),
        **request_tags(asked.parameters.get("Tags")),
    }
    for parameter, key in (("TemplateURL", "TemplateUrl"), ("RoleARN", "RoleArn")):
        if value := asked.text(parameter):
            context[f"cloudformation:{key}"] = value
    if kinds := asked.parameters.get("ResourceTypes"):
        context["cloudformation:ResourceTypes"] = list(kinds)
    checks = [asked.check(arn, context)]
    if asked.parameters.get("Tags"):
        made_by: Context = {**context, "cloudformation:CreateAction": asked.action}
        checks.append(asked.check(arn, made_by, "TagResource"))
    if role := asked.text("RoleARN"):
        checks.append(pass_role(role, "cloudformation"))
    return checks


def _stack_tags(asked: Asked) -> Context:
    from localcloud.cfnstacks import stacks_of  # noqa: PLC0415  (it asks us for permissions)

    known = stacks_of(cloudformation_backends[asked.who.account][asked.region]).values()
    named = asked.text("StackName")
    mine = [one for one in known if named in (one.name, one.identity) and not one.deleted]
    return resource_tags(mine[-1].plan.tags) if mine else {}


def _describe_stacks(asked: Asked) -> list[Check]:
    """Return the checks of DescribeStacks: all of them are a list of stacks, too."""
    if asked.text("StackName"):
        return _stack(asked)
    return [asked.check(), asked.check(action="ListStacks")]


_CLOUDFORMATION: Table = {
    **_of(
        "CancelUpdateStack ContinueUpdateRollback CreateStack DeleteStack DescribeStackEvents "
        "DescribeStackResource DescribeStackResources GetStackPolicy GetTemplate "
        "GetTemplateSummary ListStackResources UpdateStack UpdateTerminationProtection",
        _stack,
    ),
    "DescribeStacks": _describe_stacks,
    **_of("ListStacks ListExports ValidateTemplate", everything),
}

# -- CloudWatch Logs -------------------------------------------------------------------------------


def _log_stream(asked: Asked) -> list[Check]:
    """Return the check of a call on a stream, or on its group: the stream has no name then."""
    named = asked.text("logGroupIdentifier").partition(":log-group:")[2].partition(":")[0]
    group = asked.text("logGroupName") or named or asked.text("logGroupIdentifier")
    stream = asked.text("logStreamName")
    context = {**_log_tags(asked, group), **request_tags(asked.parameters.get("tags"))}
    found = [asked.check(asked.arn(f"log-group:{group}:log-stream:{stream}"), context)]
    if asked.action == "CreateLogGroup" and asked.parameters.get("tags"):
        found.append(asked.check(asked.arn(f"log-group:{group}"), context, "TagResource"))
    return found


def _log_tags(asked: Asked, group: str) -> Context:
    tagger = logs_backends[asked.who.account][asked.region].tagger
    arn = asked.arn(f"log-group:{group}")
    return resource_tags(tagger.get_tag_dict_for_resource(arn))


def _log_by_arn(asked: Asked) -> list[Check]:
    arn = asked.text("resourceArn").removesuffix(":*")
    tags = request_tags(asked.parameters.get("tags"))
    return [asked.check(arn, {**tags, **_tag_keys(asked, "tagKeys")})]


_LOGS: Table = {
    **_of(
        "CreateLogGroup CreateLogStream DeleteLogGroup DeleteLogStream DeleteRetentionPolicy "
        "DescribeLogStreams FilterLogEvents GetLogEvents PutLogEvents PutRetentionPolicy",
        _log_stream,
    ),
    **_of("ListTagsForResource TagResource UntagResource", _log_by_arn),
    "DescribeLogGroups": everything,
}

TABLES: Mapping[str, Table] = {
    "events": _EVENTS,
    "lambda": _LAMBDA,
    "cloudformation": _CLOUDFORMATION,
    "logs": _LOGS,
}
