"""Crash points: a daemon that kills itself at one of the moments at which a crash counts.

A point is the moment before and after everything that is done to a file of the journal's and the
history's directory, the middle of a write, and the moment before a request to AWS is sent and
after its answer has come. No step, call or file is named here: the few functions of `os` that
change files are wrapped, and the one place through which botocore sends. So a new step has its
points without a change here.

At a `before` point the power fails: what the daemon wrote and no fsync has confirmed is gone. At
`torn` and `after` points the process alone dies: what it wrote stays. Either way it ends by
SIGKILL, so that nothing of it runs on.
"""

import functools
import os
import signal
import sys
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["AFTER", "BEFORE", "TORN", "Crash", "install"]

BEFORE, TORN, AFTER = "before", "torn", "after"

# What changes a file that is open, and what changes one by its name; these differ in how the
# file is found, and all else of them is the same.
_BY_DESCRIPTOR = ("write", "pwrite", "writev", "pwritev", "ftruncate", "fchmod", "posix_fallocate")
_SYNCS = ("fsync", "fdatasync")
_BY_NAME = ("unlink", "remove", "rename", "replace", "link", "symlink", "truncate", "chmod")
_WRITES = ("write",)  # those that may stop in the middle
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Crash:
    """Where a daemon is to die.

    Attributes:
        directory: The files in it are the journal's, the history's and what belongs to them.
        trace: Gets a line for every point that was passed, its label.
        armed: Points count while this file exists.
        label: The point's, and `occurrence` says its how-manieth is meant; empty is any label.
        occurrence: From 1; 0 dies nowhere and only records.
    """

    directory: str
    trace: str
    armed: str
    label: str = ""
    occurrence: int = 0

    def to_wire(self) -> dict[str, Any]:
        """Return it as JSON's terms."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class _Points:
    """The points of this process."""

    crash: Crash
    write: Callable[[int, bytes], int]
    truncate: Callable[[str, int], None]
    trace: int
    lock: threading.RLock = field(default_factory=threading.RLock)
    passed: Counter[str] = field(default_factory=Counter)
    synced: dict[str, int] = field(default_factory=dict)

    def reach(self, what: str, moment: str) -> bool:
        """Note a point, and tell whether it is the one to die at."""
        with self.lock:
            if not Path(self.crash.armed).exists():
                return False
            label = f"{what}, {moment}"
            self.write(self.trace, (label + "\n").encode())
            for one in (label, ""):
                self.passed[one] += 1
            wanted = self.crash.label
            return wanted in ("", label) and self.passed[wanted] == self.crash.occurrence

    def maybe_die(self, what: str, moment: str) -> None:
        if not self.reach(what, moment):
            return
        if moment == BEFORE:
            for path, length in self.synced.items():
                if Path(path).exists() and Path(path).stat().st_size > length:
                    self.truncate(path, length)
        self.die()

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)
        while True:  # the kernel may take a moment
            time.sleep(1)

    def ours(self, path: str) -> bool:
        return path == self.crash.directory or path.startswith(self.crash.directory + "/")

    def path_of(self, descriptor: int) -> str:
        """Return the path of an open file of ours, else nothing."""
        path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        return path if self.ours(path) else ""

    def known(self, path: str) -> None:
        """Begin to follow what of a file is on the disk."""
        if Path(path).is_file():
            self.synced.setdefault(path, Path(path).stat().st_size)

    def is_synced(self, path: str) -> None:
        if Path(path).is_file():
            self.synced[path] = Path(path).stat().st_size

    def is_moved(self, source: str, target: str) -> None:
        if source in self.synced:
            self.synced[target] = self.synced.pop(source)


def _absolute(path: Any, *, dir_fd: int | None = None) -> str:  # noqa: ANN401  (os.PathLike, bytes)
    if dir_fd is not None:
        base = Path(f"/proc/self/fd/{dir_fd}").readlink()
        return str(base / os.fsdecode(path))
    return str(Path(os.fsdecode(path)).absolute())


def _around(points: _Points, what: str, work: Callable[[], _T]) -> _T:
    """Do something to a file of ours between its two points, alone."""
    with points.lock:
        points.maybe_die(what, BEFORE)
        done = work()
        points.maybe_die(what, AFTER)
        return done


def _wrap_descriptors(points: _Points, name: str, original: Callable[..., Any]) -> None:
    @functools.wraps(original)
    def wrapped(descriptor: Any, *rest: Any) -> Any:  # noqa: ANN401  (as the original's)
        path = points.path_of(descriptor if isinstance(descriptor, int) else descriptor.fileno())
        if not path:
            return original(descriptor, *rest)
        what = f"{name} {Path(path).name}"

        def work() -> Any:  # noqa: ANN401  (as above)
            points.known(path)
            if name in _WRITES and len(rest[0]) > 1 and points.reach(what, TORN):
                original(descriptor, bytes(rest[0])[: len(rest[0]) // 2])
                points.die()
            done = original(descriptor, *rest)
            if name in _SYNCS:
                points.is_synced(path)
            return done

        return _around(points, what, work)

    setattr(os, name, wrapped)


def _wrap_names(points: _Points, name: str, original: Callable[..., Any]) -> None:
    @functools.wraps(original)
    def wrapped(*given: Any, **how: Any) -> Any:  # noqa: ANN401  (as the original's)
        # The last of the names is the one that changes.
        places = [one for one in given[:2] if isinstance(one, (str, bytes, os.PathLike))]
        where = how.get("dst_dir_fd", how.get("dir_fd"))
        paths = [_absolute(one, dir_fd=where) for one in places]
        if not any(map(points.ours, paths)):
            return original(*given, **how)

        def work() -> Any:  # noqa: ANN401  (as above)
            done = original(*given, **how)
            if name in ("rename", "replace"):
                points.is_moved(paths[0], paths[-1])
            elif name in ("unlink", "remove"):
                points.synced.pop(paths[-1], None)
            return done

        return _around(points, f"{name} {Path(paths[-1]).name}", work)

    setattr(os, name, wrapped)


def _wrap_open(points: _Points) -> None:
    original = os.open

    @functools.wraps(original)
    def wrapped(path: Any, flags: int, *rest: Any, **how: Any) -> int:  # noqa: ANN401  (as above)
        place = _absolute(path, dir_fd=how.get("dir_fd"))
        there = Path(place).exists()
        changes = (flags & os.O_CREAT and not there) or (flags & os.O_TRUNC and there)
        if not (changes and points.ours(place)):
            return original(path, flags, *rest, **how)

        def work() -> int:
            descriptor = original(path, flags, *rest, **how)
            points.synced[place] = 0
            return descriptor

        return _around(points, f"make {Path(place).name}", work)

    os.open = wrapped


def _watch_other_ways(points: _Points) -> None:
    """End the process when a file of ours is opened for writing past the points.

    `open` and its kind write from C, where no point would be: that must not go unnoticed.
    """

    def hook(event: str, given: tuple[Any, ...]) -> None:
        if event != "open" or not isinstance(given[1], str) or not set(given[1]) & set("wax+"):
            return
        if isinstance(given[0], (str, bytes, os.PathLike)) and points.ours(_absolute(given[0])):
            sys.stderr.write(f"crash points: {given[0]!r} is written past them, by open()\n")
            sys.stderr.flush()
            os._exit(70)

    sys.addaudithook(hook)


def action_of(url: str, headers: Mapping[str, Any], body: object) -> str:
    """Return the name of the call that a request to AWS makes; for REST services its path's end."""
    text = body.decode("latin-1") if isinstance(body, bytes) else str(body or "")
    if named := urllib.parse.parse_qs(text).get("Action"):
        return named[0]
    target = headers.get("X-Amz-Target", "")
    if target:
        named_by = target.decode() if isinstance(target, bytes) else str(target)
        return named_by.rpartition(".")[2]
    return urllib.parse.urlsplit(url).path.strip("/").rpartition("/")[2] or "request"


def _wrap_requests(points: _Points) -> None:
    from botocore.httpsession import URLLib3Session  # noqa: PLC0415  (the daemon's alone)

    original = URLLib3Session.send

    @functools.wraps(original)
    def wrapped(session: Any, request: Any) -> Any:  # noqa: ANN401  (botocore is untyped)
        what = "call " + action_of(request.url, request.headers, request.body)
        with points.lock:
            points.maybe_die(what, BEFORE)
        answer = original(session, request)
        with points.lock:
            points.maybe_die(what, AFTER)
        return answer

    URLLib3Session.send = wrapped


def install(crash: Crash) -> None:
    """Put the points into this process; before it opens anything of ours."""
    trace = os.open(crash.trace, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    points = _Points(crash, os.write, os.truncate, trace)
    for name in (*_BY_DESCRIPTOR, *_SYNCS):
        _wrap_descriptors(points, name, getattr(os, name))
    for name in _BY_NAME:
        _wrap_names(points, name, getattr(os, name))
    _wrap_open(points)
    _watch_other_ways(points)
    _wrap_requests(points)
