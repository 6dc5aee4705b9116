"""The lock that keeps a second daemon off a journal."""

import contextlib
import fcntl
import os
from pathlib import Path

from htcondor_annex.errors import JournalError, JournalHeldError

__all__ = ["Lock", "holder"]

_WIDTH = 20  # of a process id in the file: always the same bytes are written, in place


class Lock:
    """A held lock; the kernel lets go of it with the process, however that ends.

    It has a file of its own: compaction replaces the journal's.
    """

    def __init__(self, journal: str) -> None:
        """Take it.

        Args:
            journal: The journal's path.

        Raises:
            JournalHeldError: If another process holds it, naming that process.
            JournalError: If its file cannot be made.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._descriptor = os.open(_path(journal), flags, 0o600)
        except OSError as error:
            raise JournalError(
                f"the journal {journal} cannot be locked: {error.strerror}",
                advice="ANNEXD_JOURNAL must be in a directory that annexd's user can write.",
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            pid = _pid(self._descriptor)
            os.close(self._descriptor)
            if not isinstance(error, BlockingIOError):
                raise JournalError(
                    f"the journal {journal} cannot be locked: {error.strerror}"
                ) from error
            raise JournalHeldError(
                f"the journal {journal} is held by another annexd (process {pid or 'unknown'})"
            ) from error
        with contextlib.suppress(OSError):  # a full disk: the lock holds, it only names nobody
            os.pwrite(self._descriptor, str(os.getpid()).ljust(_WIDTH - 1).encode() + b"\n", 0)

    def release(self) -> None:
        """Let go of it."""
        os.close(self._descriptor)


def _path(journal: str) -> str:
    return journal + ".lock"


def _pid(descriptor: int) -> int:
    """Return the process that a lock's file names, 0 for none."""
    text = os.pread(descriptor, _WIDTH, 0).decode("ascii", "replace").strip()
    return int(text) if text.isdecimal() else 0


def holder(journal: str) -> int | None:
    """Return the process that holds a journal, 0 if it is not known which, or None for no one.

    The lock is not touched, which could keep off a daemon that is just starting: the kernel's
    list of locks is read (proc(5), /proc/locks).
    """
    try:
        status = Path(_path(journal)).stat()
        locks = Path("/proc/locks").read_text(encoding="ascii")
        descriptor = os.open(_path(journal), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        pid = _pid(descriptor)
    finally:
        os.close(descriptor)
    # The device's number is left out: of layered file systems the kernel has two.
    inode = f":{status.st_ino} "
    held = any(" FLOCK " in line and inode in line for line in locks.splitlines())
    return pid if held else None
