"""Times on the wire and on the command line: UTC, whole seconds since the epoch."""

import re
from datetime import UTC, datetime

__all__ = ["iso8601", "parse_when"]

_ISO = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})(?:[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?)?(?:[Zz]|\+00:?00)?",
    re.ASCII,
)
_OFFSET = re.compile(r"\+(\d{1,9})", re.ASCII)


def iso8601(epoch: int) -> str:
    """Return epoch seconds as `YYYY-MM-DDTHH:MM:SSZ`."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_when(text: str, now: int) -> int:
    """Read a point in time: ISO 8601 in UTC, or `+SECONDS` from now.

    Args:
        text: `2026-01-31`, `2026-01-31T12:00`, `2026-01-31T12:00:00Z`, or `+3600`.
        now: Epoch seconds.

    Returns:
        Epoch seconds.

    Raises:
        ValueError: If it is neither; the message says what is accepted.
    """
    if match := _OFFSET.fullmatch(text):
        return now + int(match[1])
    if match := _ISO.fullmatch(text):
        try:
            fields = [int(part or 0) for part in match.groups()]
            return int(datetime(*fields, tzinfo=UTC).timestamp())  # type: ignore[arg-type, misc]  # six ints
        except ValueError as error:
            raise ValueError(f'"{text}" is no such date: {error}') from error
    raise ValueError(
        f'"{text}" is neither a UTC time such as 2026-01-31T12:00:00Z nor +SECONDS from now'
    )
