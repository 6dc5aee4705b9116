"""A file that is appended to and replaced so that a crash loses nothing that was committed.

Blocking; the journal and the history call it in a thread.

After an error of fdatasync the kernel may have thrown away what was to be written, and says so
once: a later fdatasync that succeeds proves nothing. The file is then `suspect`, and what it should
hold has to be written anew, into another file. The same is true of an error of write, unless it is
one that left the file alone, because there was no room.
"""

import contextlib
import errno
import io
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from htcondor_annex.errors import JournalError

__all__ = ["MAX_BYTES", "LogFile"]

MAX_BYTES = 1024 * 1024 * 1024
"""Far beyond what annexes need: a larger file is not ours."""

_CHUNK = 1024 * 1024
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_ADVICE = "annexd takes no new annex until it can; make room, or mend the disk."


class LogFile:
    """An open file, of which this process is the only writer.

    Attributes:
        path: Its name.
        what: What it is, for messages.
        length: How many bytes of it count.
        suspect: What it holds need not be on the disk: only `replace` makes it good again.
    """

    def __init__(self, path: str, what: str, descriptor: int) -> None:
        """Hold an open file; use `open`."""
        self.path = path
        self.what = what
        self.suspect = False
        self.length = os.fstat(descriptor).st_size
        self._descriptor = descriptor
        self._torn = False

    @classmethod
    def open(cls, path: str, what: str) -> Self:
        """Open a file, made if there is none: 0600.

        Args:
            path: Its name.
            what: What it is, for messages: `the journal`.

        Raises:
            JournalError: If it cannot be opened or made.
        """
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            with contextlib.suppress(FileNotFoundError):  # a crash has left it; it takes room
                os.unlink(_temporary(path))  # noqa: PTH108  (one way for all that is done to files)
            try:
                descriptor = os.open(path, flags)
            except FileNotFoundError:
                descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
                _sync_directory(path)
        except OSError as error:
            raise JournalError(
                f"{what} {path} cannot be opened: {error.strerror}",
                advice="It must be in a directory that annexd's user can write.",
            ) from error
        return cls(path, what, descriptor)

    def lines(self, start: int = 0) -> io.TextIOWrapper:
        """Return the lines from a byte on, each with its end, to be closed by the reader."""
        os.lseek(self._descriptor, start, os.SEEK_SET)
        raw = open(self._descriptor, "rb", closefd=False)  # noqa: SIM115  (open already)
        return io.TextIOWrapper(raw, "utf-8", "surrogateescape", "\n")

    def read(self) -> bytes:
        """Return what counts of it.

        Raises:
            JournalError: If it cannot be read, or is larger than a file of ours can be.
        """
        if self.length > MAX_BYTES:
            raise JournalError(f"{self.what} {self.path} has {self.length} bytes: that is not ours")
        try:
            return os.pread(self._descriptor, self.length, 0)
        except OSError as error:
            raise self._error("cannot be read", error) from error

    def prove(self) -> None:
        """Make sure that the disk has what is read; what cannot be proved is suspect.

        What another process could not write may still stand in the kernel's memory.
        """
        try:
            os.fdatasync(self._descriptor)
            believed = self._digest()
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            self.suspect = self.suspect or self._digest() != believed
        except OSError:
            self.suspect = True

    def _digest(self) -> int:
        digest = offset = 0
        while data := os.pread(self._descriptor, _CHUNK, offset):
            digest = zlib.crc32(data, digest)
            offset += len(data)
        return digest

    def cut(self, length: int) -> None:
        """Take away what stands behind the first `length` bytes, as far as the disk lets."""
        self._torn = True
        self.length = length
        try:
            self._cut()
        except OSError:
            self.suspect = True

    def _cut(self) -> None:
        os.ftruncate(self._descriptor, self.length)
        os.fdatasync(self._descriptor)
        self._torn = False

    def append(self, data: bytes) -> None:
        """Add to the end; on the disk when this returns, not counted when it raises.

        Raises:
            JournalError: If the disk is full or failing, or the file is suspect.
        """
        if self.suspect:
            raise self._error("cannot be trusted", OSError(errno.EIO, os.strerror(errno.EIO)))
        try:
            if self._torn:
                self._cut()
            self._torn = True
            try:
                _write(self._descriptor, data)
            except OSError as error:
                self.suspect = error.errno not in _NO_ROOM
                raise
            self._sync()
        except OSError as error:
            self.cut(self.length)  # if not now, then before anything else is written
            raise self._error("cannot be written", error) from error
        self._torn = False
        self.length += len(data)

    def _sync(self) -> None:
        try:
            os.fdatasync(self._descriptor)
        except OSError:
            self.suspect = True
            raise

    def replace(self, parts: Iterable[bytes]) -> None:
        """Put a new content in place of the old.

        Args:
            parts: The content, in pieces.

        Raises:
            JournalError: If that cannot be done; the old content then stands (or, where only its
                name could not be brought to the disk, the new: the file is suspect).
        """
        temporary = _temporary(self.path)
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(temporary, flags, 0o600)
            try:
                length = _write_all(descriptor, parts)
                os.fsync(descriptor)
                os.replace(temporary, self.path)  # noqa: PTH105  (as above)
            except OSError:
                os.close(descriptor)
                raise
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108  (as above)
            raise self._error("cannot be rewritten", error) from error
        os.close(self._descriptor)
        self._descriptor, self.length, self._torn = descriptor, length, False
        self.suspect = True
        try:
            _sync_directory(self.path)
        except OSError as error:
            raise self._error("cannot be rewritten", error) from error
        self.suspect = False

    def _error(self, fate: str, error: OSError) -> JournalError:
        return JournalError(
            f"{self.what} {self.path} {fate}: {error.strerror}",
            advice=_ADVICE,
        )

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def _temporary(path: str) -> str:
    return path + ".tmp"


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _write_all(descriptor: int, parts: Iterable[bytes]) -> int:
    """Write many pieces in few writes; return how many bytes there were."""
    length, size, waiting = 0, 0, []
    for part in parts:
        waiting.append(part)
        size += len(part)
        if size >= _CHUNK:
            _write(descriptor, b"".join(waiting))
            length, size, waiting = length + size, 0, []
    _write(descriptor, b"".join(waiting))
    return length + size


def _sync_directory(path: str) -> None:
    directory = os.open(Path(path).parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
