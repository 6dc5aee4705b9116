"""What CloudFormation shows of stacks. `install` puts it into moto once.

Source: CloudFormation API Reference ("DescribeStacks", "DescribeStackEvents", ...): a stack that is
deleted is found by its id alone; events come newest first; lists come in pages.
"""

import time
from typing import Any

from moto.cloudformation.exceptions import ValidationError as MotoValidationError
from moto.cloudformation.responses import (
    CloudFormationResponse,
    get_template_summary_response_from_template,
)
from moto.core.responses import ActionResult

from localcloud.cfnstacks import Event, Resource, Stack, stacks_of, time_of
from localcloud.paging import numbered, page
from localcloud.patching import patch

__all__ = ["clock", "find", "install", "required"]

Response = Any
"""moto's, which has no types."""

_PAGE = 100
_LARGEST = 10**12 - 1


def install() -> None:
    """Put AWS's behaviour into moto's class."""
    patch(
        CloudFormationResponse,
        describe_stacks=_describe_stacks,
        describe_stack_events=_describe_stack_events,
        describe_stack_resource=_describe_stack_resource,
        describe_stack_resources=_describe_stack_resources,
        get_template=_get_template,
        get_template_summary=_get_template_summary,
        list_stack_resources=_list_stack_resources,
        list_stacks=_list_stacks,
    )


def clock() -> float:
    """Return the time, epoch seconds."""
    return time.time()


def find(self: Response, name: str) -> Stack | None:
    """Return the stack of this id, or of this name if it is not deleted; None if there is none."""
    stacks = stacks_of(self.cloudformation_backend)
    named = (one for one in stacks.values() if one.name == name and not one.deleted)
    return stacks.get(name) or next(named, None)


def required(self: Response, words: str = "Stack with id {} does not exist") -> Stack:
    """Return the stack that a call names.

    Raises:
        ValidationError: If there is none.
    """
    name = self._get_param("StackName") or ""
    stack = find(self, name)
    if stack is None:
        raise MotoValidationError(message=words.format(name))
    return stack


def _when(seconds: float) -> Any:  # noqa: ANN401  (what moto's writer takes)
    return time_of(seconds) if seconds else None


def _describe_stacks(self: Response) -> ActionResult:
    if self._get_param("StackName"):
        return ActionResult({"Stacks": [_stack(required(self))]})
    living = [one for one in stacks_of(self.cloudformation_backend).values() if not one.deleted]
    some, token = _page(self, living)
    return ActionResult({"Stacks": [_stack(one) for one in some], "NextToken": token})


def _page(self: Response, items: list[Any]) -> tuple[list[Any], str | None]:
    """Return one page of what only grows at its end."""
    keys = {id(one): numbered(number) for number, one in enumerate(items)}
    return page(items, lambda one: keys[id(one)], _PAGE, self._get_param("NextToken"))


def _stack(one: Stack) -> dict[str, Any]:
    declared = one.plan.template.get("Parameters", {})
    return {
        "StackId": one.identity,
        "StackName": one.name,
        "Description": one.plan.template.get("Description"),
        "Parameters": [
            {
                "ParameterKey": key,
                "ParameterValue": "****" if declared[key].get("NoEcho") else value,
            }
            for key, value in one.plan.parameters.items()
        ],
        "CreationTime": time_of(one.created),
        "LastUpdatedTime": _when(one.updated),
        "DeletionTime": _when(one.deleted),
        "StackStatus": one.status,
        "StackStatusReason": one.reason or None,
        "DisableRollback": one.on_failure == "DO_NOTHING",
        "Capabilities": list(one.plan.capabilities),
        "Outputs": one.outputs or None,
        "RoleARN": one.role or None,
        # moto's writer makes AWS's list of them.
        "Tags": dict(one.plan.tags),
        "EnableTerminationProtection": one.protected,
        "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
    }


def _describe_stack_events(self: Response) -> ActionResult:
    stack = required(self, "Stack [{}] does not exist")
    events = list(enumerate(stack.events))[::-1]
    some, token = page(
        events,
        # The newest is the first: what happens meanwhile is on no later page.
        lambda one: numbered(_LARGEST - one[0]),
        _PAGE,
        self._get_param("NextToken"),
    )
    shown = [_event(stack, event) for _, event in some]
    return ActionResult({"StackEvents": shown, "NextToken": token})


def _event(stack: Stack, one: Event) -> dict[str, Any]:
    return {
        "StackId": stack.identity,
        "EventId": one.identity,
        "StackName": stack.name,
        "LogicalResourceId": one.logical,
        "PhysicalResourceId": one.physical,
        "ResourceType": one.kind,
        "Timestamp": time_of(one.time),
        "ResourceStatus": one.status,
        "ResourceStatusReason": one.reason or None,
        "ClientRequestToken": one.token or None,
    }


def _shown(stack: Stack) -> list[Resource]:
    return [one for one in stack.resources.values() if one.status]


def _describe_stack_resources(self: Response) -> ActionResult:
    physical, logical = self._get_param("PhysicalResourceId"), self._get_param("LogicalResourceId")
    if physical:
        stacks = stacks_of(self.cloudformation_backend).values()
        stack = next(
            (one for one in stacks if physical in [it.physical for it in _shown(one)]), None
        )
        if stack is None:
            raise MotoValidationError(message=f"Stack for {physical} does not exist")
    else:
        stack = required(self)
    found = [one for one in _shown(stack) if logical in (None, one.logical)]
    return ActionResult({"StackResources": [_resource(stack, one, "Timestamp") for one in found]})


def _describe_stack_resource(self: Response) -> ActionResult:
    stack, logical = (
        required(self, "Stack '{}' does not exist"),
        self._get_param("LogicalResourceId"),
    )
    found = next((one for one in _shown(stack) if one.logical == logical), None)
    if found is None:
        raise MotoValidationError(
            message=f"Resource {logical} does not exist for stack {stack.name}"
        )
    return ActionResult({"StackResourceDetail": _resource(stack, found, "LastUpdatedTimestamp")})


def _list_stack_resources(self: Response) -> ActionResult:
    stack = required(self)
    some, token = _page(self, _shown(stack))
    summaries = [_resource(None, one, "LastUpdatedTimestamp") for one in some]
    return ActionResult({"StackResourceSummaries": summaries, "NextToken": token})


def _resource(stack: Stack | None, one: Resource, time_name: str) -> dict[str, Any]:
    return {
        **({"StackId": stack.identity, "StackName": stack.name} if stack else {}),
        "LogicalResourceId": one.logical,
        "PhysicalResourceId": one.physical or None,
        "ResourceType": one.kind,
        time_name: time_of(one.time),
        "ResourceStatus": one.status,
        "ResourceStatusReason": one.reason or None,
    }


def _list_stacks(self: Response) -> ActionResult:
    wanted = self._get_param("StackStatusFilter", [])
    stacks = stacks_of(self.cloudformation_backend).values()
    some, token = _page(self, [one for one in stacks if not wanted or one.status in wanted])
    summaries = [
        {
            "StackId": one.identity,
            "StackName": one.name,
            "TemplateDescription": one.plan.template.get("Description"),
            "CreationTime": time_of(one.created),
            "LastUpdatedTime": _when(one.updated),
            "DeletionTime": _when(one.deleted),
            "StackStatus": one.status,
            "StackStatusReason": one.reason or None,
        }
        for one in some
    ]
    return ActionResult({"StackSummaries": summaries, "NextToken": token})


def _get_template(self: Response) -> ActionResult:
    return ActionResult({"TemplateBody": required(self).plan.text, "StagesAvailable": ["Original"]})


def _get_template_summary(self: Response) -> ActionResult:
    if self._get_param("StackName"):
        text = required(self).plan.text
    else:
        url = self._get_param("TemplateURL")
        text = self._get_stack_from_s3_url(url) if url else self._get_param("TemplateBody")
    return ActionResult(get_template_summary_response_from_template(text))
