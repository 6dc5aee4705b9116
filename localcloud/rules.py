"""Fires EventBridge's schedules by hand: in the local cloud no time runs by itself.

A target that is a function runs as `localcloud.functions` has it: its code as deployed, under AWS's
own runtime client, if its policy permits the rule to run it.
"""

import json
from dataclasses import dataclass
from typing import Any

from localcloud.cloud import LocalCloud

__all__ = ["Function", "Invocation", "fire", "invoke"]


@dataclass(frozen=True, slots=True)
class Function:
    """A function that is deployed nowhere; `timeout` in seconds."""

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
        error: Why there is no result: the handler's error, or that it could not be run.
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
    fields = {name: getattr(function, name) for name in ("arn", "source", "handler", "timeout")}
    done = cloud.run(fields, event, clock_offset)
    return Invocation(rule, function.arn, **done)


def fire(
    cloud: LocalCloud, name: str = "", *, clock_offset: float = 0.0, region: str = ""
) -> list[Invocation]:
    """Fire every enabled scheduled rule once, or the one of this name; return what ran.

    Args:
        cloud: Where the rules are.
        name: The one rule to fire; empty fires all.
        clock_offset: Seconds by which the functions' clocks are ahead of ours.
        region: The one Region whose rules to fire; empty is all.
    """
    return [Invocation(**done) for done in cloud.fire(name, region, clock_offset)]
