"""Ads as their text: what a log's operations leave, and the operations that change one. Pure.

An ad that is kept for long is kept as its block: the lines that make it, as the log has them. That
takes a third of what a dictionary takes, is compared line by line, and is all that compaction has
to write.
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

__all__ = ["MYTYPE", "SHORT", "Ad", "Ads", "ads_of", "block", "transaction"]

MYTYPE = "MyType"
"""The attribute that says what an ad is; here it stands bare, as operation 101 has it."""

Ad = dict[str, str]
"""Attribute to expression's text."""

SHORT = 100  # characters of an expression that is likely to be in many ads


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
            if len(text) < SHORT:
                text = self._shared.setdefault(text, text)
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


def transaction(key: str, before: bytes, after: bytes) -> bytes:
    """Return the transaction that turns one block of an ad into another; nothing if they agree."""
    if before == after:
        return b""
    if not after:
        lines = [f"102 {key}".encode()]
    elif not before:
        lines = after.splitlines()
    else:
        old, new = before.splitlines(), after.splitlines()
        same = set(old)
        lines = [line for line in new if line not in same]
        stays = {_name(line) for line in new}
        gone = [name for name in map(_name, old) if name not in stays]
        lines += [b"104 %s %s" % (key.encode(), name) for name in gone]
    return b"\n".join([b"105 ", *lines, b"106 ", b""]) if lines else b""


def _name(line: bytes) -> bytes:
    """Return the attribute that a block's line sets; of the first line, the ad's type."""
    return line.split(b" ", 3)[2]
