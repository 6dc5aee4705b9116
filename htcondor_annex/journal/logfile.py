"""The journal's file: one writer, appended to and replaced so that a crash loses nothing committed.

Blocking; `store` calls it in a thread.
"""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Self

from htcondor_annex.errors import JournalError, JournalHeldError

__all__ = ["MAX_JOURNAL", "LogFile"]

MAX_JOURNAL = 1024 * 1024 * 1024
"""Bytes; far beyond what annexes need: a larger file is not ours."""


class LogFile:
    """A file that grows by whole writes, each on the disk before it counts."""

    def __init__(self, path: str, descriptor: int, lock: int) -> None:
        """Hold the open file; use `open`."""
        self.path = path
        self._descriptor = descriptor
        self._lock = lock
        self._length = os.fstat(descriptor).st_size
        self._torn = False

    @classmethod
    def open(cls, path: str) -> Self:
        """Open the file, 0600, made if there is none; hold its lock until `close`.

        Raises:
            JournalHeldError: If another process holds it, naming that process.
            JournalError: If it cannot be opened.
        """
        lock = -1
        try:
            # The lock has a file of its own: compaction replaces the journal's.
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            lock = os.open(path + ".lock", flags, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
                raise JournalHeldError(
                    f"the journal {path} is held by another annexd (process {holder})"
                ) from error
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
            descriptor = os.open(path, flags | os.O_APPEND, 0o600)
            _sync_directory(path)
        except OSError as error:
            if lock >= 0:
                os.close(lock)
            raise JournalError(
                f"the journal {path} cannot be opened: {error.strerror}",
                advice="ANNEXD_JOURNAL must be in a directory that annexd's user can write.",
            ) from error
        except JournalHeldError:
            os.close(lock)
            raise
        return cls(path, descriptor, lock)

    def read(self) -> bytes:
        """Return the whole content.

        Raises:
            JournalError: If it cannot be read, or is larger than a journal can be.
        """
        if self._length > MAX_JOURNAL:
            raise JournalError(
                f"the journal {self.path} has {self._length} bytes: that is not ours"
            )
        try:
            with open(self.path, "rb") as file:  # noqa: PTH123  (a string for the messages)
                return file.read()
        except OSError as error:
            raise JournalError(f"the journal {self.path} cannot be read: {error}") from error

    def cut(self, length: int) -> None:
        """Take away what stands behind the first `length` bytes: a commit that never returned."""
        os.ftruncate(self._descriptor, length)
        os.fdatasync(self._descriptor)
        self._length = length

    def append(self, data: bytes) -> None:
        """Add to the end; on the disk when this returns, not there at all when it raises.

        Raises:
            JournalError: If the disk is full or failing.
        """
        try:
            if self._torn:
                self.cut(self._length)
                self._torn = False
            self._torn = True
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]
            os.fdatasync(self._descriptor)
        except OSError as error:
            with contextlib.suppress(
                OSError
            ):  # else at the next append, before anything is written
                self.cut(self._length)
                self._torn = False
            raise JournalError(
                f"the journal {self.path} cannot be written: {error.strerror}",
                advice="annexd takes no new annex until it can; make room, or mend the disk.",
            ) from error
        self._torn = False
        self._length += len(data)

    def replace(self, data: bytes) -> None:
        """Put a new content in place of the old, whole or not at all.

        Raises:
            JournalError: If that cannot be done; the old content then stands.
        """
        temporary = self.path + ".tmp"
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(temporary, flags, 0o600)
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(descriptor, view) :]
                os.fsync(descriptor)
                Path(temporary).replace(self.path)
                _sync_directory(self.path)
            except OSError:
                os.close(descriptor)
                raise
        except OSError as error:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise JournalError(
                f"the journal {self.path} cannot be rewritten: {error.strerror}"
            ) from error
        os.close(self._descriptor)
        self._descriptor, self._length, self._torn = descriptor, len(data), False

    @property
    def length(self) -> int:
        """Bytes."""
        return self._length

    def close(self) -> None:
        """Close the file and let go of its lock."""
        os.close(self._descriptor)
        os.close(self._lock)


def _sync_directory(path: str) -> None:
    directory = os.open(Path(path).parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
