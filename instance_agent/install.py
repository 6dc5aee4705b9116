"""Puts what was fetched into its place, whole or not at all.

Everything is made ready in one directory beside config.d. Renaming the finished set there is the
moment of decision: before it a crash leaves the old configuration, after it the next run moves the
rest of the new one into place (`recover`). Files are renamed over their predecessors, so nobody
ever reads half of one.
"""

import fcntl
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from instance_agent import tarball
from instance_agent.errors import AgentError, Healing, InstallError, RefusedError

__all__ = ["Place", "install", "open_place"]

STAGE = ".condor_annex_ec2"
SECRETS = ("tokens.d", "passwords.d")
"""Directories beside config.d whose files are for root alone."""

CONFIG = "config.d"

# What HTCondor reads from these directories: LOCAL_CONFIG_DIR_EXCLUDE_REGEXP's default leaves out
# hidden files and editors' and package managers' remains.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=@,-]{0,199}", re.ASCII)
_UNREAD = re.compile(r"(.*~|.*\.rpmsave|.*\.rpmnew|.*\.dpkg-.*)")


class _BusyError(AgentError):
    """Another agent is at work in the same place."""

    exit_status = 4
    healing = Healing.ALWAYS


@dataclass(frozen=True)
class Place:
    """Where a machine's configuration is; open for one agent at a time.

    Attributes:
        config_dir: HTCondor's LOCAL_CONFIG_DIR.
        stage: A private directory beside it, on the same file system.
    """

    config_dir: Path
    stage: Path

    def directory(self, name: str) -> Path:
        """The real directory that `config.d`, `tokens.d` or `passwords.d` means."""
        return self.config_dir if name == CONFIG else self.config_dir.parent / name


@contextmanager
def open_place(config_dir: Path) -> Iterator[Place]:
    """Lock the place, bring an interrupted installation to its end, and clean up afterwards.

    Raises:
        InstallError: The directory is not there, not ours to write, or spread over file systems.
        AgentError: Another agent is at work (heals).
    """
    config_dir = Path(os.path.abspath(config_dir))  # noqa: PTH100 - links must stay as they are
    parent = config_dir.parent
    try:
        if not config_dir.is_dir():
            raise InstallError(
                f"{config_dir} is no directory; is HTCondor installed? -config-dir names another"
            )
        if config_dir.stat().st_dev != parent.stat().st_dev:
            raise InstallError(f"{config_dir} and {parent} are on different file systems")
        lock = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise _BusyError(f"another agent is at work in {parent}") from error
            place = Place(config_dir, parent / STAGE)
            _begin(place)
            try:
                yield place
            finally:
                shutil.rmtree(place.stage)
        finally:
            os.close(lock)
    except OSError as error:
        raise _failed(error) from error


def install(place: Place, fetched: Path, name: str) -> list[str]:
    """Install a fetched file: a tar archive is unpacked, any other text goes into config.d.

    The fetched file is gone afterwards.

    Args:
        place: An open place.
        fetched: Inside its stage.
        name: What a plain file is to be called.

    Returns:
        The installed files, as `config.d/name` and the like.

    Raises:
        RefusedError: It must not be installed; nothing was changed.
        InstallError: It could not be; the old configuration is in place.
    """
    try:
        new = place.stage / "new"
        new.mkdir(0o700)
        with fetched.open("rb") as file:
            names = _unpack(place, file, new, name)
        fetched.unlink()
        for written in {new / path.split("/")[0] for path in names} | {new}:
            _sync(written)
        _check_targets(place, names)
        new.rename(place.stage / "ready")
        _sync(place.stage)
        _move(place)
    except OSError as error:
        raise _failed(error) from error
    return sorted(names)


def _failed(error: OSError) -> InstallError:
    return InstallError(f"{error.filename or 'the configuration'}: {error.strerror or error}")


def _begin(place: Place) -> None:
    """An empty stage; what an earlier run had decided upon is carried out first."""
    try:
        found = place.stage.lstat()
    except FileNotFoundError:
        found = None
    if found is not None:
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise InstallError(f"{place.stage} is not this agent's directory; remove it")
        if (place.stage / "ready").is_dir():
            _move(place)
        shutil.rmtree(place.stage)
    place.stage.mkdir(0o700)


def _move(place: Place) -> None:
    """Move the finished set into place; done again after a crash, it does the rest."""
    ready = place.stage / "ready"
    for source in sorted(ready.iterdir()):
        target = place.directory(source.name)
        if not target.exists():
            target.mkdir(0o700)
            _sync(target.parent)
        for file in sorted(source.iterdir()):
            if not _same(file, target / file.name):
                file.replace(target / file.name)
        _sync(target)


def _same(new: Path, old: Path) -> bool:
    """Whether the old file is what the new one would be, so that it can stay untouched."""
    try:
        found, wanted = old.lstat(), new.lstat()
    except FileNotFoundError:
        return False
    return (
        (found.st_mode, found.st_size, found.st_uid, found.st_gid)
        == (wanted.st_mode, wanted.st_size, wanted.st_uid, wanted.st_gid)
    ) and old.read_bytes() == new.read_bytes()


def _check_targets(place: Place, names: list[str]) -> None:
    """See beforehand that every file can be moved into place."""
    device = place.stage.stat().st_dev
    for name in names:
        directory, _, file = name.partition("/")
        target = place.directory(directory)
        if target.exists() and (not target.is_dir() or target.stat().st_dev != device):
            raise InstallError(f"{target} is not a directory on the file system of {place.stage}")
        if (target / file).is_dir() and not (target / file).is_symlink():
            raise InstallError(f"{target / file} is a directory; it cannot become a file")


def _unpack(place: Place, file: BinaryIO, new: Path, name: str) -> list[str]:
    """Write the set of files that the fetched one means; their names."""
    start = file.read(tarball.BLOCK)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    limits = tarball.Limits()
    kind = tarball.compression(start)
    if kind:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        path = place.stage / "unpacked"
        with os.fdopen(os.open(path, flags, 0o600), "w+b") as plain:
            path.unlink()  # it has no name from here on, and ends with this process
            length = tarball.inflate(file, size, kind, plain, limits)
            plain.seek(0)
            if not tarball.is_tar(plain.read(tarball.BLOCK)):
                raise RefusedError(f"it is compressed with {kind}, and inside it is no tar archive")
            return _extract(plain, length, new, limits)
    if tarball.is_tar(start):
        return _extract(file, size, new, limits)
    return _plain(file, size, new, name, limits)


def _plain(file: BinaryIO, size: int, new: Path, name: str, limits: tarball.Limits) -> list[str]:
    content = file.read()
    if not content.strip():
        raise RefusedError("it is empty")
    if size > limits.file_bytes:
        raise RefusedError(f"it has {size} bytes, more than a configuration's {limits.file_bytes}")
    if b"\0" in content:
        raise RefusedError("it is neither a tar archive nor a text")
    _write(new, CONFIG, _file_name(name), content, 0o644)
    return [f"{CONFIG}/{name}"]


def _extract(archive: BinaryIO, size: int, new: Path, limits: tarball.Limits) -> list[str]:
    """Write an archive's files below `new`, under names that are known to be good."""
    seen: set[str] = set()
    names: list[str] = []
    for member in tarball.members(archive, size, limits):
        directory, file = _where(member)
        name = f"{directory}/{file}" if file else directory
        if name in seen and file:
            raise RefusedError(f"it holds {name} twice")
        seen.add(name)
        if not file:
            continue
        archive.seek(member.offset)
        content = archive.read(member.size)
        secret = directory in SECRETS or not member.mode & 0o077
        _write(new, directory, file, content, 0o600 if secret else 0o644)
        names.append(name)
    if not names:
        raise RefusedError("it holds no file")
    return names


def _where(member: tarball.Member) -> tuple[str, str]:
    """Directory and file name of a member; an empty file name for a directory.

    Allowed are files at the top, and files right inside config.d, tokens.d and passwords.d.
    """
    shown = repr(member.name[:100])
    parts = member.name.split("/")
    if parts[0] == "." and (len(parts) > 1 or member.is_directory):
        parts = parts[1:]  # tar -C directory . writes names so
    if member.name.startswith("/"):
        raise RefusedError(f"its member {shown} has an absolute path")
    if ".." in parts:
        raise RefusedError(f"its member {shown} climbs out of the archive")
    if member.is_directory:
        if parts not in ([], [CONFIG], *([name] for name in SECRETS)):
            raise RefusedError(f"its directory {shown} is none of {', '.join((CONFIG, *SECRETS))}")
        return (parts[0] if parts else CONFIG), ""
    if len(parts) == 1:
        return CONFIG, _file_name(parts[0])
    directory, *rest = parts
    if directory not in (CONFIG, *SECRETS) or len(rest) != 1:
        raise RefusedError(
            f"its member {shown} is neither at the top nor right inside one of "
            f"{', '.join((CONFIG, *SECRETS))}"
        )
    return directory, _file_name(rest[0])


def _file_name(name: str) -> str:
    """The name, if HTCondor would read a file of that name.

    Raises:
        RefusedError: It would not, or the name is dangerous.
    """
    if not _NAME.fullmatch(name):
        raise RefusedError(
            f"the file name {name[:100]!r} is not one for a configuration: letters, digits and "
            "._+=@,- are, beginning with a letter or digit, at most 200 in all"
        )
    if _UNREAD.fullmatch(name):
        raise RefusedError(f"HTCondor does not read files named like {name[:100]!r}")
    if name in (CONFIG, *SECRETS):
        raise RefusedError(f"the file name {name!r} is a directory's")
    return name


def _write(new: Path, directory: str, name: str, content: bytes, mode: int) -> None:
    """A file of the new set, on the disk when this returns."""
    (new / directory).mkdir(0o700, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(new / directory / name, flags, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())


def _sync(directory: Path) -> None:
    """Put a directory's entries on the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
