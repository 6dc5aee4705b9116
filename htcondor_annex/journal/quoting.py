"""How annexes become the text of ads, and back."""

import re
from collections.abc import Callable, Mapping

from htcondor_annex.annex import Annex
from htcondor_annex.journal import attributes
from htcondor_annex.journal.ads import MYTYPE, SHARED, Ad, block

__all__ = ["Quoting"]

_OTHER = re.compile(r"(?ai:true|false|undefined|error|[+-]?\d+\.\d+(e[+-]?\d+)?)")
"""Literals that an annex has none of; a later version's may."""


class Quoting:
    """How texts become ClassAd strings, and back.

    The bindings' own way is passed in; printable ASCII, which is nearly all, takes a short one that
    comes to the same.
    """

    def __init__(self, quote: Callable[[str], str], unquote: Callable[[str], str]) -> None:
        """Hold the two functions."""
        self._quote = quote
        self._unquote = unquote

    def quote(self, text: str) -> str:
        """Return a text as a ClassAd string.

        Raises:
            ValueError: If it holds what no ClassAd string can: a zero, or half a surrogate pair.
        """
        if not (text.isascii() and text.isprintable()):
            return self._quote(text)
        if "\\" in text:
            text = text.replace("\\", "\\\\")
        if '"' in text:
            text = text.replace('"', '\\"')
        return f'"{text}"'

    def unquote(self, expression: str) -> str:
        """Return the text of a ClassAd string.

        Raises:
            ValueError: If the expression is none.
        """
        if len(expression) > 1 and expression[0] == expression[-1] == '"' and expression.isascii():
            inner = expression[1:-1]
            escapes = inner.count("\\")
            # Every escape is a quote's, and every quote is escaped; often there is none at all.
            if escapes == inner.count('"') and escapes == inner.count('\\"'):
                return inner.replace('\\"', '"') if escapes else inner
        return self._unquote(expression)

    def _expression(self, value: str | int, *, whatever: bool = False) -> str:
        if isinstance(value, int):
            return str(value)
        try:
            return self.quote(value)
        except ValueError:
            if not whatever:
                raise
            return self.quote(value.replace("\0", "").encode("utf-8", "replace").decode())

    def ad(self, annex: Annex) -> Ad:
        """Return an annex as an ad's text.

        Raises:
            ValueError: If it holds a text that no ClassAd string can.
        """
        values = attributes.to_attributes(annex)
        return {
            MYTYPE: attributes.MYTYPE,
            **{name: self._expression(value) for name, value in values.items()},
        }

    def change(self, key: str, before: Annex | None, after: Annex | None) -> bytes:
        """Return a log's lines that turn one annex into another; None is no annex.

        What no ClassAd string can hold is left out of a text that changes, which is a message.

        Raises:
            ValueError: If a new annex holds such a text.
        """
        if after is None:
            return b"" if before is None else f"102 {key}\n".encode()
        if before is None:
            return block(key, self.ad(after))
        old, new = attributes.to_attributes(before), attributes.to_attributes(after)
        start = f"103 {key} "
        lines = [
            f"{start}{name} {self._expression(value, whatever=True)}\n"
            for name, value in new.items()
            if old.get(name) != value
        ]
        lines += [f"104 {key} {name}\n" for name in old if name not in new]
        return "".join(lines).encode()

    def annex(self, ad: Mapping[str, str], known: dict[str, str | int] | None = None) -> Annex:
        """Return an ad's annex.

        Args:
            ad: Attribute to expression's text.
            known: What texts came to before; many annexes have many of them in common.

        Raises:
            KeyError: If an attribute is missing.
            ValueError: If one holds what it cannot.
        """
        return attributes.from_attributes(self.values(ad, {} if known is None else known))

    def values(self, ad: Mapping[str, str], known: dict[str, str | int]) -> dict[str, str | int]:
        """Return what an ad's expressions come to.

        Raises:
            ValueError: If one is no literal, naming its attribute.
        """
        values: dict[str, str | int] = {}
        for name, text in ad.items():
            value = known.get(text)
            if value is None:
                if name == MYTYPE:
                    continue
                value = self._value(name, text)
                if value is None:
                    continue
                if len(known) < SHARED:
                    known[text] = value
            values[name] = value
        return values

    def _value(self, name: str, text: str) -> str | int | None:
        """Return what a literal comes to; None for one of a kind that annexes have none of."""
        if text[:1] == '"':
            try:
                return self.unquote(text)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
        if text.isascii() and text.removeprefix("-").isdecimal():
            return int(text)
        if _OTHER.fullmatch(text):
            return None
        raise ValueError(f"{name}: {text[:80]!r} is no literal")
