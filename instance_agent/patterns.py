"""IAM's patterns: `*` is any text, `?` one character, `${...}` a variable. Pure.

Own code rather than regular expressions, because a pattern comes from outside: this one takes time
in proportion to the lengths of pattern and text multiplied, whatever the pattern.
"""

import re
from enum import Enum

__all__ = ["Pattern", "Wild", "matches", "parse"]


class Wild(Enum):
    """What is not a plain character in a pattern; the value is how it is shown."""

    ANY = "*"
    ONE = "?"
    UNKNOWN = "${...}"


Pattern = tuple[str | Wild, ...]
"""Single characters, and what stands for others."""

_PART = re.compile(r"\$\{(?P<variable>[^}]*)\}|(?P<plain>.)", re.DOTALL)
_WILD = {"*": Wild.ANY, "?": Wild.ONE}
_ESCAPED = frozenset("*?$")
"""`${*}`, `${?}` and `${$}` are the characters themselves (IAM User Guide)."""


def parse(text: str, *, variables: bool) -> Pattern:
    """A pattern from its text.

    Args:
        text: As the policy has it.
        variables: Whether `${...}` is a variable, as in policies of version 2012-10-17.
    """
    if not variables:
        return tuple(_WILD.get(character, character) for character in text)
    tokens: list[str | Wild] = []
    for part in _PART.finditer(text):
        variable, plain = part["variable"], part["plain"]
        if plain is not None:
            tokens.append(_WILD.get(plain, plain))
        else:
            tokens.append(variable if variable in _ESCAPED else Wild.UNKNOWN)
    return tuple(tokens)


def matches(pattern: Pattern, text: str) -> bool:
    """Whether the whole text fits the pattern; a variable counts as `*`."""
    at, place = 0, 0
    star, resume = -1, 0
    while place < len(text):
        token = pattern[at] if at < len(pattern) else None
        if token is Wild.ANY or token is Wild.UNKNOWN:
            star, resume = at, place
            at += 1
        elif token is Wild.ONE or token == text[place]:
            at += 1
            place += 1
        elif star >= 0:
            # Only the last `*` need be tried further: what came before it has matched already.
            resume += 1
            at, place = star + 1, resume
        else:
            return False
    return all(token in (Wild.ANY, Wild.UNKNOWN) for token in pattern[at:])
