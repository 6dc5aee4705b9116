"""AWS's regions by their names' form. The tool imports this: no more than it needs."""

import re

__all__ = ["is_region", "of_prefix", "prefix"]

_FORM = re.compile(r"[a-z]{2,8}(?:-[a-z]{2,16}){1,3}-[0-9]{1,2}", re.ASCII)


def is_region(text: str) -> bool:
    """Whether a text has the form of a region's name, such as us-west-2 or us-gov-east-1."""
    return _FORM.fullmatch(text) is not None


def prefix(region: str) -> str:
    """Return what a knob's name has before it that is of one region: names take no dash."""
    return region.replace("-", "_") + "."


def of_prefix(text: str) -> str | None:
    """Return the region that a knob's prefix (without its point) means; None if it means none."""
    region = text.lower().replace("_", "-")
    return region if is_region(region) else None
