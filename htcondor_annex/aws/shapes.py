"""A user's JSON held against botocore's own model of an AWS API.

Nothing is dropped: what the model does not know is an error. Consoles and tools of different
years wrote numbers as strings and strings as numbers; where the model tells which is meant, the
value is put right. All problems are found in one walk, each with its JSON path.
"""

import difflib
import math
from decimal import Decimal
from typing import Any

from botocore.validate import ParamValidator

__all__ = ["fit"]

# What `botocore.model.Shape` names its types, and the largest value of each kind of integer.
_INTEGERS = {"integer": 2**31 - 1, "long": 2**63 - 1}
_FLOATS = {"float", "double"}
_MAX_SHOWN = 60


class _MisfitError(ValueError):
    """A value that the shape cannot take; the text ends the sentence that its path begins."""


def _shown(value: Any) -> str:  # noqa: ANN401  (JSON)
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."


def _string(value: Any) -> str:  # noqa: ANN401  (JSON)
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _MisfitError(f"must be a string, not {_shown(value)}")
    return format(Decimal(repr(value)), "f")


def _float(value: Any) -> float:  # noqa: ANN401  (JSON)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _MisfitError(f"must be a number, not {_shown(value)}")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise _MisfitError(f"must be a number, not {_shown(value)}")
    return number


def _integer(value: Any, most: int) -> int:  # noqa: ANN401  (JSON)
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal():
        number = int(value) if len(value) <= _MAX_SHOWN else most + 1
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    else:
        exact = _float(value)
        if not exact.is_integer():
            raise _MisfitError(f"must be a whole number, not {_shown(value)}")
        number = int(exact)
    if abs(number) > most:
        raise _MisfitError(f"must be at most {most}, not {_shown(value)}")
    return number


def _boolean(value: Any) -> bool:  # noqa: ANN401  (JSON)
    if isinstance(value, bool):
        return value
    words = {"true": True, "false": False}
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    raise _MisfitError(f"must be true or false, not {_shown(value)}")


def _scalar(value: Any, kind: str) -> Any:  # noqa: ANN401  (JSON)
    if kind in _INTEGERS:
        return _integer(value, _INTEGERS[kind])
    if kind in _FLOATS:
        return _float(value)
    return _boolean(value) if kind == "boolean" else _string(value)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _structure(value: Any, shape: Any, path: str, problems: list[str]) -> Any:  # noqa: ANN401
    if not isinstance(value, dict):
        problems.append(f"{path or 'the document'} must be an object, not {_shown(value)}")
        return value
    fitted = {}
    for key, item in value.items():
        member = shape.members.get(key)
        if member is None:
            near = difflib.get_close_matches(key, list(shape.members), n=1)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            problems.append(f"{_join(path, key[:_MAX_SHOWN])} is no field that AWS knows{hint}")
        else:
            fitted[key] = _walk(item, member, _join(path, key), problems)
    problems.extend(
        f"{_join(path, name)} is missing" for name in shape.required_members if name not in value
    )
    return fitted


def _list(value: Any, shape: Any, path: str, problems: list[str]) -> Any:  # noqa: ANN401
    if not isinstance(value, list):
        problems.append(f"{path} must be a list, not {_shown(value)}")
        return value
    return [
        _walk(item, shape.member, f"{path}[{index}]", problems) for index, item in enumerate(value)
    ]


def _walk(value: Any, shape: Any, path: str, problems: list[str]) -> Any:  # noqa: ANN401
    kind = shape.type_name
    if value is None:
        problems.append(f"{path or 'the document'} is null; leave the field out")
        return value
    if kind == "structure":
        return _structure(value, shape, path, problems)
    if kind == "list":
        return _list(value, shape, path, problems)
    try:
        return _scalar(value, kind)
    except _MisfitError as misfit:
        problems.append(f"{path} {misfit}")
        return value


def fit(value: Any, shape: Any) -> tuple[Any, list[str]]:  # noqa: ANN401  (JSON; botocore.model.Shape)
    """Fit a JSON value to a shape of botocore's model.

    Args:
        value: What the user's JSON holds.
        shape: A `botocore.model.Shape`.

    Returns:
        The value with its types put right, and every problem found: one line each, with the JSON
        path. The value is of use only where there is no problem.
    """
    problems: list[str] = []
    fitted = _walk(value, shape, "", problems)
    if not problems:  # ranges and whatever else the model holds
        report = ParamValidator().validate(fitted, shape)
        if report.has_errors():
            problems.extend(report.generate_report().splitlines())
    return fitted, problems
