"""How annexes become the text of ads, and back."""

import re
from collections.abc import Callable, Mapping

from htcondor_annex.annex import Annex
from htcondor_annex.journal import attributes
from htcondor_annex.journal.ads import MYTYPE, SHORT, Ad

__all__ = ["Quoting"]

_PLAIN = re.compile(r"[ !#-\[\]-~]*")
"""What stands between quotes as it is: printable ASCII with neither quote nor backslash."""


_OTHER = re.compile(r"(?ai:true|false|undefined|error|[+-]?\d+\.\d+(e[+-]?\d+)?)")
"""Literals that an annex has none of; a later version's may."""


class Quoting:
    """How texts become ClassAd strings, and back.

    The bindings' own way is passed in; texts that need no escape, nearly all, take a short one
    that comes to the same.
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
        return f'"{text}"' if _PLAIN.fullmatch(text) else self._quote(text)

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

    def ad(self, annex: Annex) -> Ad:
        """Return an annex as an ad's text.

        Raises:
            ValueError: If it holds a text that no ClassAd string can.
        """
        return {
            MYTYPE: attributes.MYTYPE,
            **{
                name: str(value) if isinstance(value, int) else self.quote(value)
                for name, value in attributes.to_attributes(annex).items()
            },
        }

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
                if name == MYTYPE or _OTHER.fullmatch(text):
                    continue
                value = self._value(name, text)
                if len(text) < SHORT:
                    known[text] = value
            values[name] = value
        return values

    def _value(self, name: str, text: str) -> str | int:
        try:
            return self.unquote(text) if text[:1] == '"' else int(text)
        except ValueError as error:
            reason = str(error) if text[:1] == '"' else f"{text[:80]!r} is no literal"
            raise ValueError(f"{name}: {reason}") from error
