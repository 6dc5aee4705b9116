"""The key reader: opens a user's key file *as that user*, and nothing else.

annexd gives up root at its start. Before that it forks this small process, which keeps root. For
each file it forks once more, becomes the calling user for good, opens the file, checks it, and
hands the open descriptor back over a socket pair: the kernel decides what the user may read.
Without root the daemon opens only its own user's files.
"""

import contextlib
import json
import os
import pwd
import signal
import socket
import stat
from collections.abc import Callable
from typing import Protocol

from htcondor_annex.aws.credentials import MAX_KEY_FILE
from htcondor_annex.daemon.helpers import fork_helper
from htcondor_annex.errors import AccessRefusedError, KeyFileError

__all__ = [
    "KeyReader",
    "OwnKeyReader",
    "RootKeyReader",
    "open_key_file",
    "user_name",
]

_MAX_MESSAGE = 16 * 1024
_OPEN_SECONDS = 10  # a file system that hangs must not hold the reader
_REPLY_SECONDS = 15.0


class KeyReader(Protocol):
    """Opens key files for callers."""

    def open(self, path: str, uid: int) -> int:
        """Return a descriptor of a user's key file; raises KeyFileError or AccessRefusedError."""


def user_name(uid: int) -> str:
    """Return the user's name, or the number where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _fault(path: str, reason: str, advice: str = "") -> KeyFileError:
    return KeyFileError(f"the key file {path} {reason}", advice=advice)


def open_key_file(path: str, uid: int) -> int:
    """Open a key file with the rights that this process has, and check it.

    Args:
        path: Absolute.
        uid: Who must own it.

    Returns:
        A descriptor, open for reading.

    Raises:
        KeyFileError: If it cannot be opened, is no regular file, is a link, is owned by someone
            else, is open to others, or is over 4 KiB.
    """
    if not path.startswith("/"):
        raise _fault(path, "is not named by an absolute path")
    try:
        # O_NONBLOCK: a FIFO in place of the file must not hold us.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
        descriptor = os.open(path, flags)
    except OSError as error:
        if os.path.islink(path):  # noqa: PTH114  (no pathlib: this process is kept small)
            raise _fault(path, "is a symbolic link", "Name the file itself.") from error
        raise _fault(path, f"cannot be opened by {user_name(uid)}: {error.strerror}") from error
    try:
        found = os.fstat(descriptor)
        mode = stat.S_IMODE(found.st_mode)
        if not stat.S_ISREG(found.st_mode):
            kind = "a directory" if stat.S_ISDIR(found.st_mode) else "not a regular file"
            raise _fault(path, f"is {kind}")
        if found.st_uid != uid:
            raise _fault(
                path,
                f"is owned by {user_name(found.st_uid)}, not by {user_name(uid)}",
                "Use a copy that is your own.",
            )
        if mode & 0o077:
            raise _fault(path, f"is open to others (mode {mode:04o})", f"Run: chmod 600 {path}")
        if found.st_size > MAX_KEY_FILE:
            raise _fault(path, f"has {found.st_size} bytes; a key file has at most {MAX_KEY_FILE}")
    except KeyFileError:
        os.close(descriptor)
        raise
    return descriptor


class OwnKeyReader:
    """The reader of a daemon without root: its own user's files only."""

    def open(self, path: str, uid: int) -> int:
        """Return a descriptor of the file, if it is asked for by the daemon's own user."""
        if uid != os.geteuid():
            raise AccessRefusedError(
                f"annexd runs as {user_name(os.geteuid())} and cannot read the key files of "
                f"{user_name(uid)}",
                advice="Ask as that user, or have annexd started as root (it gives root up).",
            )
        return open_key_file(path, uid)


def _become(uid: int) -> None:
    """Give up root for a user, for good."""
    try:
        entry = pwd.getpwuid(uid)
        name, gid = entry.pw_name, entry.pw_gid
    except KeyError:
        name, gid = "", uid
    if name:
        os.initgroups(name, gid)
    else:
        os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def _answer(reply: socket.socket, request: bytes, become: Callable[[int], None]) -> None:
    """Answer one request; runs in a process of its own."""
    signal.alarm(_OPEN_SECONDS)
    asked = json.loads(request)
    try:
        become(asked["uid"])
        descriptor = open_key_file(asked["path"], asked["uid"])
    except KeyFileError as error:
        answer = {"message": error.message, "advice": error.advice}
        reply.send(json.dumps(answer).encode())
    else:
        socket.send_fds(reply, [b"{}"], [descriptor])


def _serve(channel: socket.socket) -> None:
    """Answer requests until the daemon closes its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    while True:
        request, descriptors, _, _ = socket.recv_fds(channel, _MAX_MESSAGE, 1)
        if not request:
            return
        with socket.socket(fileno=descriptors[0]) as reply:
            if os.fork() == 0:
                status = 1
                try:
                    _answer(reply, request, _become)
                    status = 0
                finally:
                    os._exit(status)


class RootKeyReader:
    """The daemon's end of the key reader; safe in threads."""

    def __init__(self, channel: socket.socket, pid: int) -> None:
        """Hold the channel and the reader's process id."""
        self._channel = channel
        self.pid = pid

    @classmethod
    def start(cls) -> "RootKeyReader":
        """Fork the reader; to be called as root, before any thread exists."""
        return cls(*fork_helper(_serve))

    def open(self, path: str, uid: int) -> int:
        """Return a descriptor of the user's file, opened as that user."""
        request = json.dumps({"uid": uid, "path": path}).encode()
        if len(request) > _MAX_MESSAGE:
            raise _fault(path[:80] + "...", "has too long a name")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            ours.settimeout(_REPLY_SECONDS)
            try:
                with theirs:
                    socket.send_fds(self._channel, [request], [theirs.fileno()])
                answer, descriptors, _, _ = socket.recv_fds(ours, _MAX_MESSAGE, 1)
            except OSError as error:
                raise _fault(path, f"cannot be opened: no answer ({error})") from error
        if descriptors:
            return descriptors[0]
        if not answer:  # its process died: the alarm, or a defect
            raise _fault(path, f"could not be opened within {_OPEN_SECONDS} seconds")
        reason = json.loads(answer)
        raise KeyFileError(reason["message"], advice=reason["advice"])

    def close(self) -> None:
        """End the reader: it sees its channel close."""
        self._channel.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
