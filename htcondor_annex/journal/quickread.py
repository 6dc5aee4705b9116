"""A journal of many annexes, read quickly: whole transactions instead of lines.

A transaction of the usual form, all about one ad, is recognised at a glance and kept as its text;
whatever else there is goes line by line through `classadlog`, which alone decides what is damage.
An ad is put together when it is asked for, so that many need little memory. Pure.
"""

import re
import sys

from htcondor_annex.journal import classadlog
from htcondor_annex.journal.ads import MYTYPE, SHARED, Ad, block
from htcondor_annex.journal.classadlog import (
    DestroyClassAd,
    End,
    HistoricalSequenceNumber,
    Operation,
)

__all__ = ["Texts", "read"]

_USUAL = re.compile(
    rb"105 \n(?=10[134] ([!-~]++))"
    rb"((?:101 \1 [!-~]++ [!-~]++\n)?+(?:103 \1 [A-Za-z_]\w*+ [!-~].*+\n|104 \1 [A-Za-z_]\w*+\n)*+)"
    rb"106 \n"
)


class Texts:
    """The ads that a log leaves, as the texts that made them.

    Attributes:
        found: Key to texts, in the order in which the ads came into being.
        first: The log's sequence number and the time of its making; zeros if it has none.
    """

    def __init__(self) -> None:
        """Start with none."""
        self.found: dict[str, list[bytes]] = {}
        self.first = HistoricalSequenceNumber(0, 0)
        self._shared: dict[str, str] = {}

    def add(self, key: str, text: bytes) -> None:
        """Carry out lines that are all about one ad, and do not end it."""
        self.found.setdefault(key, []).append(text)

    def drop(self, key: str) -> None:
        """End an ad, if there is one."""
        self.found.pop(key, None)

    def take(self, operation: Operation) -> None:
        """Carry out any one operation."""
        if isinstance(operation, HistoricalSequenceNumber):
            self.first = operation
        elif isinstance(operation, DestroyClassAd):
            self.drop(operation.key)
        else:
            self.add(operation.key, classadlog.encode(operation).encode("utf-8", "surrogateescape"))

    def put_together(self, key: str) -> Ad:
        """Return an ad, and keep one text of it from now on: its block.

        Raises:
            ValueError: If it has no type.
        """
        texts = self.found[key]
        ad: Ad = {}
        bare = ""
        shared = self._shared
        for line in b"".join(texts).decode("utf-8", "surrogateescape").split("\n")[:-1]:
            words = line.split(" ", 3)
            code, name = words[0], words[2]
            if code == "103":
                value = words[3]
                if len(shared) < SHARED:
                    shared.setdefault(value, value)
                ad[sys.intern(name)] = shared.get(value, value)
            elif code == "101":
                ad[MYTYPE] = bare = name
            else:
                ad.pop(name, None)
        if MYTYPE not in ad:
            raise ValueError(f"{key} has no type")
        if ad[MYTYPE] is not bare:  # HTCondor writes the type as an attribute too
            ad[MYTYPE] = ad[MYTYPE].strip('"')
        (text, *more) = texts
        if more or not text.startswith(b"101"):
            text = block(key, ad)
        self.found[key] = [text]
        return ad

    def block(self, key: str) -> bytes:
        """Return an ad's block."""
        if len(self.found[key]) > 1:
            self.put_together(key)
        return self.found[key][0]


def read(data: bytes) -> tuple[Texts, End]:
    """Read a whole log, as `classadlog.read` does.

    Raises:
        DamageError: As there.
    """
    texts = Texts()
    reader = classadlog.Reader(texts.take)
    usual = b"\0" not in data
    number, counted, position = 1, 0, 0
    while position < len(data):
        if usual and reader.idle:
            after, transactions = _take_usual(data, position, texts.found)
            reader.skip(after - position, transactions)
            position = after
        end = data.find(b"\n", position) + 1
        if not end:
            break  # the end, or torn: the write did not finish
        number += data.count(b"\n", counted, position)
        reader.line(number, data[position:end].decode("utf-8", "surrogateescape"))
        counted, position = position, end
    return texts, reader.so_far


def _take_usual(data: bytes, position: int, found: dict[str, list[bytes]]) -> tuple[int, int]:
    """Take transactions of the usual form; return where they end, and how many they were."""
    transactions = 0
    while match := _USUAL.match(data, position):
        found.setdefault(match[1].decode(), []).append(match[2])
        position = match.end()
        transactions += 1
    return position, transactions
