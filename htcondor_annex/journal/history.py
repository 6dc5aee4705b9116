"""The history: annexes that have come to their end, in HTCondor's long form.

An ad is its `Name = value` lines, then a banner as HTCondor's own history files have it, so that
`condor_history -file` reads it. What stands behind the last banner is an ad whose writing a crash
cut short. Full files are renamed as HTCondor renames them: `FILE.YYYYMMDDTHHMMSS`, local time.

Blocking; `store` calls it in a thread.
"""

import contextlib
import io
import itertools
import logging
import os
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from htcondor_annex.annex import Annex
from htcondor_annex.errors import JournalError
from htcondor_annex.journal import attributes
from htcondor_annex.journal.ads import MYTYPE, Ad
from htcondor_annex.journal.logfile import LogFile
from htcondor_annex.journal.quoting import Quoting

__all__ = ["RECENT", "History", "HistoryFile"]

RECENT = 10_000
"""How many annexes that ended lately are remembered at most."""

_log = logging.getLogger(__name__)

_BANNER = "*** "
_FIRST = f'{MYTYPE} = "{attributes.MYTYPE}"'
"""The first line of every ad of ours."""
_TAIL_BYTES = 32 * 1024 * 1024  # of the newest files, read at most at start
_AD_BYTES = 1024 * 1024  # an ad is smaller
_ROTATED = re.compile(r"\d{8}T\d{6}", re.ASCII)


class HistoryFile(NamedTuple):
    """Where the history is, and how much of it is kept.

    Attributes:
        path: The newest file.
        max_bytes: A file that would grow beyond is renamed first.
        rotations: How many renamed files are kept.
    """

    path: str
    max_bytes: int = 20 * 1024 * 1024
    rotations: int = 2


class History:
    """The history's files.

    Attributes:
        recent: Those that ended lately, the oldest first.
    """

    def __init__(self, place: HistoryFile, quoting: Quoting) -> None:
        """Read what ended lately. What cannot be read is said, and is no error."""
        self._place = place
        self._quoting = quoting
        self._file: LogFile | None = None
        self.recent: deque[Annex] = deque(maxlen=RECENT)
        known: dict[str, str | int] = {}
        unreadable = 0
        for ad in _latest(place.path):
            try:
                annex = quoting.annex(ad, known)
            except (KeyError, ValueError):
                unreadable += 1
            else:
                self.recent.append(annex)
        if unreadable:
            _log.warning("%s: %d ads cannot be read, and are left alone", place.path, unreadable)

    def append(self, annexes: Sequence[Annex]) -> None:
        """Add annexes; on the disk when this returns, not there at all when it raises.

        Raises:
            JournalError: If the disk is full or failing, or the file is not ours.
        """
        file = self._opened()
        data = self._text(annexes, file.length)
        if file.length and file.length + len(data) > self._place.max_bytes:
            self._rotate()
            file = self._opened()
            data = self._text(annexes, file.length)
        if file.suspect:
            file.replace([file.read(), data])
        else:
            file.append(data)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _text(self, annexes: Iterable[Annex], offset: int) -> bytes:
        """Return ads and their banners, as they stand from a byte of the file on."""
        made: list[bytes] = []
        for annex in annexes:
            ad = self._quoting.ad(annex)
            lines = [_FIRST, *(f"{name} = {text}" for name, text in ad.items() if name != MYTYPE)]
            ended = int(time.time()) if annex.ended is None else annex.ended
            owner = self._quoting.quote(annex.owner.name)
            # HTCondor's reader wants the fields of a job's banner; an annex has no job's number.
            lines.append(
                f"{_BANNER}Offset = {offset} ClusterId = 0 ProcId = 0 Owner = {owner} "
                f"CompletionDate = {ended}\n"
            )
            made.append("\n".join(lines).encode())
            offset += len(made[-1])
        return b"".join(made)

    def _opened(self) -> LogFile:
        """Return the file, with nothing behind its last banner."""
        if self._file is None:
            file = LogFile.open(self._place.path, "the history")
            try:
                self._mend(file)
            except JournalError:
                file.close()
                raise
            self._file = file
        return self._file

    def _mend(self, file: LogFile) -> None:
        good = offset = max(0, file.length - _AD_BYTES)
        first = ""
        with file.lines(good) as lines:
            for line in lines:
                offset += len(line.encode("utf-8", "surrogateescape"))
                if line.startswith(_BANNER) and line.endswith("\n"):
                    good, first = offset, ""
                else:
                    first = first or line
        if good == offset:
            return
        # Only what begins as our own ads do, or is nothing, is ours to take away.
        begun = first.rstrip("\n\0")
        if begun != _FIRST and not (_FIRST.startswith(begun) and offset - good == len(first)):
            raise JournalError(
                f"the history {file.path} ends in what is no ad of annexd's, and is left alone",
                advice="Name another file in ANNEXD_HISTORY, or move this one away.",
            )
        file.cut(good)

    def _rotate(self) -> None:
        """Give the file its time's name, and forget the oldest of such files."""
        path = self._place.path
        self.close()
        try:
            os.rename(path, _free_name(path))  # noqa: PTH104  (one way for all done to files)
        except OSError as error:
            raise JournalError(f"the history {path} cannot be renamed: {error.strerror}") from error
        for old in _rotated(path)[: -self._place.rotations or None]:
            with contextlib.suppress(OSError):  # tried again at the next renaming
                os.unlink(old)  # noqa: PTH108  (as above)


def _free_name(path: str) -> str:
    """Return the name that HTCondor would give a full file now, or the first later one."""
    for second in itertools.count(int(time.time())):
        name = f"{path}.{datetime.fromtimestamp(second).astimezone():%Y%m%dT%H%M%S}"
        if not Path(name).exists():
            return name
    raise AssertionError("time has no end")


def _rotated(path: str) -> list[str]:
    """Return the names of the full files, the oldest first."""
    parent, name = Path(path).parent, Path(path).name + "."
    try:
        found = sorted(entry.name for entry in parent.iterdir() if entry.name.startswith(name))
    except OSError:
        return []
    return [str(parent / one) for one in found if _ROTATED.fullmatch(one.removeprefix(name))]


def _latest(path: str) -> Iterator[Ad]:
    """Yield the ads of the newest files, the oldest first, as many as are worth reading."""
    wanted: list[tuple[str, int]] = []
    left = _TAIL_BYTES
    for name in [path, *reversed(_rotated(path))]:
        with contextlib.suppress(FileNotFoundError):
            size = Path(name).stat().st_size
            wanted.append((name, max(0, size - left)))
            left -= size
        if left <= 0:
            break
    for name, start in reversed(wanted):
        try:
            yield from _ads(name, start)
        except OSError as error:
            _log.warning("the history %s cannot be read: %s", name, error.strerror)


def _ads(path: str, start: int) -> Iterator[Ad]:
    """Yield a file's ads that have a banner behind them.

    Args:
        path: The file.
        start: The byte to start at; then the first ad may be half of one, and is left out.
    """
    ad: Ad = {}
    whole = start == 0
    with Path(path).open("rb") as file:
        file.seek(start)
        lines = io.TextIOWrapper(file, "utf-8", "surrogateescape", "\n")
        for line in lines:
            if not line.startswith(_BANNER):
                name, _, text = line.rstrip("\n").partition(" = ")
                ad[name] = text
            elif line.endswith("\n"):
                if ad and whole:
                    yield ad
                ad, whole = {}, True
        lines.detach()
    if ad:
        _log.warning("the history %s: its last ad was not finished, and is left out", path)
