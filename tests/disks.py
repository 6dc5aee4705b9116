"""Real disks that get full or fail: file systems of the test's own, mounted as root."""

import contextlib
import errno
import fcntl
import io
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud.pool.packages import have

__all__ = ["FailingDisk", "SmallDisk", "ThinDisk", "failing_disk", "small_disk", "thin_disk"]

_PROGRAMS = ("losetup", "mkfs.ext2", "mount", "umount")
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_BLOCK = 4096

# linux/loop.h; a size limit of 0 is none.
_GET_STATUS, _SET_STATUS = 0x4C05, 0x4C04
_STATUS_BYTES = 232
_SIZE_LIMIT_AT = 32
_LIMIT = 512 * 1024  # what is below holds the file system's own tables, and no file's data
_SIZE = 4 * 1024 * 1024


def _run(*command: str) -> str:
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={"PATH": _PATH}, timeout=30
    )
    return done.stdout.strip()


def _need() -> None:
    """Skip the test, or with CI=true fail it, where no file system can be mounted."""
    if os.environ.get("CI") == "true" and os.geteuid() == 0:
        have("mkfs.ext2", ["e2fsprogs"])
    missing = [name for name in _PROGRAMS if shutil.which(name, path=_PATH) is None]
    if os.geteuid() != 0:
        missing.append("root")
    if not Path("/dev/loop-control").exists():
        missing.append("loop devices")
    if missing:
        say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        say("a disk of the test's own needs " + ", ".join(missing))


class SmallDisk:
    """A tmpfs that gets full."""

    def __init__(self, path: Path) -> None:
        """Hold the place where it is mounted."""
        self.path = path
        self._filler = path / "filler"

    def fill(self, *, leave: int = 0) -> None:
        """Leave no room on it, or so many bytes (whole pages)."""
        with self._filler.open("ab", buffering=0) as file:
            while _has_room(file):
                pass
        if leave:
            os.truncate(self._filler, self._filler.stat().st_size // _BLOCK * _BLOCK - leave)

    def free(self) -> None:
        """Make room again."""
        self._filler.unlink()


def _has_room(file: io.RawIOBase) -> bool:
    """Write a page, and tell whether there was room for it."""
    try:
        file.write(bytes(_BLOCK))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False
    return True


class FailingDisk:
    """A file system whose data blocks can be made to fail: every write to them is an EIO.

    It is on a loop device, which is told to end before them. Until fsync the kernel takes what is
    written; then it says EIO once, and what it could not write is lost though it can be read for
    some time, as with a disk that fails.
    """

    def __init__(self, path: Path, device: str) -> None:
        """Hold the place where it is mounted, and its device."""
        self.path = path
        self._device = device

    def _limit(self, size: int) -> None:
        descriptor = os.open(self._device, os.O_RDWR | os.O_CLOEXEC)
        try:
            status = bytearray(_STATUS_BYTES)
            fcntl.ioctl(descriptor, _GET_STATUS, status)
            struct.pack_into("=Q", status, _SIZE_LIMIT_AT, size)
            fcntl.ioctl(descriptor, _SET_STATUS, bytes(status))
        finally:
            os.close(descriptor)

    def fail(self) -> None:
        """Let writes fail from now on."""
        self._limit(_LIMIT)
        assert self._probe() == errno.EIO

    def mend(self) -> None:
        """Let writes succeed again."""
        self._limit(0)

    def forget(self) -> None:
        """Let what is read come from the disk."""
        _again(self.path, self._device)

    def _probe(self) -> int:
        """Return the error of a write to a new file, 0 for none."""
        probe = self.path / "probe"
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, bytes(_BLOCK))
            os.fdatasync(descriptor)
        except OSError as error:
            return error.errno or -1
        finally:
            os.close(descriptor)
            probe.unlink()
        return 0


class ThinDisk(SmallDisk):
    """A file system on a device that has no room for what the file system promises.

    Until fsync the kernel takes what is written; then it says ENOSPC once, and has lost it.
    """

    def __init__(self, path: Path, device: str, store: Path) -> None:
        """Hold the place where it is mounted, its device, and the file system that holds that."""
        super().__init__(store)
        self.path = path
        self._device = device

    def forget(self) -> None:
        """Let what is read come from the disk."""
        _again(self.path, self._device)


def _again(path: Path, device: str) -> None:
    """Unmount and mount: what is read is what the disk has."""
    _run("umount", str(path))
    _run("mount", device, str(path))


@contextlib.contextmanager
def small_disk(directory: Path, kib: int = 64) -> Iterator[SmallDisk]:
    """Mount a tmpfs of so many KiB."""
    _need()
    disk = directory / "small"
    disk.mkdir()
    _run("mount", "-t", "tmpfs", "-o", f"size={kib}k,mode=0755", "tmpfs", str(disk))
    try:
        yield SmallDisk(disk)
    finally:
        _run("umount", "--lazy", str(disk))  # whatever a failed test has left open


@contextlib.contextmanager
def _mounted(directory: Path) -> Iterator[tuple[Path, str]]:
    """Make a file system in a file, and mount it; give the place and the device."""
    image, place = directory / "image", directory / "mounted"
    with image.open("wb") as file:
        file.truncate(_SIZE)
    place.mkdir()
    _run("mkfs.ext2", "-q", "-b", "1024", str(image))
    device = _run("losetup", "--find", "--show", str(image))
    try:
        _run("mount", device, str(place))
        try:
            yield place, device
        finally:
            _run("umount", "--lazy", str(place))  # as above
    finally:
        _run("losetup", "--detach", device)


@contextlib.contextmanager
def failing_disk(directory: Path) -> Iterator[FailingDisk]:
    """Mount a file system that can be made to fail."""
    _need()
    with _mounted(directory) as (place, device):
        disk = FailingDisk(place, device)
        try:
            yield disk
        finally:
            disk.mend()


@contextlib.contextmanager
def thin_disk(directory: Path) -> Iterator[ThinDisk]:
    """Mount a file system whose device can be left without room."""
    beneath = directory / "beneath"
    beneath.mkdir()
    with small_disk(beneath, 2 * _SIZE // 1024) as store, _mounted(store.path) as (place, device):
        yield ThinDisk(place, device, store.path)
