"""What IAM policies allow and deny: documents and a request in, a decision out. Pure.

After the IAM User Guide, "Policy evaluation logic" and "IAM JSON policy elements reference":

* All is denied that nothing allows (implicit deny); one Deny outweighs every Allow.
* A permissions boundary and a session's policy allow nothing by themselves, but what they do not
  allow is denied.
* A statement applies if its Action, its Resource and its Condition all do.
* Actions are not case-sensitive, resources are; `*` in a resource goes beyond colons.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Any

from localcloud.iamconditions import Condition, PolicyError, check, holds
from localcloud.iampatterns import Context, fill, like

__all__ = ["Decision", "Outcome", "Policy", "PolicyError", "Request", "decide", "parse"]

_VARIABLES_SINCE = "2012-10-17"
_VERSIONS = ("2008-10-17", _VARIABLES_SINCE)
_SID = re.compile("[A-Za-z0-9]*")
_OF_DOCUMENT = {"Version", "Id", "Statement"}
_OF_STATEMENT = {
    "Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"
}  # fmt: skip


class Outcome(Enum):
    """What is decided; the value is how it is shown."""

    ALLOWED = "allowed"
    DENIED = "explicit deny"
    NOT_ALLOWED = "implicit deny"


@dataclass(frozen=True, slots=True)
class Request:
    """What someone asks for: an action such as `iam:GetRole`, an ARN or `*`, condition keys."""

    action: str
    resource: str
    context: Context = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """What is decided.

    Attributes:
        outcome: As named there.
        by: The kind of policy: `identity-based policy`, `permissions boundary`, `session policy`.
    """

    outcome: Outcome
    by: str = "identity-based policy"

    @property
    def allowed(self) -> bool:
        """Whether it may be done."""
        return self.outcome is Outcome.ALLOWED


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement of a policy.

    Attributes:
        allows: Its effect; otherwise it denies.
        actions: Names, in lower case.
        wild_actions: Patterns, in lower case.
        but_actions: Both are a NotAction's.
        resources: Patterns.
        but_resources: They are a NotResource's.
        condition: As checked.
        variables: Whether `${...}` is a variable.
    """

    allows: bool
    actions: frozenset[str]
    wild_actions: tuple[str, ...]
    but_actions: bool
    resources: tuple[str, ...]
    but_resources: bool
    condition: Condition
    variables: bool

    def applies(self, request: Request) -> bool:
        """Whether it is about that request."""
        return (
            self._is_action(request)
            and self._is_resource(request)
            and holds(self.condition, request.context, variables=self.variables)
        )

    def _is_action(self, request: Request) -> bool:
        action = request.action.lower()
        named = action in self.actions or any(
            like(fill(one, {}, variables=False), action) for one in self.wild_actions
        )
        return named is not self.but_actions

    def _is_resource(self, request: Request) -> bool:
        patterns = [fill(one, request.context, variables=self.variables) for one in self.resources]
        if self.but_resources and None in patterns:
            raise PolicyError("a NotResource has a variable that the request has no value for")
        return any(like(one, request.resource) for one in patterns) is not self.but_resources


Policy = tuple[Statement, ...]
"""A policy's statements."""


def parse(document: str | Mapping[str, Any]) -> Policy:
    """Read a policy document that is attached to a user or a role.

    Args:
        document: JSON's text, or what it says.

    Raises:
        PolicyError: If IAM would not take it, or if it asks for what is not modelled here.
    """
    return _parse(document if isinstance(document, str) else json.dumps(document))


@lru_cache(maxsize=256)
def _parse(text: str) -> Policy:
    try:
        document = json.loads(text)
    except ValueError:
        raise PolicyError("a policy document is not JSON") from None
    if not isinstance(document, dict) or not set(document) <= _OF_DOCUMENT:
        raise PolicyError(f"a policy document has the elements {sorted(_OF_DOCUMENT)} alone")
    version = document.get("Version", _VERSIONS[0])
    if version not in _VERSIONS:
        raise PolicyError(f"there is no policy version {version!r}")
    given = document.get("Statement")
    if not isinstance(given, dict | list) or not given:
        raise PolicyError("a policy document has statements")
    statements = given if isinstance(given, list) else [given]
    sids = [one["Sid"] for one in statements if isinstance(one, dict) and "Sid" in one]
    if len(set(sids)) < len(sids) or not all(_SID.fullmatch(str(one)) for one in sids):
        raise PolicyError(f"a Sid has letters and digits alone, and is used once: {sids}")
    return tuple(_statement(one, version == _VARIABLES_SINCE) for one in statements)


def _statement(given: Any, variables: bool) -> Statement:  # noqa: ANN401, FBT001  (JSON)
    if not isinstance(given, dict) or not set(given) <= _OF_STATEMENT:
        raise PolicyError(f"a statement has the elements {sorted(_OF_STATEMENT)} alone: {given}")
    if given.get("Effect") not in ("Allow", "Deny"):
        raise PolicyError(f"a statement's Effect is Allow or Deny: {given}")
    actions, but_actions = _one_of(given, "Action")
    resources, but_resources = _one_of(given, "Resource")
    if wrong := [one for one in actions if one != "*" and ":" not in one]:
        raise PolicyError(f"an action is SERVICE:ACTION or *, not {wrong}")
    if wrong := [one for one in resources if one != "*" and not one.startswith("arn:")]:
        raise PolicyError(f"a resource is an ARN or *, not {wrong}")
    condition = {
        operator: {key: _texts(values) for key, values in keys.items()}
        for operator, keys in given.get("Condition", {}).items()
    }
    check(condition)
    lower = frozenset(one.lower() for one in actions)
    wild = frozenset(one for one in lower if "*" in one or "?" in one)
    return Statement(
        given["Effect"] == "Allow",
        lower - wild,
        tuple(wild),
        but_actions,
        resources,
        but_resources,
        condition,
        variables,
    )


def _one_of(given: Mapping[str, Any], name: str) -> tuple[tuple[str, ...], bool]:
    """Return an element, or the one that turns it round; and whether it is that."""
    present = [one for one in (name, f"Not{name}") if one in given]
    if len(present) != 1:
        raise PolicyError(f"a statement has either {name} or Not{name}: {given}")
    return _texts(given[present[0]]), present[0] != name


def _texts(values: Any) -> tuple[str, ...]:  # noqa: ANN401  (JSON)
    given = values if isinstance(values, list) else [values]
    if not given or not all(isinstance(one, str | bool | int | float) for one in given):
        raise PolicyError(f"texts are wanted, not {values!r}")
    return tuple(str(one).lower() if isinstance(one, bool) else str(one) for one in given)


def decide(
    policies: Sequence[Policy],
    request: Request,
    *,
    boundary: Policy | None = None,
    session: Policy | None = None,
) -> Decision:
    """Decide about a request.

    Args:
        policies: The user's or the role's own: inline, attached, of groups.
        request: What is asked for.
        boundary: The permissions boundary; None if there is none.
        session: The policy given when the role was assumed; None if there was none.

    Raises:
        PolicyError: If a condition cannot be decided.
    """
    limits = [("permissions boundary", boundary), ("session policy", session)]
    kinds: list[tuple[str, Sequence[Policy]]] = [("identity-based policy", policies)]
    kinds += [(name, [policy]) for name, policy in limits if policy is not None]
    found = [(name, _outcome(of_kind, request)) for name, of_kind in kinds]
    for wanted in (Outcome.DENIED, Outcome.NOT_ALLOWED):
        for name, outcome in found:
            if outcome is wanted:
                return Decision(outcome, name)
    return Decision(Outcome.ALLOWED)


def _outcome(policies: Iterable[Policy], request: Request) -> Outcome:
    effects = {
        statement.allows
        for policy in policies
        for statement in policy
        if statement.applies(request)
    }
    if False in effects:
        return Outcome.DENIED
    return Outcome.ALLOWED if True in effects else Outcome.NOT_ALLOWED
