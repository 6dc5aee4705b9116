"""Ads as their text: what a log's operations leave, and the operations that change one. Pure.

An ad that is kept for long is kept as its block: the lines that make it, as the log has them. That
takes a third of what a dictionary takes, and is all that compaction has to write.
"""

import sys
from collections.abc import Iterable, Mapping

from htcondor_annex.journal import classadlog
from htcondor_annex.journal.classadlog import (
    DeleteAttribute,
    DestroyClassAd,
    HistoricalSequenceNumber,
    NewClassAd,
    Operation,
    SetAttribute,
)

__all__ = ["MYTYPE", "SHARED", "Ad", "Ads", "ads_of", "block", "transaction"]

MYTYPE = "MyType"
"""The attribute that says what an ad is; here it stands bare, as operation 101 has it."""

Ad = dict[str, str]
"""Attribute to expression's text."""

SHARED = 2000
"""How many different expressions are remembered, to be held once: the first are the commonest."""


class Ads:
    """The ads that a log leaves, as it is read.

    Attributes:
        found: Key to ad, in the order in which they came into being.
        first: The log's sequence number and the time of its making; zeros if it has none.
    """

    def __init__(self) -> None:
        """Start with none."""
        self.found: dict[str, Ad] = {}
        self.first = HistoricalSequenceNumber(0, 0)
        self._shared: dict[str, str] = {}

    def take(self, operation: Operation) -> None:
        """Carry out one operation."""
        if isinstance(operation, SetAttribute):
            key, name, text = operation
            if len(self._shared) < SHARED:
                self._shared.setdefault(text, text)
            text = self._shared.get(text, text)
            if name == MYTYPE:
                text = text.strip('"')  # HTCondor writes the type as an attribute too
            try:
                self.found[key][sys.intern(name)] = text
            except KeyError:
                self.found[key] = {name: text}
        elif isinstance(operation, NewClassAd):
            self.found.setdefault(operation.key, {})[MYTYPE] = operation.mytype
        elif isinstance(operation, DestroyClassAd):
            self.found.pop(operation.key, None)
        elif isinstance(operation, DeleteAttribute):
            self.found.get(operation.key, {}).pop(operation.name, None)
        else:
            self.first = operation


def ads_of(operations: Iterable[Operation]) -> dict[str, Ad]:
    """Return the ads that a log's operations leave."""
    ads = Ads()
    for operation in operations:
        ads.take(operation)
    return ads.found


def block(key: str, ad: Mapping[str, str]) -> bytes:
    """Return the lines that make an ad; an empty ad is none.

    Args:
        key: The ad's.
        ad: From the project's own attributes, or from a log that was read.

    Raises:
        ValueError: If a line would read as something else.
    """
    if not ad:
        return b""
    head = classadlog.encode(NewClassAd(key, ad[MYTYPE]))
    start = f"103 {key} "
    lines = [f"{start}{name} {text}\n" for name, text in ad.items() if name != MYTYPE]
    made = head + "".join(lines)
    if made.count("\n") != len(ad) or "\0" in made:
        raise ValueError(f"a value of {key} is longer than a line")
    return made.encode("utf-8", "surrogateescape")


def transaction(lines: bytes) -> bytes:
    """Return a log's lines as one transaction; none at all is none."""
    return b"105 \n%s106 \n" % lines if lines else b""
