"""The text of HTCondor's ClassAd transaction log: operations to lines and back. Pure.

One operation a line, as HTCondor's `classad_log.cpp` writes and reads them: a number, blanks, and
the operation's words. A transaction is what stands between 105 and 106; each of these two is
followed by one blank, or HTCondor's own reader refuses it. Anything after the last 106 that is no
whole transaction was never committed.
"""

import io
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

__all__ = [
    "DamageError",
    "DeleteAttribute",
    "DestroyClassAd",
    "End",
    "HistoricalSequenceNumber",
    "Loaded",
    "NewClassAd",
    "Operation",
    "Reader",
    "SetAttribute",
    "decode",
    "encode",
    "encode_transaction",
    "load",
    "read",
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

BEGIN = "105"
END = "106"
_SET_WORDS = 4
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


class End(NamedTuple):
    """How far a log is good.

    Attributes:
        good: How many bytes of it hold what was committed; what follows never was.
        transactions: How many transactions there were; none in a log that was closed cleanly.
    """

    good: int
    transactions: int


class Loaded(NamedTuple):
    """What a log holds: its committed operations, in order; the rest as in `End`."""

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
    return f"{BEGIN} \n" + "".join(map(encode, operations)) + f"{END} \n"


def _check(words: list[str], least: int, most: int) -> list[str]:
    if not least <= len(words) <= most:
        wanted = str(most) if least == most else f"{least} to {most}"
        raise ValueError(f"{len(words)} words where {wanted} must be")
    return words


def _writable(operation: Operation) -> Operation:
    """Return an operation that could be written as well; raises ValueError if it could not."""
    encode(operation)
    return operation


def decode(line: str) -> Operation:
    """Return one line's operation.

    Args:
        line: Without its end, and no mark of a transaction.

    Raises:
        ValueError: If it is none, with the reason.
    """
    if "\0" in line:
        raise ValueError("it holds zeros")
    words = line.split(" ", 3)
    code = words[0]
    if code == "103":
        if len(words) != _SET_WORDS or not (words[1] and words[2] and words[3].strip()):
            raise ValueError("an attribute without a value")
        return _writable(SetAttribute(words[1], words[2], words[3]))
    words = line.split()[1:]
    match code:
        case "101":
            # HTCondor itself leaves out types that are empty.
            key, *types = _check(words, 1, 3)
            return _writable(NewClassAd(key, *(*types, EMPTY_TYPE, EMPTY_TYPE)[:2]))
        case "102":
            return _writable(DestroyClassAd(*_check(words, 1, 1)))
        case "104":
            return _writable(DeleteAttribute(*_check(words, 2, 2)))
        case "107":
            number, _, created = _check(words, 3, 3)
            return HistoricalSequenceNumber(int(number), int(created))
    raise ValueError(f"no operation has the number {code[:20]!r}")


class Reader:
    """Reads a log line by line, and hands on what was committed."""

    def __init__(self, take: Callable[[Operation], object]) -> None:
        """Start at the log's first line.

        Args:
            take: Is given each operation that was committed, in order.
        """
        self._take = take
        self._pending: list[Operation] | None = None
        self._offset = self._good = self._transactions = 0
        self._fault: DamageError | None = None

    @property
    def idle(self) -> bool:
        """Whether the next line is in no transaction."""
        return self._pending is None

    @property
    def so_far(self) -> End:
        """How far the log is good."""
        return End(self._good, self._transactions)

    def skip(self, length: int, transactions: int) -> None:
        """Count so many bytes of whole transactions, which somebody else has read."""
        self._offset += length
        self._transactions += transactions
        if transactions:
            self._good = self._offset

    def line(self, number: int, line: str) -> None:
        """Read a line.

        Args:
            number: The line's, from 1.
            line: With its end; decoded from UTF-8 with `surrogateescape`.

        Raises:
            DamageError: If it is not as a log must be.
        """
        self._offset += len(line if line.isascii() else line.encode("utf-8", "surrogateescape"))
        text = line[:-1]
        mark = text.rstrip(" ")
        if mark == BEGIN:
            self._begin(number)
        elif mark == END:
            self._end(number)
        else:
            self._operation(number, text)

    def _begin(self, number: int) -> None:
        if self._pending is not None:
            raise self._fault or DamageError(number, "a transaction begins inside another")
        self._pending = []

    def _end(self, number: int) -> None:
        if self._fault is not None:
            raise self._fault  # the transaction was closed, so this is damage
        if self._pending is None:
            raise DamageError(number, "a transaction ends that never began")
        for operation in self._pending:
            self._take(operation)
        self._pending, self._good = None, self._offset
        self._transactions += 1

    def _operation(self, number: int, text: str) -> None:
        try:
            operation = decode(text)
        except ValueError as error:
            fault = DamageError(number, str(error))
            # A power cut can leave blocks of zeros in what was being written, and nothing else.
            if self._pending is None or "\0" not in text:
                raise fault from error
            self._fault = self._fault or fault
            return
        if self._pending is None:
            self._take(operation)
            self._good = self._offset
        else:
            self._pending.append(operation)


def read(lines: Iterable[str], take: Callable[[Operation], object]) -> End:
    """Read a whole log, a line at a time.

    An unfinished last transaction, or a torn last line, is left out: its commit never returned.

    Args:
        lines: The log's, each with its end; decoded from UTF-8 with `surrogateescape`.
        take: Is given each operation that was committed, in order.

    Raises:
        DamageError: If anything else is not as a log must be. Nothing is skipped in silence.
    """
    reader = Reader(take)
    for number, line in enumerate(lines, 1):
        if line[-1] != "\n":
            break  # torn: the write did not finish
        reader.line(number, line)
    return reader.so_far


def load(data: bytes) -> Loaded:
    """Read a whole log that is in memory, as `read` does.

    Raises:
        DamageError: As `read`.
    """
    operations: list[Operation] = []
    with io.TextIOWrapper(io.BytesIO(data), "utf-8", "surrogateescape", "\n") as lines:
        return Loaded(operations, *read(lines, operations.append))
