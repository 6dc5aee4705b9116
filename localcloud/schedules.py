"""EventBridge's schedules: which expressions it takes. `install` puts it into moto once.

Source: EventBridge User Guide, "Setting a schedule pattern for scheduled rules": a rate has a whole
number above 0, and its unit is singular for 1 alone; a cron expression has six fields, one of
day-of-month and day-of-week is `?`. moto takes `rate(1 minutes)` and any cron.
"""

import re
from typing import Any

from moto.events.exceptions import ValidationException
from moto.events.models import EventsBackend

from localcloud.patching import patch

__all__ = ["install", "is_schedule"]

_RATE = re.compile(r"rate\(([1-9][0-9]*) (minute|hour|day)(s?)\)")
_CRON = re.compile(r"cron\(([^()]*)\)")
_MONTHS = [
    "JAN",
    "FEB",
    "MAR",
    "APR",
    "MAY",
    "JUN",
    "JUL",
    "AUG",
    "SEP",
    "OCT",
    "NOV",
    "DEC",
]
_DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
_FIELDS = 6

_moto_put_rule = EventsBackend.put_rule


def install() -> None:
    """Put AWS's check into moto's class."""
    patch(EventsBackend, put_rule=_put_rule)


def _put_rule(self: Any, name: str, *args: Any, **given: Any) -> Any:  # noqa: ANN401  (moto's)
    schedule = given.get("scheduled_expression")
    if schedule and not is_schedule(schedule):
        raise ValidationException("Parameter ScheduleExpression is not valid.")
    return _moto_put_rule(self, name, *args, **given)


def is_schedule(text: str) -> bool:
    """Whether a text is a rate or a cron expression of EventBridge's rules."""
    rate = _RATE.fullmatch(text)
    if rate:
        number, _, plural = rate.groups()
        return bool(plural) == (int(number) > 1)
    cron = _CRON.fullmatch(text)
    return bool(cron) and _is_cron(str(cron and cron.group(1)).split(" "))


def _is_cron(fields: list[str]) -> bool:
    if len(fields) != _FIELDS:
        return False
    minute, hour, day, month, weekday, year = fields
    if (day == "?") == (weekday == "?"):
        return False
    return (
        _in_range(minute, 0, 59)
        and _in_range(hour, 0, 23)
        and (day in ("?", "L") or bool(re.fullmatch(r"\d+W", day)) or _in_range(day, 1, 31))
        and _in_range(_numbered(month, _MONTHS), 1, 12)
        and (weekday in ("?", "L") or _is_weekday(weekday))
        and _in_range(year, 1970, 2199)
    )


def _is_weekday(text: str) -> bool:
    numbers = _numbered(text, _DAYS)
    return bool(re.fullmatch(r"[1-7](#[1-5]|L)", numbers)) or _in_range(numbers, 1, 7)


def _numbered(text: str, names: list[str]) -> str:
    for number, name in enumerate(names, 1):
        text = re.sub(rf"\b{name}\b", str(number), text, flags=re.IGNORECASE)
    return text


def _in_range(text: str, least: int, most: int) -> bool:
    """Whether a field is a list of numbers, ranges and steps within bounds."""
    for part in text.split(","):
        base, slash, step = part.partition("/")
        if slash and not re.fullmatch(r"[1-9]\d*", step):
            return False
        if base == "*":
            continue
        first, dash, last = base.partition("-")
        bounds = [first, last] if dash else [first]
        if not all(bound.isdecimal() and least <= int(bound) <= most for bound in bounds):
            return False
    return True
