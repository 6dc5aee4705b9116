"""JSON as it must be: nothing dropped in silence, every error with its place.

Python's own reader keeps the last of two equal keys and takes NaN; a request for machines must
not hang on either.
"""

import json
from typing import Any

__all__ = ["JsonError", "loads"]


class JsonError(ValueError):
    """The text is not the JSON we accept; the message names the place."""


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise JsonError(f'the key "{key}" stands twice in one object')
        found[key] = value
    return found


def _no_constant(name: str) -> Any:  # noqa: ANN401  (json's hook may return anything)
    raise JsonError(f"{name} is no JSON number")


def loads(data: bytes) -> Any:  # noqa: ANN401  (JSON is any of its types until checked)
    """Parse one JSON document.

    Args:
        data: The document, UTF-8, with or without a byte order mark.

    Returns:
        What the document holds: dict, list, str, int, float, bool or None.

    Raises:
        JsonError: With line and column where the text breaks off being JSON.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise JsonError(f"byte {error.start} is not UTF-8") from error
    if not text.strip():
        raise JsonError("it is empty")
    try:
        return json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise JsonError(f"line {error.lineno}, column {error.colno}: {error.msg}") from error
    except RecursionError as error:
        raise JsonError("it is nested too deeply") from error
    except ValueError as error:  # a number of thousands of digits
        raise error if isinstance(error, JsonError) else JsonError(str(error)) from error
