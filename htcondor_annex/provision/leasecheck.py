"""Looks before any capacity is asked for: whether what is to end the annex is there and may run.

Each check is a step of its own (see `table`), so that none waits for another.
"""

from collections.abc import Iterator
from typing import Any

from htcondor_annex.annex import Annex
from htcondor_annex.aws import codes
from htcondor_annex.aws.endpoints import parse_lambda_arn
from htcondor_annex.aws.faults import refused
from htcondor_annex.errors import AwsError
from htcondor_annex.inventory.look import Caller
from htcondor_annex.lease import permission, rule, sweep

__all__ = ["check_function", "check_permission", "check_sweep"]

_USABLE = frozenset({"Active", "Inactive"})  # Inactive: idle for weeks, wakes at the next call
_SETUP = (
    "`condor_annex -setup` makes or mends the lease function's stack; then give the "
    "LeaseFunctionARN from its outputs."
)
_MOST_PAGES = 10
_MOST_SUSPECTS = 20


def check_function(annex: Annex, aws: Caller) -> None:
    """Look whether the lease function is there, and not disabled.

    Raises:
        AwsError: If it is not, or AWS would not tell.
    """
    arn = annex.lease.function_arn
    try:
        # The code's address in the answer is good for ten minutes, and nobody's business.
        found = aws.call("lambda", "GetFunction", FunctionName=arn)
    except AwsError as error:
        if error.aws_code in codes.NOT_FOUND:
            raise refused(
                f"there is no lease function {arn}", error.aws_code, advice=_SETUP
            ) from error
        raise
    configuration = found.get("Configuration") or {}
    state = configuration.get("State", "Active")
    if state not in _USABLE:
        reason = configuration.get("StateReason", "no reason given")
        raise refused(
            f"the lease function {arn} is {state}: {reason}",
            f"FunctionState{state}",
            retryable=state == "Pending",
            advice="" if state == "Pending" else _SETUP,
        )
    reserved = (found.get("Concurrency") or {}).get("ReservedConcurrentExecutions")
    if reserved == 0:
        raise refused(
            f"the lease function {arn} is disabled: its reserved concurrency is 0",
            "FunctionDisabled",
            advice="Let it run again: `aws lambda delete-function-concurrency --function-name "
            f"{arn}`.",
        )


def _policy(annex: Annex, aws: Caller) -> str:
    """Return the function's policy; raises AwsError if it has none."""
    arn = annex.lease.function_arn
    try:
        return str(aws.call("lambda", "GetPolicy", FunctionName=arn).get("Policy", ""))
    except AwsError as error:
        if error.aws_code not in codes.NOT_FOUND:
            raise
        check_function(annex, aws)  # one answer for no policy and for no function
        raise _not_allowed(arn, "it has no policy") from error


def _not_allowed(arn: str, why: str) -> AwsError:
    return refused(
        f"EventBridge may not run the lease function {arn}: {why}", "NotAllowed", advice=_SETUP
    )


def check_permission(annex: Annex, aws: Caller) -> None:
    """Look whether EventBridge may run the lease function for the annex's rule.

    Raises:
        AwsError: If it may not, or AWS would not tell.
    """
    arn = annex.lease.function_arn
    parsed = parse_lambda_arn(arn)
    rule_arn = rule.rule_arn(parsed, rule.rule_name(annex.identity.id))
    run = permission.Run(arn, rule_arn, parsed.account)
    if why := permission.refusal(_policy(annex, aws), run):
        raise _not_allowed(arn, why)


def _suspects(arn: str, aws: Caller) -> Iterator[str]:
    """Give the names of the rules that may be the sweep's: they run the function, for no annex."""
    token: dict[str, Any] = {}
    found = 0
    for _ in range(_MOST_PAGES):
        answer = aws.call("events", "ListRuleNamesByTarget", TargetArn=arn, **token)
        for name in answer.get("RuleNames", []):
            if rule.annex_of(name) is None and found < _MOST_SUSPECTS:
                found += 1
                yield str(name)
        if not answer.get("NextToken"):
            return
        token = {"NextToken": answer["NextToken"]}


def _sweep_problem(name: str, annex: Annex, aws: Caller) -> str:
    """Return why a rule is not the sweep, or may not run; empty if it is and may."""
    arn = annex.lease.function_arn
    try:
        described = aws.call("events", "DescribeRule", Name=name)
        # A rule has five targets at most (EventBridge quotas): one page.
        targets = aws.call("events", "ListTargetsByRule", Rule=name).get("Targets", [])
    except AwsError as error:
        if error.aws_code not in codes.NOT_FOUND:
            raise
        return "has gone"
    if why := sweep.problem(described, targets, arn):
        return why
    run = permission.Run(arn, str(described.get("Arn", "")), parse_lambda_arn(arn).account)
    if why := permission.refusal(_policy(annex, aws), run):
        return f"may not run it: {why}"
    return ""


def check_sweep(annex: Annex, aws: Caller) -> None:
    """Look whether the stack's sweep is there, enabled, frequent enough, and may run.

    Raises:
        AwsError: If it is not, or AWS would not tell.
    """
    problems = []
    for name in _suspects(annex.lease.function_arn, aws):
        why = _sweep_problem(name, annex, aws)
        if not why:
            return
        problems.append(f"the rule {name} {why}")
    raise refused(
        f"the lease function {annex.lease.function_arn} has no sweep that works: "
        + ("; ".join(problems) or "no rule runs it by itself"),
        "NoSweep",
        advice=_SETUP + " Or have ANNEX_LEASE_METHOD set to RULE.",
    )
