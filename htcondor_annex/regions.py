"""AWS's regions by their names' form. The tool imports this: no more than it needs."""

import re
from collections.abc import Mapping

__all__ = ["FIRST", "KNOB", "chosen", "is_region", "of_prefix", "own_knob", "prefix"]

FIRST = "us-east-1"
"""AWS's first region, which HTCondor's own defaults name too."""

KNOB = "ANNEX_DEFAULT_AWS_REGION"
"""The knob that names the region where nobody asks for one."""

_FORM = re.compile(r"[a-z]{2,8}(?:-[a-z]{2,16}){1,3}-[0-9]{1,2}", re.ASCII)


def is_region(text: str) -> bool:
    """Whether a text has the form of a region's name, such as us-west-2 or us-gov-east-1."""
    return _FORM.fullmatch(text) is not None


def prefix(region: str) -> str:
    """Return what a knob's name has before it that is of one region: names take no dash."""
    return region.replace("-", "_") + "."


def chosen(asked: str | None, param: Mapping[str, str]) -> str:
    """Return the region that is asked for, or else the configuration's; its form is not checked."""
    return asked or param.get(KNOB, FIRST)


def own_knob(param: Mapping[str, str], region: str, knob: str) -> str | None:
    """Return a knob of a region, or else the plain one; None if there is neither."""
    return param.get(prefix(region) + knob, param.get(knob))


def of_prefix(text: str) -> str | None:
    """Return the region that a knob's prefix (without its point) means; None if it means none."""
    region = text.lower().replace("_", "-")
    return region if is_region(region) else None
