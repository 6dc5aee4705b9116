"""Who may do what: AWS's identity-based policies, which moto does not enforce as AWS does.

One `authority` stands in the process of the local cloud, as one moto does. It is off, and then
permits everything, until `LocalCloud.enforce` switches it on. Then every call that is signed with
a user's or a role's key is asked for all that it needs (`localcloud.iamactions`), and each answer
is remembered. The cloud's own keys, which IAM does not know, are root's: they may do all.

What a service does in someone's name it asks here, too: see `Authority.permits` and `may`.
Resource-based policies, service control policies and a role's trust are not modelled.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from localcloud import authoritywords, iamactions, iamcallers, wire
from localcloud.iamcallers import Caller, Grants
from localcloud.iamchecks import Asked, Check
from localcloud.iampatterns import Context
from localcloud.iampolicy import Decision, Request, decide

__all__ = ["Authority", "Caller", "Context", "authority", "caller"]

_current: ContextVar[Caller | None] = ContextVar("caller", default=None)


def caller() -> Caller | None:
    """Return whose request is being answered; None if it is the cloud's own, who may do all."""
    return _current.get()


@dataclass(frozen=True, slots=True)
class _Refused:
    """What was not allowed, and why."""

    who: Caller
    check: Check
    decision: Decision


class Authority:
    """Decides, and remembers what it decided."""

    def __init__(self) -> None:
        """Begin switched off."""
        self.on = False
        self._own: dict[str, str] = {}
        self._state = threading.Lock()
        self._decided: list[dict[str, Any]] = []

    # -- control -------------------------------------------------------------------------------

    def start(self, own: Mapping[str, str]) -> None:
        """Switch enforcement on.

        Args:
            own: Access key id to secret key: the cloud's own, beside those of the layer.
        """
        self._own |= own
        self.on = True

    def reset(self) -> None:
        """Switch enforcement off, and forget all."""
        self.on = False
        self._own.clear()
        self.forget()

    def forget(self) -> None:
        """Forget what was decided."""
        with self._state:
            self._decided.clear()

    def decided(self) -> list[dict[str, Any]]:
        """Return what was decided, oldest first; see `localcloud.controls.Asked`."""
        with self._state:
            return [dict(one) for one in self._decided]

    # -- for whoever answers -------------------------------------------------------------------

    def secret(self, access_key: str) -> tuple[str, str | None] | None:
        """Return what `localcloud.signatures` asks for."""
        if access_key in self._own:
            return self._own[access_key], None
        key = iamcallers.find(access_key)
        return (key.secret, key.token) if key else None

    @contextmanager
    def answering(self, call: wire.Call) -> Iterator[Caller | None]:
        """While a call is answered, let `caller` tell whose it is; give that."""
        key = iamcallers.find(call.access_key)
        token = _current.set(key.caller if key else None)
        try:
            yield _current.get()
        finally:
            _current.reset(token)

    def refusal(self, call: wire.Call, who: Caller | None) -> wire.Answer | None:
        """Return AWS's refusal of a call, or None if it may be made.

        Raises:
            PolicyError: If a policy cannot be decided.
        """
        if who is None:
            return None
        asked = Asked(call.service, call.action, call.region, call.parameters, who)
        refused = self._first_refused(asked, {})
        if refused is None:
            return None
        return authoritywords.refusal(call, refused.who, refused.check, refused.decision)

    # -- for services that act in a caller's name ----------------------------------------------

    def permits(
        self, who: Caller | None, action: str, resource: str, context: Context | None = None
    ) -> bool:
        """Whether someone may do something to a resource; the decision is recorded.

        Args:
            who: From `caller` or `role`; None may do all.
            action: Such as `iam:CreateRole`.
            resource: An ARN, or `*`.
            context: The condition keys that come with it; those of the caller are added.

        Raises:
            PolicyError: If a policy cannot be decided.
        """
        if who is None or not self.on:
            return True
        check = Check(action, resource, context or {})
        return self._decide(who, iamcallers.grants(who), check, {}, listed=True).allowed

    def role(self, arn: str) -> Caller:
        """Return a service that acts in a role's name, for `permits` and `may`.

        Raises:
            ValueError: If there is no such role.
        """
        return iamcallers.role(arn)

    def may(
        self,
        who: Caller | None,
        service: str,
        action: str,
        parameters: Mapping[str, Any],
        region: str,
        *,
        via: str = "",
    ) -> str:
        """Check all that a call needs, as if `who` had made it; the decisions are recorded.

        Args:
            who: From `caller` or `role`; None may do all.
            service: The signing name, such as `iam`.
            action: Of the API, such as `CreateRole`.
            parameters: As botocore's model names them.
            region: The AWS region.
            via: The service that asks in the caller's name, such as `cloudformation`.

        Returns:
            Empty if it is permitted, or AWS's words: "User: ... is not authorized to ...".

        Raises:
            PolicyError: If a policy cannot be decided.
        """
        if who is None or not self.on:
            return ""
        context: Context = {}
        if via:
            service_name = f"{via}.amazonaws.com"
            context = {
                "aws:CalledVia": [service_name],
                "aws:CalledViaFirst": service_name,
                "aws:CalledViaLast": service_name,
                "aws:ViaAWSService": "true",
            }
        refused = self._first_refused(Asked(service, action, region, parameters, who), context)
        if refused is None:
            return ""
        return authoritywords.not_authorized(refused.who, refused.check, refused.decision)

    # -- deciding ------------------------------------------------------------------------------

    def _first_refused(self, asked: Asked, context: Context) -> _Refused | None:
        listed, granted = iamactions.is_listed(asked), iamcallers.grants(asked.who)
        region: Context = {"aws:RequestedRegion": asked.region, **context}
        for check in iamactions.checks(asked):
            decision = self._decide(asked.who, granted, check, region, listed=listed)
            if not decision.allowed:
                return _Refused(asked.who, check, decision)
        return None

    def _decide(
        self, who: Caller, granted: Grants, check: Check, more: Context, *, listed: bool
    ) -> Decision:
        known = {**_context_of(who), **more, **check.context}
        request = Request(
            check.action, check.resource, {key.lower(): value for key, value in known.items()}
        )
        decision = decide(
            granted.policies, request, boundary=granted.boundary, session=granted.session
        )
        with self._state:
            self._decided.append(
                {
                    "who": who.arn,
                    "action": check.action,
                    "resource": check.resource,
                    "context": dict(check.context),
                    "outcome": decision.outcome.value,
                    "by": decision.by,
                    "listed": listed,
                }
            )
        return decision


def _context_of(who: Caller) -> Context:
    """Return the condition keys that come with every call.

    Source: IAM User Guide, "AWS global condition context keys". The local cloud stands for AWS's
    own endpoints, which speak TLS.
    """
    now = time.time()
    context: dict[str, str | list[str]] = {
        "aws:CurrentTime": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "aws:EpochTime": str(int(now)),
        "aws:PrincipalAccount": who.account,
        "aws:PrincipalArn": who.principal,
        "aws:PrincipalType": "User" if who.kind == "user" else "AssumedRole",
        "aws:SecureTransport": "true",
        "aws:SourceIp": "127.0.0.1",
        "aws:ViaAWSService": "false",
        "aws:userid": who.identity,
    }
    if who.kind == "user":
        context["aws:username"] = who.name
    return context


authority = Authority()
