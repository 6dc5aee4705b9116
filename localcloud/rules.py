"""Fires EventBridge's rules by hand: moto keeps them, but never acts on them.

A target that is a function of one of the stacks is run from the very text that its stack's
template holds, in a process of its own.
"""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.cloud import LocalCloud

__all__ = ["Function", "Invocation", "fire", "functions", "invoke"]

_RUNTIME = Path(__file__).with_name("runtime.py")


@dataclass(frozen=True, slots=True)
class Function:
    """A Lambda function as its stack's template has it; `timeout` in seconds."""

    arn: str
    source: str
    handler: str
    timeout: float


@dataclass(frozen=True, slots=True)
class Invocation:
    """One run of a rule's target.

    Attributes:
        rule: The rule's name; empty if it was not a rule that ran it.
        target: The target's ARN.
        result: What the handler returned.
        error: Why there is no result: the handler's error, or that there is no such function.
        log: What the function wrote.
    """

    rule: str
    target: str
    result: Any
    error: str
    log: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The log's JSON lines."""
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]


def functions(cloud: LocalCloud) -> dict[str, Function]:
    """Return the functions with inlined source of all stacks, by ARN."""
    client = cloud.client("cloudformation", looks=True)
    found = {}
    for page in client.get_paginator("describe_stacks").paginate():
        for stack in page["Stacks"]:
            template = client.get_template(StackName=stack["StackName"])["TemplateBody"]
            if isinstance(template, str):
                template = json.loads(template)
            resources = client.describe_stack_resources(StackName=stack["StackName"])
            for one in resources["StackResources"]:
                if one["ResourceType"] != "AWS::Lambda::Function":
                    continue
                properties = template["Resources"][one["LogicalResourceId"]]["Properties"]
                name = one["PhysicalResourceId"]
                arn = cloud.client("lambda", looks=True).get_function(FunctionName=name)
                function = Function(
                    arn=arn["Configuration"]["FunctionArn"],
                    source=properties["Code"]["ZipFile"],
                    handler=properties["Handler"],
                    timeout=float(properties.get("Timeout", 3)),
                )
                found[function.arn] = function
    return found


def invoke(
    cloud: LocalCloud,
    function: Function,
    event: Any,  # noqa: ANN401  (JSON)
    *,
    clock_offset: float = 0.0,
    rule: str = "",
) -> Invocation:
    """Run a function once, as Lambda does, and wait for it.

    Args:
        cloud: The AWS that it sees.
        function: What to run.
        event: Its event.
        clock_offset: Seconds by which its clock is ahead of ours.
        rule: Whose target it is.
    """
    reading, writing = os.pipe()
    given = {
        "source": function.source,
        "handler": function.handler,
        "event": event,
        "clock_offset": clock_offset,
        "answer": writing,
        "context": {
            "function_name": function.arn.rpartition(":")[2],
            "invoked_function_arn": function.arn,
            "aws_request_id": str(uuid.uuid4()),
            "timeout": function.timeout,
        },
    }
    with os.fdopen(reading, encoding="utf-8") as answers:
        try:
            done = subprocess.run(  # noqa: S603  (our own program)
                [sys.executable, str(_RUNTIME)],
                input=json.dumps(given),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env={"PATH": os.defpath, **cloud.environment()},
                pass_fds=(writing,),
                timeout=function.timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as expired:
            said = (expired.stdout or b"").decode(errors="replace")
            return Invocation(rule, function.arn, None, "the function's time is over", said)
        finally:
            os.close(writing)
        answer = json.loads(answers.read() or '{"error": {"errorType": "Runtime.ExitError"}}')
    error = answer.get("error", {})
    text = ": ".join(error[part] for part in ("errorType", "errorMessage") if part in error)
    return Invocation(rule, function.arn, answer.get("result"), text, done.stdout)


def fire(cloud: LocalCloud, name: str = "", *, clock_offset: float = 0.0) -> list[Invocation]:
    """Fire every enabled scheduled rule once, or the one of this name; return what ran.

    Args:
        cloud: Where the rules are.
        name: The one rule to fire; empty fires all.
        clock_offset: Seconds by which the functions' clocks are ahead of ours.
    """
    known = functions(cloud)
    done = []
    for rule, target in _targets(cloud, name):
        function = known.get(target["Arn"])
        if function is None:
            done.append(Invocation(rule, target["Arn"], None, "there is no such function", ""))
            continue
        event = json.loads(target.get("Input", "{}"))
        done.append(invoke(cloud, function, event, clock_offset=clock_offset, rule=rule))
    return done


def _targets(cloud: LocalCloud, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give the targets of enabled scheduled rules, each with its rule's name."""
    events = cloud.client("events", looks=True)
    rules = [
        rule
        for page in events.get_paginator("list_rules").paginate()
        for rule in page["Rules"]
        if rule["State"] == "ENABLED"
        and rule.get("ScheduleExpression")
        and name in ("", rule["Name"])
    ]
    for rule in rules:
        pages = events.get_paginator("list_targets_by_rule").paginate(Rule=rule["Name"])
        for page in pages:
            for target in page["Targets"]:
                yield rule["Name"], target
