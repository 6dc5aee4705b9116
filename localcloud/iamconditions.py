"""The conditions of IAM policies. Pure.

After the IAM User Guide, "IAM JSON policy elements: Condition operators", "Conditions with
multiple context keys or values" and "Set operators for multivalued context keys":

* All operators and all keys must hold; of the values that a policy gives for a key, one.
  A negated operator holds if none of the values fits.
* A key that the request lacks: negated operators, `...IfExists` and `ForAllValues:` hold, all
  others do not.
* `ForAllValues:` holds if each of the request's values fits, `ForAnyValue:` if one does.

What is not known here raises: nothing passes in silence.
"""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from localcloud.iampatterns import Context, fill, like, lookup, substitute

__all__ = ["Condition", "PolicyError", "check", "holds"]

Condition = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Operator to key to the policy's values."""

_IF_EXISTS = "IfExists"
_SETS = ("ForAllValues", "ForAnyValue")
_NULL = "Null"
_ARN_PARTS = 6


class PolicyError(ValueError):
    """A policy that IAM would not take, or that asks for what is not modelled here."""


@dataclass(frozen=True, slots=True)
class _Operator:
    """An operator: `fits` takes a value of the request and a policy's value, filled in or not."""

    fits: Callable[[str, str, Context, bool], bool]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class _Asked:
    """An operator as a policy names it."""

    set_operator: str
    name: str
    if_exists: bool


def check(condition: Condition) -> None:
    """Check a statement's condition.

    Raises:
        PolicyError: If there is no such operator, or a value that it cannot take.
    """
    for name, keys in condition.items():
        asked = _read(name)
        for values in keys.values():
            for value in values:
                if asked.name == _NULL:
                    _truth(value)
                elif asked.name.startswith("Numeric"):
                    _number(value)
                elif asked.name.startswith("Date"):
                    _time(value)
                elif asked.name == "Bool":
                    _truth(value)
                elif asked.name.endswith("IpAddress"):
                    _network(value)


def holds(condition: Condition, context: Context, *, variables: bool) -> bool:
    """Whether a statement's condition holds for a request.

    Args:
        condition: Of the statement.
        context: Of the request.
        variables: Whether `${...}` is a variable.

    Raises:
        PolicyError: As `check`; or if a multivalued key is asked for without a set operator, of
            which AWS says only that it must not be.
    """
    return all(
        _holds(_read(name), key, wanted, context, variables)
        for name, keys in condition.items()
        for key, wanted in keys.items()
    )


def _read(name: str) -> _Asked:
    set_operator, colon, rest = name.rpartition(":")
    base = rest.removesuffix(_IF_EXISTS)
    if_exists = base != rest
    known = base in _OPERATORS or (base == _NULL and not if_exists and not colon)
    if not known or (colon and set_operator not in _SETS):
        raise PolicyError(f"there is no condition operator {name}, or none that is modelled")
    return _Asked(set_operator, base, if_exists)


def _holds(
    asked: _Asked,
    key: str,
    wanted: tuple[str, ...],
    context: Context,
    variables: bool,  # noqa: FBT001
) -> bool:
    given = lookup(context, key)
    if asked.name == _NULL:
        absent = given is None or given == []
        return any(_truth(one) == absent for one in wanted)
    operator = _OPERATORS[asked.name]

    def fits(value: str) -> bool:
        some = any(operator.fits(value, one, context, variables) for one in wanted)
        return some is not operator.negated

    if asked.set_operator:
        values = [given] if isinstance(given, str) else given or []
        if asked.set_operator == "ForAllValues":
            return all(fits(value) for value in values)
        return any(fits(value) for value in values) or (asked.if_exists and given is None)
    if given is None:
        return asked.if_exists or operator.negated
    if not isinstance(given, str):
        raise PolicyError(f"{key} has many values: {asked.name} needs a set operator")
    return fits(given)


# -- the operators: a value of the request, the policy's -------------------------------------------


def _equals(given: str, wanted: str, context: Context, variables: bool) -> bool:  # noqa: FBT001
    return given == substitute(wanted, context, variables=variables)


def _equals_ignoring_case(given: str, wanted: str, context: Context, variables: bool) -> bool:  # noqa: FBT001
    plain = substitute(wanted, context, variables=variables)
    return plain is not None and given.casefold() == plain.casefold()


def _like(given: str, wanted: str, context: Context, variables: bool) -> bool:  # noqa: FBT001
    return like(fill(wanted, context, variables=variables), given)


def _arn_like(given: str, wanted: str, context: Context, variables: bool) -> bool:  # noqa: FBT001
    """Whether an ARN fits: each of its six parts on its own (ArnEquals and ArnLike are one)."""
    parts, patterns = given.split(":", _ARN_PARTS - 1), _arn_parts(wanted)
    return len(parts) == len(patterns) == _ARN_PARTS and all(
        like(fill(pattern, context, variables=variables), part)
        for part, pattern in zip(parts, patterns, strict=True)
    )


def _arn_parts(pattern: str) -> list[str]:
    """Split an ARN's pattern at its colons, those of variables left alone."""
    parts, depth = [""], 0
    for character in pattern:
        depth += (character == "{") - (character == "}")
        if character == ":" and not depth and len(parts) < _ARN_PARTS:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _truth(value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise PolicyError(f"true or false is wanted, not {value!r}")
    return value.lower() == "true"


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise PolicyError(f"{value!r} is not a number") from None


def _time(value: str) -> float:
    """Return a time, epoch seconds, from a number of these or from ISO 8601."""
    try:
        return float(value)
    except ValueError:
        pass
    try:
        read = datetime.fromisoformat(value)
    except ValueError:
        raise PolicyError(f"{value!r} is not a time") from None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def _network(value: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise PolicyError(f"{value!r} is not an IP address or range") from None


def _boolean(given: str, wanted: str, *_: object) -> bool:
    return given.lower() == wanted.lower()


def _address(given: str, wanted: str, *_: object) -> bool:
    return ipaddress.ip_address(given) in _network(wanted)


def _compared(
    read: Callable[[str], float], test: Callable[[float, float], bool]
) -> Callable[[str, str, Context, bool], bool]:
    return lambda given, wanted, *_: test(read(given), read(wanted))


def _ordered(kind: str, read: Callable[[str], float]) -> dict[str, _Operator]:
    return {
        f"{kind}Equals": _Operator(_compared(read, float.__eq__)),
        f"{kind}NotEquals": _Operator(_compared(read, float.__eq__), negated=True),
        f"{kind}LessThan": _Operator(_compared(read, float.__lt__)),
        f"{kind}LessThanEquals": _Operator(_compared(read, float.__le__)),
        f"{kind}GreaterThan": _Operator(_compared(read, float.__gt__)),
        f"{kind}GreaterThanEquals": _Operator(_compared(read, float.__ge__)),
    }


_OPERATORS: Mapping[str, _Operator] = {
    "StringEquals": _Operator(_equals),
    "StringNotEquals": _Operator(_equals, negated=True),
    "StringEqualsIgnoreCase": _Operator(_equals_ignoring_case),
    "StringNotEqualsIgnoreCase": _Operator(_equals_ignoring_case, negated=True),
    "StringLike": _Operator(_like),
    "StringNotLike": _Operator(_like, negated=True),
    "ArnEquals": _Operator(_arn_like),
    "ArnLike": _Operator(_arn_like),
    "ArnNotEquals": _Operator(_arn_like, negated=True),
    "ArnNotLike": _Operator(_arn_like, negated=True),
    "Bool": _Operator(_boolean),
    "IpAddress": _Operator(_address),
    "NotIpAddress": _Operator(_address, negated=True),
    **_ordered("Numeric", _number),
    **_ordered("Date", _time),
}
