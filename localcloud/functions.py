"""Runs the Lambda functions that moto keeps: for Invoke, and for EventBridge's schedules.

A function's real code runs in `localcloud.runtime`, with its own time limit and environment, and
with its role's credentials where policies are enforced. After the Lambda API Reference ("Invoke")
and the Lambda Developer Guide ("Understanding retry behavior", "Using resource-based policies"):

* A function whose reserved concurrency is 0 is throttled; one that is not active is refused.
* A rule runs a function only if the function's policy permits events.amazonaws.com to do so for
  that rule and account.
* Processes are used again for the same function, until the cloud is emptied.

Not modelled: retries of asynchronous events, destinations, versions' and aliases' own settings,
InputPath and InputTransformer. Schedules do not run by themselves: see `localcloud.rules`.
"""

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from moto.awslambda.exceptions import UnknownFunctionException
from moto.awslambda.models import lambda_backends
from moto.events.models import events_backends

from localcloud import wire
from localcloud.closing import Closing
from localcloud.iampolicy import Request, decide, parse
from localcloud.runtime import Credentials, Function, Result, Runtime

__all__ = ["Functions", "Refusal", "told"]

_IDLE = 4
_MAX_BODY = {"RequestResponse": 6 * 1024 * 1024, "Event": 1024 * 1024}
_NOT_PERMITTED = "AccessDeniedException: the function's policy does not let this rule run it"
_EVENTS = "events.amazonaws.com"
# moto keeps a statement's principal, and what else CloudFormation gave, in the same place.
_OF_STATEMENT = ("Effect", "Action", "Resource", "Condition")
_RATE = "ReservedFunctionConcurrentInvocationLimitExceeded"

Alone = Callable[[Callable[[], Any]], Any]
"""Does something while no call is in moto, and returns what it gives."""


class Refusal(Exception):  # noqa: N818  (an answer of AWS's, not an error of ours)
    """AWS does not run the function."""

    def __init__(self, code: str, message: str, status: int, **more: str) -> None:
        """Take AWS's code and words, the HTTP status, and further fields of the answer."""
        super().__init__(f"{code}: {message}")
        self.code, self.status = code, status
        self.fields = {"__type": code, "message": message, **more}

    def answer(self) -> wire.Answer:
        """Return it as AWS sends it."""
        headers = (
            ("Content-Type", "application/json"),
            ("x-amzn-ErrorType", self.code),
            ("x-amzn-RequestId", str(uuid.uuid4())),
        )
        return wire.Answer(self.status, headers, json.dumps(self.fields).encode())


@dataclass(frozen=True, slots=True)
class _Target:
    """A target of a rule that is due."""

    rule: str
    rule_arn: str
    account: str
    arn: str
    event: str


class Functions(Closing):
    """Runs functions; there is one in the local cloud's process."""

    def __init__(self, alone: Alone, credentials: Callable[[str], Credentials]) -> None:
        """Run nothing yet.

        Args:
            alone: For looking into moto.
            credentials: Gives those of a role, by its ARN.
        """
        self.endpoint = ""
        self._alone = alone
        self._credentials = credentials
        self._state = threading.Lock()
        self._idle: dict[Function, Runtime] = {}

    # -- Lambda's API ----------------------------------------------------------------------------

    def answer(self, call: wire.Call, body: bytes) -> wire.Answer:
        """Answer Lambda's Invoke.

        Args:
            call: Its parameters.
            body: The event.
        """
        try:
            return self._answer(call, body or b"{}")
        except Refusal as refusal:
            return refusal.answer()

    def _answer(self, call: wire.Call, body: bytes) -> wire.Answer:
        given = call.parameters
        kind = given.get("InvocationType", "RequestResponse")
        function = self._ready(str(given["FunctionName"]), call.region, given.get("Qualifier"))
        if kind == "DryRun":
            return wire.Answer(204, (), b"")
        _check_body(body, kind)
        version = ("X-Amz-Executed-Version", given.get("Qualifier", "$LATEST"))
        if kind == "Event":
            threading.Thread(target=self.run, args=(function, body), daemon=True).start()
            return wire.Answer(202, (version,), b"")
        result = self.run(function, body)
        headers = [("Content-Type", "application/json"), version]
        if result.failure:
            headers.append(("X-Amz-Function-Error", result.failure))
        if given.get("LogType") == "Tail":
            headers.append(("X-Amz-Log-Result", result.tail))
        return wire.Answer(200, tuple(headers), result.payload)

    def _ready(self, name: str, region: str, qualifier: str | None = None) -> Function:
        """Return a function that may be run.

        Raises:
            Refusal: If there is none, or it may not be run now.
        """
        function: Function | Refusal = self._alone(lambda: _look_up(name, region, qualifier))
        if isinstance(function, Refusal):
            raise function
        return function

    # -- EventBridge -----------------------------------------------------------------------------

    def fire(self, name: str, region: str, clock_offset: float) -> list[dict[str, Any]]:
        """Run the targets of all enabled rules with a schedule once.

        Args:
            name: The one rule to fire; empty fires all.
            region: The one Region whose rules to fire; empty is all.
            clock_offset: Seconds by which the functions' clocks are ahead.

        Returns:
            The fields of `localcloud.rules.Invocation`, one for each target.
        """
        due: list[_Target] = self._alone(lambda: list(_due(name, region)))
        return [self._fire(target, clock_offset) for target in due]

    def _fire(self, target: _Target, clock_offset: float) -> dict[str, Any]:
        given = {"rule": target.rule, "target": target.arn, "result": None, "log": ""}
        region = target.arn.split(":")[3]
        try:
            function = self._ready(target.arn, region)
        except Refusal as refusal:
            return {**given, "error": str(refusal)}
        if not self._alone(lambda: _permits(target, region)):
            return {**given, "error": _NOT_PERMITTED}
        result = self.run(function, target.event.encode(), clock_offset=clock_offset)
        return {**given, **told(result)}

    # -- running ---------------------------------------------------------------------------------

    def run(self, function: Function, event: bytes, *, clock_offset: float = 0.0) -> Result:
        """Run a function once, and wait for it."""
        with self._state:
            runtime = self._idle.pop(function, None)
        if runtime is None:
            runtime = Runtime(function, self._credentials(function.role), self._around())
        result = runtime.invoke(event, clock_offset=clock_offset)
        self._keep(function, runtime)
        return result

    def _keep(self, function: Function, runtime: Runtime) -> None:
        """Keep a process for the next event, unless it has ended or there are enough."""
        over = []
        with self._state:
            if not runtime.warm or function in self._idle:
                over.append(runtime)
            else:
                self._idle[function] = runtime
            while len(self._idle) > _IDLE:
                over.append(self._idle.pop(next(iter(self._idle))))
        for one in over:
            one.close()

    def _around(self) -> dict[str, str]:
        """Return what leads a function to this cloud, and to nothing else."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def close(self) -> None:
        """End the processes that wait for events."""
        with self._state:
            idle, self._idle = self._idle, {}
        for runtime in idle.values():
            runtime.close()


def told(result: Result) -> dict[str, Any]:
    """Return a result as the fields of `localcloud.rules.Invocation`."""
    value = None if result.failure else result.value
    return {"result": value, "error": result.error, "log": result.log}


def _check_body(body: bytes, kind: str) -> None:
    if len(body) > _MAX_BODY[kind]:
        message = f"Request must be smaller than {_MAX_BODY[kind]} bytes for the InvokeFunction"
        raise Refusal("RequestTooLargeException", message, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    try:
        json.loads(body)
    except ValueError as error:
        message = f"Could not parse request body into json: {error}"
        raise Refusal("InvalidRequestContentException", message, 400, Type="User") from None


# -- looking into moto: only within `alone` --------------------------------------------------------


def _of_moto(name: str, region: str, qualifier: str | None) -> Any:  # noqa: ANN401  (moto)
    """Return moto's function, by its name or ARN.

    Raises:
        UnknownFunctionException: If there is none.
    """
    account = name.split(":")[4] if name.startswith("arn:") else "123456789012"
    return lambda_backends[account][region].get_function(name, qualifier)


def _look_up(name: str, region: str, qualifier: str | None) -> Function | Refusal:
    try:
        kept = _of_moto(name, region, qualifier)
    except UnknownFunctionException as error:
        return Refusal("ResourceNotFoundException", str(error.message), 404, Type="User")
    if kept.reserved_concurrency is not None and int(kept.reserved_concurrency) == 0:
        return Refusal("TooManyRequestsException", "Rate Exceeded.", 429, Reason=_RATE, Type="User")
    if kept.state != "Active":
        message = (
            "The operation cannot be performed at this time. "
            f"The function is currently in the following state: {kept.state}"
        )
        return Refusal("ResourceConflictException", message, 409, Type="User")
    return Function(
        arn=kept.function_arn,
        code=kept.code_bytes,
        handler=kept.handler,
        timeout=float(kept.timeout),
        memory=int(kept.memory_size),
        variables=dict(kept.environment_vars),
        role=kept.role,
        runtime=kept.run_time,
    )


def _permits(target: _Target, region: str) -> bool:
    """Whether the function's policy lets the target's rule run it."""
    kept = _of_moto(target.arn, region, None)
    own = [
        {name: one[name] for name in _OF_STATEMENT if name in one}
        for one in kept.policy.statements
        if one.get("Principal") in ("*", {"Service": "*"}, {"Service": _EVENTS})
    ]
    context = {"aws:sourcearn": target.rule_arn, "aws:sourceaccount": target.account}
    asked = Request("lambda:InvokeFunction", kept.function_arn, context)
    return bool(own) and decide([parse({"Statement": own})], asked).allowed


def _due(name: str, region: str) -> Iterator[_Target]:
    """Give the targets of enabled rules with a schedule."""
    for account, regions in list(events_backends.items()):
        for where, backend in list(regions.items()):
            if region not in ("", where):
                continue
            for rule in list(backend.event_buses["default"].rules.values()):
                if rule.state != "ENABLED" or not rule.scheduled_expression:
                    continue
                if name not in ("", rule.name):
                    continue
                for target in list(rule.targets):
                    event = target.get("Input") or json.dumps(_scheduled(account, where, rule.arn))
                    yield _Target(rule.name, rule.arn, account, target["Arn"], event)


def _scheduled(account: str, region: str, rule_arn: str) -> dict[str, Any]:
    """Return what a target without Input gets (EventBridge User Guide, "Scheduled events")."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": account,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": region,
        "resources": [rule_arn],
        "detail": {},
    }
