"""Writes EC2's answers from plain values: moto's own writer takes 2 ms an instance.

Source: Smithy's "AWS EC2 query protocol", response serialization; names are those of botocore's
model.
"""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from xml.sax.saxutils import escape

from moto.core.utils import get_service_model

__all__ = ["Written", "answer", "time_text"]

Written = tuple[int, dict[str, str], str]
"""Status, headers and body, as moto takes them from a response's method."""

_NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"


def time_text(value: datetime) -> str:
    """Return a time (UTC) as EC2 shows it."""
    return value.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def answer(action: str, result: Mapping[str, Any]) -> Written:
    """Return the answer of an action.

    Args:
        action: Such as `DescribeInstances`.
        result: By the members of the action's output in botocore's model; None leaves one out,
            and a member that the model does not have is an error.
    """
    shape = get_service_model("ec2").operation_model(action).output_shape
    parts = [f'<{action}Response xmlns="{_NAMESPACE}"><requestId>{uuid.uuid4()}</requestId>']
    if shape is not None:
        _members(parts, shape, result)
    parts.append(f"</{action}Response>")
    return 200, {"Content-Type": "text/xml;charset=UTF-8"}, "".join(parts)


def _members(parts: list[str], shape: Any, value: Mapping[str, Any]) -> None:  # noqa: ANN401  (moto)
    members = shape.members
    for key, item in value.items():
        if item is not None:
            member = members[key]
            _write(parts, member, member.serialization.get("name", key), item)


def _write(parts: list[str], shape: Any, name: str, value: Any) -> None:  # noqa: ANN401  (moto)
    kind = shape.type_name
    if kind == "structure":
        parts.append(f"<{name}>")
        _members(parts, shape, value)
    elif kind == "list":
        parts.append(f"<{name}>")
        inner = shape.member.serialization.get("name", "item")
        for item in value:
            _write(parts, shape.member, inner, item)
    elif kind == "boolean":
        parts.append(f"<{name}>{'true' if value else 'false'}")
    elif isinstance(value, datetime):
        parts.append(f"<{name}>{time_text(value)}")
    else:
        parts.append(f"<{name}>{escape(str(value))}")
    parts.append(f"</{name}>")
