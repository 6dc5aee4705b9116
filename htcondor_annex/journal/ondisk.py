"""The journal and the history as they stand on the disk: opened, written, compacted. Blocking."""

import contextlib
import gc
import itertools
import logging
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from htcondor_annex.annex import Annex
from htcondor_annex.errors import JournalError
from htcondor_annex.journal import attributes, classadlog, quickread
from htcondor_annex.journal.ads import MYTYPE, block, transaction
from htcondor_annex.journal.classadlog import HistoricalSequenceNumber
from htcondor_annex.journal.history import History, HistoryFile
from htcondor_annex.journal.lock import Lock
from htcondor_annex.journal.logfile import LogFile
from htcondor_annex.journal.quickread import Texts
from htcondor_annex.journal.quoting import Quoting

__all__ = [
    "DAEMON_KEY",
    "DAEMON_TYPE",
    "WAY_OUT",
    "OnDisk",
    "Written",
    "image",
    "read_annex",
    "wrong_type",
]

_log = logging.getLogger(__name__)

DAEMON_KEY = "annexd"
DAEMON_TYPE = "Annexd"
_COMPACT_BYTES = 4 * 1024 * 1024
_COMPACT_AGAIN_SECONDS = 60.0
WAY_OUT = (
    "Nothing was changed. `condor_annexd -check-journal` tells every line that is damaged; with "
    "-repair it keeps the file and writes a new journal with all that can be read."
)


class Written(NamedTuple):
    """What came of a write.

    Attributes:
        in_history: Whether the annexes that are over are in the history now.
        history_error: Why they are not.
        in_journal: Whether there was something to write to the journal, and it is there now.
        error: Why it is not.
    """

    in_history: bool
    history_error: JournalError | None
    in_journal: bool
    error: JournalError | None


class OnDisk:
    """What the disk has; used by one thread at a time.

    Attributes:
        annexd_id: The daemon's own UUID.
        annexes: Those that were found, by id, the oldest first.
        over: Those that have come to their end and could not be brought to the history yet.
        history: The history.
    """

    def __init__(self, path: str, quoting: Quoting, history: HistoryFile) -> None:
        """Open both, made where there are none.

        Raises:
            JournalHeldError: If another daemon holds the journal.
            JournalError: If the journal cannot be read, or is damaged, or is new and cannot be
                written.
        """
        self._quoting = quoting
        with contextlib.ExitStack() as undo:
            self._lock = Lock(path)
            undo.callback(self._lock.release)
            self._file = LogFile.open(path, "the journal")
            undo.callback(self._file.close)
            with _no_collection():
                clean = self._load()
                self.history = History(history, quoting)
            undo.callback(self.history.close)
            clean &= self._bring_over()
            if self._new:
                self._rewrite()
            elif not (clean or self.compact()):
                self._file.prove()
            undo.pop_all()

    # -- reading -------------------------------------------------------------------------------

    def _load(self) -> bool:
        """Read the journal; return whether it is as compaction would leave it."""
        file = self._file
        try:
            texts, end = quickread.read(file.read())
            self._take_up(texts)
        except classadlog.DamageError as damage:
            raise JournalError(
                f"the journal {file.path} is damaged: {damage}", advice=WAY_OUT
            ) from damage
        except (KeyError, ValueError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise JournalError(
                f"the journal {file.path} is damaged: {reason}", advice=WAY_OUT
            ) from error
        torn = file.length - end.good
        if torn:
            _log.warning(
                "%s: the last %d bytes were never committed, and are dropped", file.path, torn
            )
            file.cut(end.good)
        self._compact_at = max(_COMPACT_BYTES, 2 * file.length)
        self._not_before = 0.0
        self._compaction_fails = False
        return file.length == _image_length(texts) and not file.suspect

    def _take_up(self, texts: Texts) -> None:
        self._texts = texts
        self._new = not texts.found
        if self._new:
            self.annexd_id = str(uuid.uuid4())
            daemon = {MYTYPE: DAEMON_TYPE, "AnnexdID": self._quoting.quote(self.annexd_id)}
            texts.add(DAEMON_KEY, block(DAEMON_KEY, daemon))
        else:
            daemon = texts.put_together(DAEMON_KEY) if DAEMON_KEY in texts.found else {}
            if daemon.get(MYTYPE) != DAEMON_TYPE:
                raise ValueError(f"there is no ad {DAEMON_KEY!r} with the daemon's own id")
            self.annexd_id = self._quoting.unquote(daemon["AnnexdID"])
        self._kept: dict[str, Annex] = {}  # as the disk has them
        known: dict[str, str | int] = {}
        for key in texts.found:
            if key != DAEMON_KEY:
                ad = texts.put_together(key)
                self._kept[key] = read_annex(key, ad, self._quoting, known)
        self.annexes = dict(self._kept)

    def _bring_over(self) -> bool:
        """Bring what is over to the history; return whether there was nothing to bring."""
        recorded = {annex.identity.id: annex.created for annex in self.history.recent}
        # Recorded, but still here: a crash came between the two writes. (What was found in AWS
        # later under the same id, and taken up again, was not made at the same time.)
        done = [key for key, annex in self.annexes.items() if recorded.get(key) == annex.created]
        for key in done:
            del self.annexes[key]
        self.over = {key: annex for key, annex in self.annexes.items() if annex.over}
        for key, annex in self.over.items():
            del self.annexes[key]
            self.history.recent.append(annex)
        if not (done or self.over):
            return True
        gone = dict.fromkeys(self.over)
        written = self.write(dict.fromkeys(done), list(self.over.values()), gone)
        for error in (written.history_error, written.error):
            if error is not None:
                _log.error("%s", error)
        if written.in_history:
            self.over = {}
        return False

    # -- writing -------------------------------------------------------------------------------

    def write(
        self,
        wanted: Mapping[str, Annex | None],
        over: Sequence[Annex],
        then: Mapping[str, Annex | None],
    ) -> Written:
        """Bring changes to the disk, with one write and one fdatasync of the journal.

        Args:
            wanted: Key to annex; None takes one away.
            over: Annexes to bring to the history first.
            then: What is wanted as well, once they are there.
        """
        in_history, history_error = False, None
        if over:
            try:
                self.history.append(over)
            except JournalError as error:
                history_error = error
            else:
                in_history = True
                wanted = {**wanted, **then}
        try:
            return Written(in_history, history_error, self._write(wanted), None)
        except JournalError as error:
            return Written(in_history, history_error, False, error)  # noqa: FBT003  (a field)

    def _write(self, wanted: Mapping[str, Annex | None]) -> bool:
        changes = {
            key: self._quoting.change(key, self._kept.get(key), annex)
            for key, annex in wanted.items()
        }
        data = b"".join(map(transaction, changes.values()))
        if self._file.suspect:
            self._rewrite(data)
        elif data:
            self._file.append(data)
        else:
            return False
        for key, annex in wanted.items():
            if annex is None:
                self._texts.drop(key)
                self._kept.pop(key, None)
            elif changes[key]:
                self._texts.add(key, changes[key])
                self._kept[key] = annex
        return True

    def _rewrite(self, data: bytes = b"") -> None:
        """Write the mere state, and what is to be committed now, in place of the log."""
        before = self._texts.first
        first = HistoricalSequenceNumber(before.number + 1, before.created or int(time.time()))
        self._file.replace(itertools.chain(image(first, self._texts), [data]))
        self._texts.first = first
        self._compact_at = max(_COMPACT_BYTES, 2 * self._file.length)

    @property
    def wants_compaction(self) -> bool:
        """Whether the log has grown enough for it."""
        return self._file.length > self._compact_at and time.monotonic() >= self._not_before

    def compact(self) -> bool:
        """Write the mere state in place of the log; return whether that was possible.

        What is committed is safe without it.
        """
        try:
            self._rewrite()
        except JournalError as error:
            self._not_before = time.monotonic() + _COMPACT_AGAIN_SECONDS
            if not self._compaction_fails:
                self._compaction_fails = True
                _log.warning("%s; it is whole, and grows until that is possible", error)
            return False
        self._compaction_fails = False
        return True

    def close(self) -> None:
        """Let go of the files and of the lock."""
        self.history.close()
        self._file.close()
        self._lock.release()


def image(first: HistoricalSequenceNumber, texts: Texts) -> Iterator[bytes]:
    """Yield the parts of a log that holds a state and nothing else. Pure.

    HTCondor writes such a state bare. Here each annex is a transaction, so that a log that has lost
    its end, however that came, has lost whole annexes and holds no half of one.
    """
    yield classadlog.encode(first).encode()
    for key in texts.found:
        text = texts.block(key)
        yield text if key == DAEMON_KEY else transaction(text)


def _image_length(texts: Texts) -> int:
    return sum(map(len, image(texts.first, texts)))


def read_annex(
    key: str, ad: Mapping[str, str], quoting: Quoting, known: dict[str, str | int] | None = None
) -> Annex:
    """Return an ad's annex. Pure.

    Raises:
        ValueError: If it is none, with the reason.
    """
    if ad.get(MYTYPE) != attributes.MYTYPE:
        raise ValueError(wrong_type(key, ad))
    try:
        annex = quoting.annex(ad, known)
    except KeyError as error:
        raise ValueError(f"annex {key} has no {error.args[0]}") from error
    except ValueError as error:
        raise ValueError(f"annex {key}: {error}") from error
    if annex.identity.id != key:
        raise ValueError(f"the ad {key} holds the annex {annex.identity.id}")
    return annex


def wrong_type(key: str, ad: Mapping[str, str]) -> str:
    """Return what is wrong with the type of an ad that is no annex. Pure."""
    return f"{key} is of the type {ad[MYTYPE]}" if MYTYPE in ad else f"{key} has no type"


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Spare the garbage collector many objects of which none is garbage."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
