"""Where the knobs of a region are written, and how: never half, never over what is not ours.

An administrator's go into a file of their own in HTCondor's first LOCAL_CONFIG_DIR; a user's into
his own configuration, between two comments. HTCondor finds that by the home directory of the
password database, not by HOME (HTCondor manual, "USER_CONFIG_FILE").
"""

import fcntl
import os
import pwd
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from htcondor_annex.errors import SetupError
from htcondor_annex.setup.regionknobs import begin_line, whole, with_block, without_block

__all__ = ["Place", "administrators", "place", "users"]

_MOST = 1 << 20
_NEW_MODE = 0o644


@dataclass(frozen=True, slots=True)
class Place:
    """A file for knobs.

    Attributes:
        path: Absolute.
        shared: Other things stand in it too.
    """

    path: Path
    shared: bool

    def check(self, region: str) -> None:
        """See, before anything is made, whether the knobs could be written.

        Raises:
            SetupError: Naming the file and what is wrong with it.
        """
        if self.path.parent.is_dir():
            with _directory(self.path.parent) as directory:
                self._content(directory, region, b"")

    def holds(self, region: str) -> bool:
        """Tell whether a region's knobs are there, whole or not; False if it cannot be read."""
        try:
            return begin_line(region).encode() in self.path.read_bytes()
        except OSError:
            return False

    def write(self, region: str, knobs: Sequence[str]) -> bool:
        """Write a region's knobs; tell whether that changed anything.

        Raises:
            SetupError: If the file cannot be written; it is as it was then.
        """
        if self.shared and not self.path.parent.exists():
            with _told(self.path):
                self.path.parent.mkdir(mode=0o700, exist_ok=True)
        with _directory(self.path.parent) as directory:
            before, after = self._content(directory, region, whole(region, knobs))
            if before == after:
                return False
            _replace(directory, self.path, after)
            return True

    def remove(self, region: str) -> bool:
        """Take a region's knobs away; tell whether there were any.

        Raises:
            SetupError: As `write`.
        """
        if not self.path.parent.is_dir():
            return False
        with _directory(self.path.parent) as directory:
            before, after = self._content(directory, region, b"")
            if before is None or before == after:
                return False
            if self.shared:
                _replace(directory, self.path, after)
            else:
                with _told(self.path):
                    os.unlink(self.path.name, dir_fd=directory)
                    os.fsync(directory)
            return True

    def _content(self, directory: int, region: str, block: bytes) -> tuple[bytes | None, bytes]:
        """Return what the file holds (None: it is not there), and what it would hold."""
        before = _read(directory, self.path)
        where = str(self.path)
        if self.shared:
            content = before or b""
            if block:
                return before, with_block(content, region, block, where)
            return before, without_block(content, region, where)
        if before is not None and not before.startswith(begin_line(region).encode()):
            raise SetupError(
                f"{self.path} is there and was not written by -setup; it is left as it is",
                advice="Rename it, then repeat.",
            )
        return before, block


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say which file it was that failed."""
    try:
        yield
    except OSError as error:
        raise SetupError(f"{path} cannot be written: {error.strerror or error}") from error


@contextmanager
def _directory(path: Path) -> Iterator[int]:
    """Open a directory, and hold it against another -setup meanwhile."""
    with _told(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _state(directory: int, path: Path) -> os.stat_result | None:
    """Return a file's state, None if it is not there; raises SetupError if it is not for us."""
    try:
        found = os.stat(path.name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}") from error
    problem = ""
    if stat.S_ISLNK(found.st_mode):
        problem = "is a symbolic link"
    elif not stat.S_ISREG(found.st_mode):
        problem = "is no regular file"
    elif found.st_nlink > 1:
        problem = "has a second name (a hard link)"
    elif found.st_size > _MOST:
        problem = f"is larger than {_MOST} bytes"
    elif os.geteuid() not in {0, found.st_uid}:
        problem = "is somebody else's"
    if problem:
        raise SetupError(
            f"{path} {problem}; it is left as it is", advice="Put a plain file there, then repeat."
        )
    return found


def _read(directory: int, path: Path) -> bytes | None:
    if _state(directory, path) is None:
        return None
    with _told(path):
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path.name, flags, dir_fd=directory)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(_MOST + 1)


def _replace(directory: int, path: Path, content: bytes) -> None:
    """Put a file in another's place, whole or not at all; its mode and owner stay."""
    before = _state(directory, path)
    # HTCondor reads no file of a configuration directory whose name begins with a point.
    draft = f".{path.name}.setup"
    with _told(path):
        with suppress(FileNotFoundError):  # one that an interrupted run left
            os.unlink(draft, dir_fd=directory)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(draft, flags, 0o600, dir_fd=directory)
        try:
            with os.fdopen(descriptor, "wb") as file:
                if before is not None:
                    os.fchown(file.fileno(), before.st_uid, before.st_gid)
                mode = _NEW_MODE if before is None else stat.S_IMODE(before.st_mode)
                os.fchmod(file.fileno(), mode)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.rename(draft, path.name, src_dir_fd=directory, dst_dir_fd=directory)
        except OSError:
            os.unlink(draft, dir_fd=directory)
            raise
        os.fsync(directory)


def administrators(region: str, param: Mapping[str, str]) -> Place | None:
    """Return the file of a region in HTCondor's own configuration; None if it has no directory."""
    first = next(iter(param.get("LOCAL_CONFIG_DIR", "").replace(",", " ").split()), "")
    if not first.startswith("/") or not Path(first).is_dir():
        return None
    return Place(Path(first) / f"81annex-{region}", shared=False)


def users(param: Mapping[str, str]) -> Place | None:
    """Return the caller's own configuration; None if HTCondor reads none."""
    name = param.get("USER_CONFIG_FILE", "")
    if not name:
        return None
    path = Path(name)
    if not path.is_absolute():
        try:
            home = pwd.getpwuid(os.geteuid()).pw_dir
        except KeyError:
            return None
        path = Path(home) / ".condor" / name
    return Place(path, shared=True)


def place(region: str, param: Mapping[str, str]) -> Place:
    """Return where the caller's knobs go.

    Raises:
        SetupError: If HTCondor reads nothing that he may write.
    """
    theirs = administrators(region, param)
    if theirs is not None and os.access(theirs.path.parent, os.W_OK):
        return theirs
    own = users(param)
    if own is None:
        raise SetupError(
            "HTCondor's configuration has no file that you may write",
            advice="Its knobs LOCAL_CONFIG_DIR and USER_CONFIG_FILE say what it reads.",
        )
    return own
