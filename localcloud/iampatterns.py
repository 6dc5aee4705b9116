"""IAM's patterns with the variables of a request filled in. Pure.

After the IAM User Guide, "IAM policy elements: Variables and tags": `${key}` stands for the value
that the request has for a condition key, `${key, 'text'}` for that or the text, and `${*}`, `${?}`
and `${$}` for the characters themselves. What a variable stands for has no wildcards. A variable
that the request has no value for makes the pattern match nothing.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

from instance_agent.patterns import Pattern, Wild, matches

__all__ = ["Context", "fill", "like", "lookup", "substitute"]

Context = Mapping[str, str | list[str]]
"""Condition keys, in lower case, and their values; a list is a multivalued key's."""

_PART = re.compile(r"\$\{(?P<variable>[^}]*)\}|(?P<plain>.)", re.DOTALL)
_DEFAULT = re.compile(r"(?P<key>[^,]+?)\s*(?:,\s*'(?P<default>[^']*)')?")
_WILD = {"*": Wild.ANY, "?": Wild.ONE}
_ESCAPED = frozenset("*?$")


def lookup(context: Context, key: str) -> str | list[str] | None:
    """Return a condition key's value; keys are not case-sensitive."""
    return context.get(key.lower())


def fill(text: str, context: Context, *, variables: bool) -> Pattern | None:
    """Return a pattern with its variables filled in; None if there is no value for one.

    Args:
        text: As the policy has it.
        context: Of the request.
        variables: Whether `${...}` is a variable, as in policies of version 2012-10-17.
    """
    if not variables or "${" not in text:
        return _without(text)
    tokens: list[str | Wild] = []
    for part in _PART.finditer(text):
        variable, plain = part["variable"], part["plain"]
        if plain is not None:
            tokens.append(_WILD.get(plain, plain))
        elif variable in _ESCAPED:
            tokens.append(variable)
        else:
            value = _value(variable, context)
            if value is None:
                return None
            tokens += value
    return tuple(tokens)


@lru_cache(maxsize=4096)
def _without(text: str) -> Pattern:
    """Return a pattern that has no variables."""
    return tuple(_WILD.get(character, character) for character in text)


def substitute(text: str, context: Context, *, variables: bool) -> str | None:
    """Return a text with its variables filled in, `*` and `?` being plain; None as `fill`."""
    if not variables:
        return text
    done = []
    for part in _PART.finditer(text):
        variable = part["variable"]
        value = part["plain"] if variable is None else variable
        if variable is not None and variable not in _ESCAPED:
            value = _value(variable, context)
        if value is None:
            return None
        done.append(value)
    return "".join(done)


def _value(variable: str, context: Context) -> str | None:
    asked = _DEFAULT.fullmatch(variable.strip())
    if asked is None:
        return None
    value = lookup(context, asked["key"])
    return value if isinstance(value, str) else asked["default"]


def like(pattern: Pattern | None, text: str) -> bool:
    """Whether the whole text fits a pattern that was filled in."""
    return pattern is not None and matches(pattern, text)
