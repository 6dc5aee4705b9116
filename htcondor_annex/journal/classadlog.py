"""The text of HTCondor's ClassAd transaction log: operations to lines and back. Pure.

One operation a line, as HTCondor's `classad_log.cpp` writes and reads them: a number, blanks, and
the operation's words. A transaction is what stands between 105 and 106; each of these two is
followed by one blank, or HTCondor's own reader refuses it. Anything after the last 106 that is no
whole transaction was never committed.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

__all__ = [
    "DamageError",
    "DeleteAttribute",
    "DestroyClassAd",
    "HistoricalSequenceNumber",
    "Loaded",
    "NewClassAd",
    "Operation",
    "SetAttribute",
    "encode",
    "encode_transaction",
    "load",
]

EMPTY_TYPE = "(empty)"
"""How HTCondor writes a type that is not there (classad_log.h, EMPTY_CLASSAD_TYPE_NAME)."""


class NewClassAd(NamedTuple):
    """101: an ad comes into being."""

    key: str
    mytype: str
    targettype: str = EMPTY_TYPE


class DestroyClassAd(NamedTuple):
    """102: an ad is no more."""

    key: str


class SetAttribute(NamedTuple):
    """103: an attribute gets an expression (ClassAd text, one line)."""

    key: str
    name: str
    expression: str


class DeleteAttribute(NamedTuple):
    """104: an attribute goes."""

    key: str
    name: str


class HistoricalSequenceNumber(NamedTuple):
    """107: the first line of a log; `created` is epoch seconds."""

    number: int
    created: int


Operation = NewClassAd | DestroyClassAd | SetAttribute | DeleteAttribute | HistoricalSequenceNumber

_BEGIN = "105 \n"
_END = "106 \n"
_WORD = re.compile(r"[!-~]+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class DamageError(ValueError):
    """A log holds something that no crash of a writer can leave.

    Attributes:
        line: Its number, from 1.
        reason: What is wrong with it.
    """

    def __init__(self, line: int, reason: str) -> None:
        """Hold the place and the reason."""
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


class Loaded(NamedTuple):
    """What a log holds.

    Attributes:
        operations: Those that were committed, in order.
        good: How many bytes of the text hold them; what follows was never committed.
        transactions: How many transactions there were.
    """

    operations: list[Operation]
    good: int
    transactions: int


def _word(text: str) -> str:
    if not _WORD.fullmatch(text):
        raise ValueError(f"{text!r} cannot be a word of a ClassAd log")
    return text


def encode(operation: Operation) -> str:
    """Return an operation as its line.

    Raises:
        ValueError: If a word holds a blank, or an expression a line break.
    """
    match operation:
        case NewClassAd(key, mytype, targettype):
            return f"101 {_word(key)} {_word(mytype)} {_word(targettype)}\n"
        case DestroyClassAd(key):
            return f"102 {_word(key)}\n"
        case SetAttribute(key, name, expression):
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} cannot name an attribute")
            if not expression.strip() or "\n" in expression or "\0" in expression:
                raise ValueError(f"the value of {name} is empty or longer than a line")
            return f"103 {_word(key)} {name} {expression}\n"
        case DeleteAttribute(key, name):
            return f"104 {_word(key)} {_word(name)}\n"
        case HistoricalSequenceNumber(number, created):
            return f"107 {number} CreationTimestamp {created}\n"


def encode_transaction(operations: Iterable[Operation]) -> str:
    """Return operations as one transaction, to be written in one write."""
    return _BEGIN + "".join(map(encode, operations)) + _END


def _decode(line: str) -> Operation:
    """Return one line's operation; raises ValueError if it is none."""
    code, _, rest = line.partition(" ")
    match code:
        case "101":
            # HTCondor itself leaves out types that are empty.
            key, *types = rest.split()
            mytype, targettype = (*types, EMPTY_TYPE, EMPTY_TYPE)[:2]
            return NewClassAd(key, mytype, targettype)
        case "102":
            (key,) = rest.split()
            return DestroyClassAd(key)
        case "103":
            key, name, expression = rest.split(" ", 2)
            if not (key and name and expression.strip()):
                raise ValueError("an attribute without a value")
            return SetAttribute(key, name, expression)
        case "104":
            key, name = rest.split()
            return DeleteAttribute(key, name)
        case "107":
            number, _, created = rest.split()
            return HistoricalSequenceNumber(int(number), int(created))
    raise ValueError(f"no operation has the number {code[:20]!r}")


def _lines(data: bytes) -> Iterator[tuple[int, bytes, bool]]:
    """Yield each line with the offset of its end, and whether it is whole."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start)
        whole = end >= 0
        stop = end + 1 if whole else len(data)
        yield stop, data[start : end if whole else stop], whole
        start = stop


class _Reader:
    """What has been read so far."""

    def __init__(self) -> None:
        self.committed: list[Operation] = []
        self.pending: list[Operation] | None = None
        self.good = self.transactions = 0
        self.fault: DamageError | None = None

    def begin(self, number: int) -> None:
        if self.pending is not None:
            raise self.fault or DamageError(number, "a transaction begins inside another")
        self.pending = []

    def end(self, number: int, offset: int) -> None:
        if self.fault is not None:
            raise self.fault  # the transaction was closed, so this is damage
        if self.pending is None:
            raise DamageError(number, "a transaction ends that never began")
        self.committed += self.pending
        self.pending, self.good = None, offset
        self.transactions += 1

    def operation(self, number: int, offset: int, text: str) -> None:
        try:
            operation = _decode(text)
        except ValueError as error:
            fault = DamageError(number, str(error))
            # A power cut can leave blocks of zeros in what was being written, and nothing else.
            if self.pending is None or "\0" not in text:
                raise fault from error
            self.fault = self.fault or fault
            return
        if self.pending is None:
            self.committed.append(operation)
            self.good = offset
        else:
            self.pending.append(operation)


def load(data: bytes) -> Loaded:
    """Read a whole log.

    An unfinished last transaction, or a torn last line, is left out: its commit never returned.

    Args:
        data: The log's bytes.

    Raises:
        DamageError: If anything else is not as a log must be. Nothing is skipped in silence.
    """
    reader = _Reader()
    for number, (offset, raw, whole) in enumerate(_lines(data), 1):
        if not whole:
            break  # torn: the write did not finish
        text = raw.decode("utf-8", errors="surrogateescape")
        mark = text.rstrip(" ")
        if mark == "105":
            reader.begin(number)
        elif mark == "106":
            reader.end(number, offset)
        else:
            reader.operation(number, offset, text)
    return Loaded(reader.committed, reader.good, reader.transactions)
