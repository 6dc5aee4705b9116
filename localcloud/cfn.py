"""CloudFormation's API, as AWS's where moto falls short. `install` puts it into moto once.

moto makes a stack at once and within the call, asks for no capability, takes nothing back when a
resource fails, and keeps no reasons. The actions are here; what they do to stacks is in
`localcloud.cfnwork`, what becomes of each resource in `localcloud.cfnfunctions` and its neighbours.

Source: CloudFormation API Reference; the words of errors are AWS's. Change sets, stack sets, stack
policies, exports and nested stacks are not there.
"""

import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from moto.cloudformation.exceptions import AlreadyExistsException, CloudFormationError
from moto.cloudformation.exceptions import ValidationError as MotoValidationError
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.responses import ActionResult, EmptyResult

from localcloud import cfnviews, cfnwork
from localcloud.authority import authority, caller
from localcloud.cfncalls import Failure, Hand
from localcloud.cfnplans import LONGEST_BODY, plan_of
from localcloud.cfnstacks import Plan, Stack, stacks_of
from localcloud.cfntemplate import TemplateError, capability
from localcloud.patching import patch

__all__ = ["advancing", "install"]

Response = Any
"""moto's, which has no types."""

_NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]{0,127}")
_NOT_UPDATED = ("ROLLBACK_COMPLETE", "CREATE_FAILED", "DELETE_FAILED", "ROLLBACK_FAILED")
_NOT_DELETED = (
    "UPDATE_IN_PROGRESS",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
    "UPDATE_ROLLBACK_IN_PROGRESS",
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
)
_ABSENT = (
    "create_change_set",
    "create_stack_instances",
    "create_stack_set",
    "get_stack_policy",
    "list_exports",
    "set_stack_policy",
)
_VPC = "AWS::EC2::VPC::Id"


def install() -> None:
    """Put AWS's behaviour into moto's class."""
    cfnviews.install()
    patch(
        CloudFormationResponse,
        create_stack=_create_stack,
        update_stack=_update_stack,
        delete_stack=_delete_stack,
        **dict.fromkeys(_ABSENT, _absent),
    )
    # moto has no such action, so that there is nothing to replace.
    vars_of: Any = CloudFormationResponse
    vars_of.update_termination_protection = _update_termination_protection


def advancing(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """Return moto's application, with the stacks taken on before each call.

    So all services show what time has brought to stacks. Calls come one at a time (see
    `faults.Layer`), so that nothing is locked here.
    """

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        cfnwork.advance()
        return app(environ, start_response)

    return answer


def _absent(self: Response) -> ActionResult:
    raise NotImplementedError(f"CloudFormation's {self._get_action()}")


def _refusal(message: str) -> MotoValidationError:
    return MotoValidationError(message=message)


# -- what is asked ---------------------------------------------------------------------------------


def _given(self: Response, stack: Stack | None) -> dict[str, str]:
    """Return the parameters of a call, those that are to stay as they were included."""
    found = {}
    for one in self._get_param("Parameters", []):
        key = one["ParameterKey"]
        if not one.get("UsePreviousValue"):
            found[key] = str(one.get("ParameterValue", ""))
        elif stack is not None and key in stack.plan.parameters:
            found[key] = stack.plan.parameters[key]
        else:
            raise _refusal(
                f"Invalid input for parameter key {key}. Cannot specify usePreviousValue "
                "as true for a parameter key not in the previous template"
            )
    return found


def _template(self: Response, stack: Stack | None) -> str:
    if stack is not None and self._get_bool_param("UsePreviousTemplate"):
        return stack.plan.text
    url, body = self._get_param("TemplateURL"), self._get_param("TemplateBody")
    if url:
        return str(self._get_stack_from_s3_url(url))
    if not body:
        raise _refusal("Either Template URL or Template Body must be specified.")
    if len(body.encode()) > LONGEST_BODY:
        raise _refusal(
            "1 validation error detected: Value at 'templateBody' failed to satisfy constraint: "
            f"Member must have length less than or equal to {LONGEST_BODY}"
        )
    return str(body)


def _plan(self: Response, name: str, arn: str, stack: Stack | None, hand: Hand) -> Plan:
    """Return what is asked of a stack.

    Raises:
        CloudFormationError: If it is refused.
    """
    tags = {one["Key"]: one["Value"] for one in self._get_param("Tags", [])}
    if stack is not None and not tags:
        tags = dict(stack.plan.tags)
    capabilities = tuple(self._get_param("Capabilities", []))
    place = (name, arn, self.region, self.current_account)
    try:
        plan = plan_of(_template(self, stack), _given(self, stack), tags, capabilities, place)
    except TemplateError as error:
        raise _refusal(str(error)) from error
    _check_vpcs(plan, hand)
    needed = capability(plan.template)
    if needed and not {needed, "CAPABILITY_NAMED_IAM"} & set(capabilities):
        raise CloudFormationError(
            "InsufficientCapabilitiesException", f"Requires capabilities : [{needed}]"
        )
    return plan


def _check_vpcs(plan: Plan, hand: Hand) -> None:
    """Check that the VPCs that parameters name are there."""
    for name, one in plan.template.get("Parameters", {}).items():
        if one["Type"] != _VPC:
            continue
        value = plan.parameters[name]
        try:
            hand.ask("ec2", "DescribeVpcs", VpcIds=[value])
        except Failure as failure:
            if failure.code == "AccessDenied":
                raise _refusal(f"Parameter validation failed: {failure}") from failure
            raise _refusal(
                f"Parameter validation failed: parameter value {value} for parameter name {name} "
                "does not exist"
            ) from failure


def _hand(self: Response, role: str) -> Hand:
    """Return what acts in the name of whoever asks, or of the service role that was given."""
    try:
        who = authority.role(role) if role and caller() else caller()
    except ValueError as error:
        raise _refusal(f"Role {role} is invalid or cannot be assumed") from error
    return Hand(self.region, who)


def _asked(self: Response) -> tuple[str, Mapping[str, str]]:
    """Return what a ClientRequestToken stands for."""
    parts = ("StackName", "TemplateBody", "TemplateURL", "Parameters", "Tags", "Capabilities")
    return self._get_action(), {part: repr(self._get_param(part)) for part in parts}


def _repeated(self: Response, stack: Stack) -> bool:
    """Whether this call was made before, with the same token.

    Raises:
        CloudFormationError: If the token was used for another one.
    """
    token = self._get_param("ClientRequestToken") or ""
    known = stack.tokens.get(token)
    if token and known is not None and known != _asked(self):
        raise CloudFormationError(
            "TokenAlreadyExistsException",
            f"The client request token {token} has already been used for this stack. Retry the "
            "request with a different client request token",
        )
    return bool(token) and known is not None


def _take(self: Response, stack: Stack, hand: Hand) -> None:
    """Note whose call is being done with a stack, and its token."""
    stack.who = hand.who
    stack.token = self._get_param("ClientRequestToken") or ""
    if stack.token:
        stack.tokens[stack.token] = _asked(self)


# -- actions ---------------------------------------------------------------------------------------


def _create_stack(self: Response) -> ActionResult:
    name = self._get_param("StackName")
    if not _NAME.fullmatch(name):
        raise _refusal(
            f"1 validation error detected: Value '{name}' at 'stackName' failed to satisfy "
            "constraint: Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*"
        )
    there = cfnviews.find(self, name)
    if there is not None:
        if _repeated(self, there):
            return ActionResult({"StackId": there.identity})
        raise AlreadyExistsException(f"Stack [{name}] already exists")
    role = self._get_param("RoleARN") or ""
    hand = _hand(self, role)
    arn = (
        f"arn:{self.partition}:cloudformation:{self.region}:{self.current_account}:stack/{name}/"
        f"{uuid.uuid4()}"
    )
    plan = _plan(self, name, arn, None, hand)
    on_failure = self._get_param("OnFailure")
    if self._get_bool_param("DisableRollback"):
        if on_failure:
            raise _refusal("You can specify either DisableRollback or OnFailure, but not both.")
        on_failure = "DO_NOTHING"
    stack = Stack(arn, name, self.region, plan, cfnviews.clock(), role=role)
    stack.protected = bool(self._get_bool_param("EnableTerminationProtection"))
    stack.on_failure = on_failure or "ROLLBACK"
    _take(self, stack, hand)
    stacks_of(self.cloudformation_backend)[arn] = stack
    cfnwork.start(stack, cfnwork.create(stack))
    return ActionResult({"StackId": arn})


def _update_stack(self: Response) -> ActionResult:
    name = self._get_param("StackName")
    stack = cfnviews.find(self, name)
    if stack is None:
        raise _refusal(f"Stack [{name}] does not exist")
    if _repeated(self, stack):
        return ActionResult({"StackId": stack.identity})
    if stack.busy or stack.status in _NOT_UPDATED or stack.deleted:
        raise _refusal(f"Stack:{stack.identity} is in {stack.status} state and can not be updated.")
    role = self._get_param("RoleARN") or stack.role
    hand = _hand(self, role)
    plan = _plan(self, stack.name, stack.identity, stack, hand)
    was = stack.plan
    if (plan.template, plan.parameters, plan.tags) == (was.template, was.parameters, was.tags):
        raise _refusal("No updates are to be performed.")
    stack.role, stack.updated = role, cfnviews.clock()
    _take(self, stack, hand)
    cfnwork.start(stack, cfnwork.update(stack, plan))
    return ActionResult({"StackId": stack.identity})


def _delete_stack(self: Response) -> ActionResult:
    stack = cfnviews.find(self, self._get_param("StackName"))
    if stack is None or stack.deleted or _repeated(self, stack):
        return EmptyResult()
    if stack.status == "DELETE_IN_PROGRESS":
        return EmptyResult()
    if stack.protected:
        raise _refusal(
            f"Stack [{stack.identity}] cannot be deleted while TerminationProtection is enabled"
        )
    if stack.status in _NOT_DELETED:
        raise _refusal(f"Stack [{stack.identity}] cannot be deleted while in status {stack.status}")
    retain = frozenset(self._get_param("RetainResources", []))
    if retain and stack.status != "DELETE_FAILED":
        raise _refusal(
            f"Invalid operation on stack [{stack.identity}]. When you delete a stack, specify "
            "which resources to retain only when the stack is in the DELETE_FAILED state."
        )
    hand = _hand(self, self._get_param("RoleARN") or stack.role)
    _take(self, stack, hand)
    cfnwork.start(stack, cfnwork.delete(stack, retain=retain))
    return EmptyResult()


def _update_termination_protection(self: Response) -> ActionResult:
    stack = cfnviews.required(self)
    stack.protected = bool(self._get_bool_param("EnableTerminationProtection"))
    return ActionResult({"StackId": stack.identity})
