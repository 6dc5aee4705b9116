"""Pages of a list that may change between them.

A token names the last item that was given, not how many: so nothing that stays is left out when
something before it goes. Pure.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from localcloud.world import LARGEST_PAGE, world

__all__ = ["numbered", "page"]

_T = TypeVar("_T")


def numbered(number: int) -> str:
    """Return a number as a key that sorts as numbers do."""
    return f"{number:012d}"


def page(
    items: Sequence[_T], key: Callable[[_T], str], asked: int | None, token: str | None
) -> tuple[list[_T], str | None]:
    """Return one page, and the token of the next or None.

    Args:
        items: All, in the order of their keys.
        key: Gives an item's key; no two are equal.
        asked: The most that the caller takes; None or 0 if it did not say.
        token: Of the page before; none or empty gives the first page.
    """
    size = min(asked or LARGEST_PAGE, world.page_size)
    rest = [item for item in items if key(item) > token] if token else items
    given = list(rest[:size])
    return given, key(given[-1]) if len(rest) > size else None
