"""Whether a lease function's policy lets EventBridge run it for a rule. Pure.

Sources: AWS Lambda Developer Guide, "Resource-based policy"; IAM User Guide, "Policy evaluation
logic", "IAM JSON policy elements: Condition operators" and "AWS global condition context keys";
EventBridge User Guide, "Using resource-based policies for Amazon EventBridge".

A condition has three answers here: it holds, it does not, it cannot be told. What cannot be told
allows nothing and lets no denial pass, and is said.
"""

import fnmatch
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from htcondor_annex import strictjson

__all__ = ["MAX_POLICY", "Run", "refusal"]

MAX_POLICY = 20 * 1024
"""Bytes; Lambda takes no larger policy (Lambda Developer Guide, "Lambda quotas")."""

_SERVICE = "events.amazonaws.com"
_ACTION = "lambda:InvokeFunction"
_IF_EXISTS = "ifexists"
_EFFECTS = ("Allow", "Deny")
_ARN_PARTS = 6
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Run:
    """What is to be allowed: EventBridge runs a function for one rule.

    Attributes:
        function_arn: As the rule's target has it.
        rule_arn: What EventBridge gives as aws:SourceArn.
        account: The rule's, which it gives as aws:SourceAccount.
    """

    function_arn: str
    rule_arn: str
    account: str


def _like(text: str, pattern: str) -> bool:
    """Whether a text is like a pattern, in which `*` is any text and `?` any character."""
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


def _arn_like(text: str, pattern: str) -> bool | None:
    """Compare ARNs as ArnLike does: each of the six parts by itself; None if it is no ARN."""
    parts, patterns = text.split(":", _ARN_PARTS - 1), pattern.split(":", _ARN_PARTS - 1)
    if len(patterns) < _ARN_PARTS:
        return None
    return all(_like(part, one) for part, one in zip(parts, patterns, strict=True))


def _equal(text: str, pattern: str) -> bool:
    return text == pattern


# Operator, in lower case, to how it compares and whether it is the opposite.
_OPERATORS: Mapping[str, tuple[Callable[[str, str], bool | None], bool]] = {
    "stringequals": (_equal, False),
    "stringlike": (_like, False),
    "arnequals": (_arn_like, False),
    "arnlike": (_arn_like, False),
    "stringnotequals": (_equal, True),
    "stringnotlike": (_like, True),
    "arnnotequals": (_arn_like, True),
    "arnnotlike": (_arn_like, True),
}


def _listed(value: object) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]


def _any(answers: list[bool | None]) -> bool | None:
    return True if True in answers else None if None in answers else False


def _all(answers: list[bool | None]) -> bool | None:
    return False if False in answers else None if None in answers else True


def _holds(operator: str, key: str, values: object, run: Run) -> bool | None:
    """Whether one condition holds; None if that cannot be told."""
    known = {"aws:sourcearn": run.rule_arn, "aws:sourceaccount": run.account}
    given = known.get(key.lower())
    # These keys are always there.
    compare = _OPERATORS.get(operator.lower().removesuffix(_IF_EXISTS))
    if given is None or compare is None:
        return None
    patterns = _listed(values)
    if not all(isinstance(one, str) and "${" not in one for one in patterns):
        return None
    answer = _any([compare[0](given, one) for one in patterns])
    return answer if answer is None else answer is not compare[1]


@dataclass(frozen=True, slots=True)
class _Statement:
    """One statement of a policy, as far as it concerns a run.

    Attributes:
        denies: Its effect.
        applies: Whether it does, but for its conditions; None if that cannot be told.
        conditions: Each in words, and whether it holds.
    """

    name: str
    denies: bool
    applies: bool | None
    conditions: tuple[tuple[str, bool | None], ...]

    @property
    def counts(self) -> bool | None:
        """Whether it applies and all its conditions hold."""
        return _all([self.applies, *(holds for _, holds in self.conditions)])

    def why_not(self) -> str:
        """Return why it does not count, in words."""
        if self.applies is None:
            return f"{self.name} is of a kind that annexd does not judge"
        unknown = [words for words, holds in self.conditions if holds is None]
        failing = [words for words, holds in self.conditions if holds is False]
        if failing:
            return f"{self.name} asks for {failing[0]}"
        return f"{self.name} has a condition that annexd does not judge: {unknown[0]}"


def _of_events(principal: object) -> bool:
    """Whether EventBridge is meant by a statement's Principal."""
    if principal == "*":
        return True
    if not isinstance(principal, Mapping):
        return False
    return _SERVICE in _listed(principal.get("Service")) or "*" in _listed(principal.get("AWS"))


def _is_like(text: str, patterns: object, *, fold: bool = False) -> bool:
    return any(
        _like(text.lower(), one.lower()) if fold else _like(text, one)
        for one in _listed(patterns)
        if isinstance(one, str)
    )


def _read(number: int, given: object, run: Run) -> _Statement | None:
    """Return a statement; None if it is none of a policy's."""
    if not isinstance(given, Mapping) or given.get("Effect") not in _EFFECTS:
        return None
    applies: bool | None = (
        _of_events(given.get("Principal"))
        and _is_like(_ACTION, given.get("Action"), fold=True)
        and _is_like(run.function_arn, given.get("Resource", "*"))
    )
    if {"NotPrincipal", "NotAction", "NotResource"} & given.keys():
        applies = None
    conditions = given.get("Condition") or {}
    told: list[tuple[str, bool | None]] = []
    for operator, pairs in conditions.items() if isinstance(conditions, Mapping) else ():
        for key, values in pairs.items() if isinstance(pairs, Mapping) else ():
            words = f"{operator} {key} {' or '.join(map(str, _listed(values)))[:200]}"
            told.append((words, _holds(str(operator), str(key), values, run)))
    name = f"the statement {str(given.get('Sid') or number)[:100]!r}"
    return _Statement(name, given["Effect"] == "Deny", applies, tuple(told))


def _statements(policy: str, run: Run) -> list[_Statement]:
    """Return the statements of a policy.

    Raises:
        ValueError: If it is none, saying why.
    """
    data = policy.encode("utf-8", "surrogateescape")
    if len(data) > MAX_POLICY:
        raise ValueError(f"its policy is longer than {MAX_POLICY} bytes")
    try:
        document = strictjson.loads(data)
    except strictjson.JsonError as error:
        raise ValueError(f"its policy is not JSON: {error}") from error
    listed = document.get("Statement") if isinstance(document, Mapping) else None
    read = [_read(number, one, run) for number, one in enumerate(_listed(listed), 1)]
    found = [one for one in read if one is not None]
    if len(found) < len(read):
        raise ValueError("its policy has a statement that is none")
    return found


def refusal(policy: str, run: Run) -> str:
    """Return why a policy does not let EventBridge run a function, in words; empty if it does.

    Args:
        policy: As GetPolicy gives it: JSON.
        run: What is to be allowed.
    """
    try:
        statements = _statements(policy, run)
    except ValueError as error:
        return str(error)
    for one in statements:
        if one.denies and one.counts is not False:
            return f"{one.name} denies it" + ("" if one.counts else f" ({one.why_not()})")
    allowing = [one for one in statements if not one.denies]
    if any(one.counts for one in allowing):
        return ""
    near = [one.why_not() for one in allowing if one.applies is not False]
    none = f"no statement of its policy allows {_ACTION} to {_SERVICE}"
    return "; ".join(near[:_SHOWN]) or none
