"""The controls of a local cloud: how it is made to fail, to wait, and to be short of capacity."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.enforcing import Enforcing
from localcloud.shared import CONTROL
from localcloud.weather import KINDS

__all__ = ["Controls", "Seen"]

_TIMEOUT = 60
_RUN_TIMEOUT = 3600  # functions have their own


@dataclass(frozen=True, slots=True)
class Seen:
    """A call that reached the cloud.

    Attributes:
        service: The signing name, such as `ec2`.
        action: Such as `RequestSpotFleet`.
        region: From the signature's scope.
        access_key: The id of the key that signed it.
        parameters: As botocore's model names them; times are ISO 8601 texts.
        time: When it came, epoch seconds.
        status: The HTTP status of the answer; 0 if none was given (yet).
        met: The fault that met it: an error's code, `lost` or `killed`, each with ` after` if the
            call had acted; or `latency` or `hidden`; empty if none.
    """

    service: str
    action: str
    region: str
    access_key: str
    parameters: Mapping[str, Any]
    time: float
    status: int
    met: str = ""


class Controls(Enforcing):
    """Controls the local cloud at an endpoint, over HTTP."""

    endpoint: str

    # -- what was asked --------------------------------------------------------------------------

    def requests(self, action: str = "", *, service: str = "") -> list[Seen]:
        """Return the calls so far, of one action or service if named, oldest first."""
        return [
            Seen(**entry)
            for entry in self._control("GET", "requests")
            if action in ("", entry["action"]) and service in ("", entry["service"])
        ]

    def forget(self) -> None:
        """Forget the calls so far, and what IAM decided about them."""
        self._control("DELETE", "requests")

    # -- faults of single calls ------------------------------------------------------------------

    def fail(
        self,
        action: str,
        code: str,
        *,
        status: int = 400,
        message: str = "made to fail by the local cloud",
        when: str = "before",
        times: int = 1,
        skip: int = 0,
        service: str = "",
    ) -> None:
        """Answer calls of an action with an AWS error; see `localcloud.faults.Fault`."""
        fault = {"code": code, "message": message, "status": status}
        self._fault(action, service, when, times, skip, **fault)

    def lose(
        self, action: str, *, when: str = "after", times: int = 1, skip: int = 0, service: str = ""
    ) -> None:
        """Break the connection instead of answering, before or after the call has acted."""
        self._fault(action, service, when, times, skip)

    def kill(
        self,
        pid: int,
        action: str = "*",
        *,
        when: str = "before",
        skip: int = 0,
        times: int = 1,
        service: str = "",
    ) -> None:
        """End a process with SIGKILL when a call comes, whoever makes the call.

        The call has no answer: when the process has ended, the connection breaks. `times` is how
        many calls have none.

        Args:
            pid: A child of this very process.
            action: As for `fail`; so are the others.
            when: `before` the call acts, or `after` it.
            skip: So many calls pass first.
            times: So many calls are met then.
            service: The signing name, such as `ec2`; empty is any.

        Raises:
            ValueError: If it is no child of this process.
        """
        if _parent(pid) != os.getpid():
            raise ValueError(f"process {pid} is not a child of this process")
        self._fault(action, service, when, times, skip, kill=pid)

    def _fault(
        self, action: str, service: str, when: str, times: int, skip: int, **more: object
    ) -> None:
        common = {"action": action, "service": service, "when": when, "times": times, "skip": skip}
        self._control("POST", "faults", {**common, **more})

    def latency(self, milliseconds: float, action: str = "*") -> None:
        """Let each request, or each call of one action, take so much longer."""
        self._control("POST", "latency", {"seconds": milliseconds / 1000, "action": action})

    def weather(
        self,
        seed: str | int,
        chance: float,
        kinds: Sequence[str] = KINDS,
        *,
        milliseconds: float = 50,
        hidden: float = 1.0,
    ) -> None:
        """Let each call meet a random fault with some probability; see `localcloud.weather`.

        Args:
            seed: The same seed gives the same faults to the same calls.
            chance: From 0 to 1.
            kinds: Of `localcloud.weather.KINDS`.
            milliseconds: The longest latency.
            hidden: The longest that something just made is hidden, seconds.
        """
        given = {"seed": seed, "chance": chance, "kinds": list(kinds), "hidden": hidden}
        self._control("POST", "weather", {**given, "latency": milliseconds / 1000})

    def faults(self) -> list[dict[str, Any]]:
        """Return the faults that still wait for their calls."""
        waiting: list[dict[str, Any]] = self._control("GET", "faults")
        return waiting

    def calm(self) -> None:
        """End faults, latency and weather, and hide nothing more; what is hidden shows."""
        self._control("DELETE", "faults")

    # -- what AWS may do at any time -------------------------------------------------------------

    def capacity(
        self, most: int | None = None, *, delay: float = 0.0, step: float | None = None
    ) -> None:
        """Let instances come late, partly or not at all, until it is called again or `reset`.

        Args:
            most: As many instances may live in the Region, those there are counting; None is any.
            delay: Seconds until the first instance of a Spot Fleet comes.
            step: Seconds from each instance of a Spot Fleet to its next; None is all at once.
        """
        self._control("POST", "capacity", {"most": most, "delay": delay, "step": step or 0.0})

    def hide(self, seconds: float) -> None:
        """Let fleets and instances be absent for so long after they are made; 0 hides no more."""
        self._control("POST", "hide", {"seconds": seconds})

    def slow_end(self, seconds: float) -> None:
        """Let instances be `shutting-down` for so long before they are terminated."""
        self._control("POST", "slow-end", {"seconds": seconds})

    def page_size(self, items: int) -> None:
        """Let pages of fleets, instances, tags and rules hold at most so many, until `reset`."""
        self._control("POST", "page-size", {"size": items})

    def forget_ended(self) -> None:
        """Forget terminated instances and cancelled fleets at once; their tokens are kept.

        AWS does so by itself: an hour after an instance's end, two days after a fleet's.
        """
        self._control("POST", "forget-ended")

    # -- stacks; see `localcloud.cfn` --------------------------------------------------------------

    def stack_pace(self, seconds: float) -> None:
        """Let each resource of CloudFormation's stacks take so long; 0 is at once."""
        self._control("POST", "stack-pace", {"seconds": seconds})

    def fail_resource(self, logical_id: str, reason: str) -> None:
        """Let the next making, or change, of a stack's resource fail, until `calm` or `reset`."""
        self._control("POST", "fail-resource", {"logical": logical_id, "reason": reason})

    # -- functions; see `localcloud.rules` ---------------------------------------------------------

    def fire(self, name: str, region: str, clock_offset: float) -> list[dict[str, Any]]:
        """Fire rules with a schedule; see `localcloud.functions.Functions.fire`."""
        given = {"name": name, "region": region, "clock_offset": clock_offset}
        done: list[dict[str, Any]] = self._control("POST", "fire", given, _RUN_TIMEOUT)
        return done

    def run(
        self, function: Mapping[str, Any], event: object, clock_offset: float
    ) -> dict[str, Any]:
        """Run a function that is deployed nowhere: `arn`, `source`, `handler`, `timeout`."""
        given = {"function": dict(function), "event": event, "clock_offset": clock_offset}
        done: dict[str, Any] = self._control("POST", "run", given, _RUN_TIMEOUT)
        return done

    def function_state(self, arn: str, state: str, reason: str = "") -> None:
        """Let a function be in a state of Lambda's, such as `Inactive` or `Failed`."""
        self._control("POST", "function-state", {"arn": arn, "state": state, "reason": reason})

    def reset(self) -> None:
        """Empty the cloud; forget faults, settings, tokens and calls. Endpoint and keys stay."""
        self._control("POST", "reset")

    def _control(
        self, method: str, what: str, given: object = None, timeout: float = _TIMEOUT
    ) -> Any:  # noqa: ANN401  (JSON)
        request = urllib.request.Request(  # noqa: S310  (the endpoint is our own)
            f"{self.endpoint}{CONTROL}{what}",
            method=method,
            data=None if given is None else json.dumps(given).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310  (as above)
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            said = json.loads(error.read()).get("error")
            raise ValueError(f"the local cloud refused {method} {what}: {said}") from None


def _parent(pid: int) -> int:
    """Return the id of a process's parent; 0 if there is no such process (proc(5))."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(status.rpartition(")")[2].split()[1])
