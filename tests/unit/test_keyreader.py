"""The key reader: the kernel decides what a user may read."""

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from htcondor_annex.daemon.keyreader import OwnKeyReader, RootKeyReader
from htcondor_annex.errors import AccessRefusedError, KeyFileError

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 and not os.environ.get("CI"), reason="becoming another user needs root"
)
NOBODY = pwd.getpwnam("nobody").pw_uid


@pytest.fixture
def reader() -> Iterator[RootKeyReader]:
    """A key reader that has kept root."""
    made = RootKeyReader.start()
    yield made
    made.close()


def _key(directory: Path, uid: int) -> str:
    """Write a user's key file where every user can get to it."""
    for one in (directory, *directory.parents):
        if one.stat().st_uid == os.geteuid() and one != Path("/"):
            one.chmod(one.stat().st_mode | 0o011)
    path = directory / "key"
    path.write_text("content")
    path.chmod(0o600)
    os.chown(path, uid, uid)
    return str(path)


def test_a_users_file_is_opened_for_him(reader: RootKeyReader, tmp_path: Path) -> None:
    """The descriptor that comes back is the file's."""
    with os.fdopen(reader.open(_key(tmp_path, NOBODY), NOBODY)) as file:
        assert file.read() == "content"


def test_roots_file_is_closed_to_a_user(reader: RootKeyReader, tmp_path: Path) -> None:
    """What the user himself may not open is not opened for him, though the reader has root."""
    with pytest.raises(KeyFileError, match="cannot be opened by nobody: Permission denied"):
        reader.open(_key(tmp_path, 0), NOBODY)


def test_a_directory_closed_to_a_user_stays_closed(reader: RootKeyReader, tmp_path: Path) -> None:
    """A path through another's private directory tells nothing but that it is closed."""
    path = _key(tmp_path, NOBODY)
    tmp_path.chmod(0o700)
    with pytest.raises(KeyFileError, match="Permission denied"):
        reader.open(path, NOBODY)


def test_a_user_without_a_name(reader: RootKeyReader, tmp_path: Path) -> None:
    """A uid that no password file knows works by its number."""
    with os.fdopen(reader.open(_key(tmp_path, 64321), 64321)) as file:
        assert file.read() == "content"


def test_many_requests_do_not_mix(reader: RootKeyReader, tmp_path: Path) -> None:
    """Good and bad requests in turn each get their own answer."""
    path = _key(tmp_path, NOBODY)
    for _ in range(20):
        os.close(reader.open(path, NOBODY))
        with pytest.raises(KeyFileError, match="No such file"):
            reader.open(path + "x", NOBODY)


def test_no_descriptor_is_left_open(reader: RootKeyReader, tmp_path: Path) -> None:
    """Requests leave as many descriptors open as there were."""
    path = _key(tmp_path, NOBODY)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(10):
        os.close(reader.open(path, NOBODY))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_without_root_only_the_own_user_is_served(tmp_path: Path) -> None:
    """A daemon that has no root refuses to open another user's files."""
    with pytest.raises(AccessRefusedError, match="cannot read the key files of nobody"):
        OwnKeyReader().open(_key(tmp_path, NOBODY), NOBODY)


@pytest.mark.parametrize("size", [4096, 4097])
def test_the_size_limit_is_4_kib(reader: RootKeyReader, tmp_path: Path, size: int) -> None:
    """4 KiB pass, a byte more does not."""
    path = _key(tmp_path, NOBODY)
    Path(path).write_bytes(b"x" * size)
    if size == 4096:
        os.close(reader.open(path, NOBODY))
    else:
        with pytest.raises(KeyFileError, match="has 4097 bytes"):
            reader.open(path, NOBODY)
