"""What may be installed, what is refused, and what a crash leaves behind."""

import gzip
import io
import lzma
import os
import random
import shutil
import tarfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from instance_agent.errors import AgentError, Healing, InstallError, RefusedError
from instance_agent.install import STAGE, install, open_place
from instance_agent.tarball import Limits

Tree = dict[str, tuple[int, bytes | str]]
Build = Callable[[tarfile.TarFile], None]


def tree(root: Path) -> Tree:
    """Everything below a directory: mode, and content or what a link names."""
    found: Tree = {}
    for path in sorted(root.rglob("*")):
        mode = path.lstat().st_mode
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = (mode, str(path.readlink()))
        else:
            found[name] = (mode, path.read_bytes() if path.is_file() else b"")
    return found


@pytest.fixture
def config_dir(tmp_path: Path) -> Path:
    """A configuration that is in use, with something beside it."""
    directory = tmp_path / "etc" / "condor" / "config.d"
    directory.mkdir(parents=True)
    (directory / "00-old").write_text("OLD = true\n")
    (tmp_path / "etc" / "passwd").write_text("root\n")
    return directory


def put(config_dir: Path, content: bytes, name: str = "annex.tar.gz") -> list[str]:
    """Install this content, as if it had been fetched."""
    with open_place(config_dir) as place:
        fetched = place.stage / "download"
        fetched.write_bytes(content)
        return install(place, fetched, name)


def member(name: str, content: bytes = b"x", **fields: object) -> Build:
    """One member with these fields of its header."""

    def build(archive: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        for field, value in fields.items():
            setattr(info, field, value)
        archive.addfile(info, io.BytesIO(content))

    return build


def archive(*builds: Build, form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar archive, not compressed."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as made:
        for build in builds:
            build(made)
    return buffer.getvalue()


def header(name: bytes, size: bytes, kind: bytes = b"0", mode: bytes = b"0000644\0") -> bytes:
    """A header block by hand, with a right checksum."""
    block = bytearray(512)
    block[0 : len(name)] = name
    block[100:108] = mode
    block[108:124] = b"0000000\0" * 2
    block[124 : 124 + len(size)] = size
    block[136:148] = b"00000000000\0"
    block[156:157] = kind
    block[257:265] = b"ustar\00000"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(content: bytes) -> bytes:
    """Content as it stands in an archive."""
    return content + bytes(-len(content) % 512)


END = bytes(1024)
GOOD = archive(member("50-annex", b"A = 1\n"))
ONE_LINK = {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd", "size": 0}


def pax(**headers: str) -> bytes:
    """An archive whose one member has these extended headers."""
    return archive(member("50-annex", pax_headers=headers))


def pax_raw(records: bytes) -> bytes:
    """An archive whose extended header holds these bytes."""
    size = b"%011o\0" % len(records)
    return header(b"pax", size, b"x") + padded(records) + header(b"50-a", b"00000000000\0") + END


def bomb(compress: Callable[[bytes], bytes], size: int = 20 * 1024 * 1024) -> bytes:
    """Little that becomes much."""
    return compress(archive(member("50-annex", bytes(size))))


def noise(size: int) -> bytes:
    """Content that does not shrink."""
    return random.Random(7).randbytes(size)  # noqa: S311 - only has to be dense


HOSTILE: dict[str, bytes] = {
    # where it would go
    "climbing": archive(member("../evil")),
    "climbing from config.d": archive(member("config.d/../../evil")),
    "climbing from tokens.d": archive(member("tokens.d/../evil")),
    "climbing behind a dot": archive(member("./../evil")),
    "climbing in the middle": archive(member("a/../50-annex")),
    "two dots": archive(member("..")),
    "absolute": archive(member("/etc/passwd")),
    "absolute, twice": archive(member("//etc/passwd")),
    "absolute into the place": archive(member("/etc/condor/config.d/50-annex")),
    "elsewhere": archive(member("cron.d/evil")),
    "deeper": archive(member("config.d/sub/50-annex")),
    "deep at the top": archive(member("a/b/c/d")),
    "an empty part": archive(member("config.d//50-annex")),
    "a dot part": archive(member("config.d/./50-annex")),
    "a directory elsewhere": archive(member("etc", b"", type=tarfile.DIRTYPE)),
    "a directory inside": archive(member("config.d/sub", b"", type=tarfile.DIRTYPE)),
    "an absolute directory": archive(member("/", b"", type=tarfile.DIRTYPE)),
    "a directory that climbs": archive(member("..", b"", type=tarfile.DIRTYPE)),
    "a backslash": archive(member("..\\evil")),
    # what it would be
    "a symbolic link": archive(member("50-annex", b"", **ONE_LINK)),
    "a link to the outside, then through it": archive(
        member("config.d", b"", type=tarfile.SYMTYPE, linkname="../..", size=0),
        member("config.d/passwd"),
    ),
    "a link within": archive(
        member("50-annex"), member("51", b"", type=tarfile.SYMTYPE, linkname="50-annex")
    ),
    "a hard link": archive(
        member("50-annex", b"", type=tarfile.LNKTYPE, linkname="/etc/passwd", size=0)
    ),
    "a character device": archive(
        member("50-annex", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=1)
    ),
    "a block device": archive(member("50-annex", b"", type=tarfile.BLKTYPE, devmajor=8)),
    "a FIFO": archive(member("50-annex", b"", type=tarfile.FIFOTYPE)),
    "a contiguous file": archive(member("50-annex", type=tarfile.CONTTYPE)),
    "a GNU sparse file": header(b"50-annex", b"00000000000\0", b"S") + END,
    "a GNU multi-volume": header(b"50-annex", b"00000000000\0", b"M") + END,
    "a GNU dump directory": header(b"50-annex", b"00000000000\0", b"D") + END,
    "a type of somebody's own": header(b"50-annex", b"00000000000\0", b"Z") + END,
    "setuid": archive(member("50-annex", mode=0o4755)),
    "setgid": archive(member("50-annex", mode=0o2755)),
    "sticky": archive(member("50-annex", mode=0o1644)),
    "a setuid directory": archive(member("config.d", b"", type=tarfile.DIRTYPE, mode=0o4755)),
    "a directory with content": header(b"config.d/", b"00000000004\0", b"5")
    + padded(b"evil") + END,
    # its name
    "hidden": archive(member(".bashrc")),
    "an editor's backup": archive(member("50-annex~")),
    "a package manager's": archive(member("50-annex.rpmsave")),
    "an option": archive(member("-rf")),
    "a space": archive(member("50 annex")),
    "a newline": archive(member("50\nannex")),
    "an escape": archive(member("50\x1b[2Jannex")),
    "unicode": archive(member("50-ann\u00e9x")),
    "unicode that looks like a slash": archive(member("..\u2215evil")),
    "right to left": archive(member("50-\u202eannex")),
    "no UTF-8": header(b"50-\xff\xfe", b"00000000000\0") + END,
    "an empty name": header(b"", b"00000000000\0") + END,
    "a long name": archive(member("a" * 201)),
    "a very long name": archive(member("a" * 30000)),
    "a long GNU name": archive(member("a" * 300), form=tarfile.GNU_FORMAT),
    "a long GNU name that climbs": archive(
        member("config.d/" + "../" * 60 + "evil"), form=tarfile.GNU_FORMAT
    ),
    "a pax name that climbs": pax(path="../../evil"),
    "a pax name that is absolute": pax(path="/etc/cron.d/evil"),
    "a ustar prefix that climbs": header(b"evil", b"00000000000\0")[:0]
    + archive(member("../" * 40 + "e" * 60), form=tarfile.USTAR_FORMAT),
    "a name as of a directory": archive(member("tokens.d")),
    "duplicate": archive(member("50-annex", b"1"), member("50-annex", b"2")),
    "duplicate by a dot": archive(member("50-annex", b"1"), member("./50-annex", b"2")),
    "duplicate by the directory": archive(member("50-annex"), member("config.d/50-annex")),
    # how much
    "too many": archive(*(member(f"f{number}") for number in range(257))),
    "too many directories": archive(
        *(member("config.d", b"", type=tarfile.DIRTYPE) for _ in range(257)), member("50-annex")
    ),
    "too large a file": archive(member("50-annex", bytes(1024 * 1024 + 1))),
    "a gzip bomb": bomb(gzip.compress),
    "an xz bomb": bomb(lzma.compress),
    "a gzip ratio": gzip.compress(archive(*(member(f"f{n}", bytes(1000000)) for n in range(9)))),
    "an xz dictionary": lzma.compress(GOOD, preset=9),
    "a gzip in a gzip": gzip.compress(gzip.compress(GOOD)),
    "a long pax header": pax(comment="x" * 20000),
    # how it is made
    "nothing": b"",
    "white space": b" \n\n",
    "zeros": bytes(10240),
    "only directories": archive(member("config.d", b"", type=tarfile.DIRTYPE)),
    "cut in a header": GOOD[:300],
    "cut after a header": GOOD[:512],
    "cut in the content": GOOD[:514],
    "cut before the end": GOOD[:1024],
    "cut in the end": GOOD[:1536],
    "cut in a gzip": gzip.compress(GOOD)[:-20],
    "cut before gzip's checksum": gzip.compress(GOOD)[:-8],
    "cut in an xz": lzma.compress(GOOD)[:-30],
    "a wrong gzip checksum": gzip.compress(GOOD)[:-8] + bytes(8),
    "damaged gzip": gzip.compress(noise(9000))[:4000] + b"\xff" * 99,
    "a wrong header checksum": GOOD[:148] + b"000000\0 " + GOOD[156:],
    "a second header damaged": archive(member("50-annex"), member("51"))[:1024]
    + b"damage" + archive(member("50-annex"), member("51"))[1030:],
    "something after the end": GOOD + b"evil",
    "an archive after the end": GOOD + GOOD,
    "something after the gzip": gzip.compress(GOOD) + b"evil",
    "a second gzip": gzip.compress(GOOD) * 2,
    "one zero block and then more": GOOD[:1024] + bytes(512) + GOOD,
    "a negative size": header(b"50-annex", b"\xff" * 12) + END,
    "a size beyond the end": header(b"50-annex", b"00000004000\0") + END,
    "a size of many digits": header(b"50-annex", b"77777777777\0") + END,
    "a size that is no number": header(b"50-annex", b"zzzzzzzzzzz\0") + END,
    "a binary size": header(b"50-annex", b"\x80" + b"\xff" * 11) + END,
    "a pax size": pax_raw(b"13 size=1024\n"),
    "a pax sparse file": pax_raw(b"22 GNU.sparse.major=1\n"),
    "a pax record that is longer than it is": pax_raw(b"99 path=50-b\n"),
    "a pax record of no length": pax_raw(b"0 path=50-b\n"),
    "a pax record of digits": pax_raw(b"1" * 9000),
    "a pax record without a value": pax_raw(b"9 path50\n"),
    "two pax names": pax_raw(b"11 path=aa\n" * 2),
    "a pax name that is no UTF-8": pax_raw(b"12 path=\xff\xfe\xfd\n"[:12]),
    "a global pax name": header(b"g", b"00000000013\0", b"g") + padded(b"11 path=aa\n") + GOOD,
    "extension headers without end": header(b"L", b"00000000001\0", b"L") + padded(b"a")
    + header(b"L", b"00000000001\0", b"L") + padded(b"a") + GOOD,
    "an extension header at the end": header(b"L", b"00000000001\0", b"L") + padded(b"a") + END,
    # other kinds
    "a zip": b"PK\x03\x04" + bytes(600),
    "a bzip2": b"BZh91AY" + bytes(600),
    "a zstd": b"\x28\xb5\x2f\xfd" + bytes(600),
    "a program": b"\x7fELF" + bytes(600),
    "a compressed text": gzip.compress(b"A = 1\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_changes_nothing(tmp_path: Path, config_dir: Path, name: str) -> None:
    """It is refused with one line, and not a file in or outside the place is another."""
    before = tree(tmp_path)
    with pytest.raises(RefusedError) as caught:
        put(config_dir, HOSTILE[name])
    assert tree(tmp_path) == before
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "name", ["../evil", "..", "", ".hidden", "a b", "50~", "a/b", "x" * 201, "ann\u00e9x", "a\n"]
)
def test_a_plain_file_needs_a_name_that_htcondor_reads(
    tmp_path: Path, config_dir: Path, name: str
) -> None:
    """The key's last part is from outside, too."""
    before = tree(tmp_path)
    with pytest.raises(RefusedError):
        put(config_dir, b"A = 1\n", name)
    assert tree(tmp_path) == before


def test_a_plain_file_that_is_too_large_is_refused(config_dir: Path) -> None:
    """As a member of an archive would be."""
    with pytest.raises(RefusedError, match="bytes"):
        put(config_dir, b"#" * (Limits().file_bytes + 1), "50-annex")


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("compress", [bytes, gzip.compress, lzma.compress])
def test_good_archives_of_every_form_are_installed(
    config_dir: Path, form: int, compress: Callable[[bytes], bytes]
) -> None:
    """Whoever made them, and however they are compressed."""
    long = "a" * 150
    builds = [
        member(".", b"", type=tarfile.DIRTYPE),
        member("./config.d/", b"", type=tarfile.DIRTYPE),
        member("./config.d/50-annex", b"A = 1\n"),
        member("tokens.d", b"", type=tarfile.DIRTYPE, mode=0o700),
    ]
    if form != tarfile.USTAR_FORMAT:
        builds.append(member(f"tokens.d/{long}", b"token"))
    installed = put(config_dir, compress(archive(*builds, form=form)))
    assert installed[0] == "config.d/50-annex"
    assert (config_dir / "50-annex").read_bytes() == b"A = 1\n"
    if form != tarfile.USTAR_FORMAT:
        assert (config_dir.parent / "tokens.d" / long).read_bytes() == b"token"


def test_git_archives_global_comment_is_no_harm(config_dir: Path) -> None:
    """A pax header that names nothing is passed over."""
    comment = b"52 comment=" + b"0" * 40 + b"\n"
    size = b"%011o\0" % len(comment)
    made = header(b"pax_global_header", size, b"g") + padded(comment) + GOOD
    assert put(config_dir, made) == ["config.d/50-annex"]


def test_neither_the_download_nor_the_stage_stays(config_dir: Path) -> None:
    """The archive holds secrets."""
    put(config_dir, gzip.compress(GOOD))
    assert sorted(path.name for path in config_dir.parent.iterdir()) == ["config.d"]


def test_a_link_in_the_place_of_a_file_is_replaced_not_followed(config_dir: Path) -> None:
    """What it led to stays as it was."""
    victim = config_dir.parent.parent / "passwd"
    (config_dir / "50-annex").symlink_to(victim)
    put(config_dir, GOOD)
    assert victim.read_text() == "root\n"
    assert not (config_dir / "50-annex").is_symlink()


def test_a_directory_in_the_place_of_a_file_is_an_error(tmp_path: Path, config_dir: Path) -> None:
    """Found before anything is moved."""
    (config_dir / "50-annex").mkdir()
    before = tree(tmp_path)
    with pytest.raises(InstallError, match="is a directory"):
        put(config_dir, archive(member("40-first"), member("50-annex")))
    assert tree(tmp_path) == before


def test_a_file_in_the_place_of_tokens_d_is_an_error(tmp_path: Path, config_dir: Path) -> None:
    """The same for the directories."""
    (config_dir.parent / "tokens.d").write_text("")
    before = tree(tmp_path)
    with pytest.raises(InstallError, match="not a directory"):
        put(config_dir, archive(member("40-first"), member("tokens.d/t")))
    assert tree(tmp_path) == before


def test_a_stage_that_is_somebody_elses_link_is_not_used(config_dir: Path) -> None:
    """Nor is what it leads to removed."""
    target = config_dir.parent.parent / "precious"
    target.mkdir()
    (config_dir.parent / STAGE).symlink_to(target)
    with pytest.raises(InstallError, match="remove it"):
        put(config_dir, GOOD)
    assert target.is_dir()


def test_two_agents_do_not_work_in_one_place(config_dir: Path) -> None:
    """The second waits: its error heals."""
    with open_place(config_dir), pytest.raises(AgentError) as caught:
        put(config_dir, GOOD)
    assert caught.value.healing is Healing.ALWAYS
    assert put(config_dir, GOOD) == ["config.d/50-annex"]


def test_no_room_on_the_disk_is_an_error_that_changes_nothing(
    tmp_path: Path, config_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the system says while files are written."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    before = tree(tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InstallError, match="No space left"):
        put(config_dir, GOOD)
    assert tree(tmp_path) == before


class CrashError(BaseException):
    """A kill, as far as one process can play it to itself."""


CHANGES = ("open", "mkdir", "rename", "replace", "unlink", "rmdir", "fsync", "fchmod")


def crash_at(step: int, work: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Do the work, and die before its step-th change to the file system; whether it died."""
    count = 0
    dead = False

    def guarded(name: str) -> Callable[..., object]:
        real = getattr(os, name)

        def call(*arguments: object, **named: object) -> object:
            nonlocal count, dead
            count += 1
            dead = dead or count == step
            if dead:  # the dead do not clean up
                raise CrashError
            return real(*arguments, **named)

        return call

    with monkeypatch.context() as patch:
        for name in CHANGES:
            patch.setattr(os, name, guarded(name))
        try:
            work()
        except CrashError:
            return True
    return dead


def test_after_a_crash_anywhere_the_next_run_has_the_old_or_the_new_whole(
    tmp_path: Path, config_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mix never stays, and no step is left untried."""
    new = archive(member("00-old", b"NEW"), member("50-annex", b"A"), member("tokens.d/t", b"T"))
    old = {"00-old": b"OLD = true\n"}
    whole = {"00-old": b"NEW", "50-annex": b"A", "tokens.d/t": b"T"}
    seen, step, died = [], 0, True
    while died:
        step += 1
        place = tmp_path / f"try{step}" / "config.d"
        shutil.copytree(config_dir, place)
        died = crash_at(step, partial(put, place, new), monkeypatch)
        with open_place(place):
            pass
        found = {
            str(path.relative_to(place.parent)).removeprefix("config.d/"): path.read_bytes()
            for path in place.parent.rglob("*")
            if path.is_file()
        }
        assert found in (old, whole), f"a mix after step {step}"
        seen.append(found == whole)
    assert step > 20
    assert seen == sorted(seen)  # old up to the moment of decision, new from there on
    assert not seen[0]


DAMAGE = st.lists(st.tuples(st.integers(0, 4095), st.binary(min_size=1, max_size=12)), max_size=6)
SEEDS = st.sampled_from([
    archive(member("50-annex", b"A = 1\n"), member("tokens.d/t", b"t")),
    archive(member("a" * 120, b"A"), form=tarfile.GNU_FORMAT),
    pax(path="50-other", comment="c"),
    gzip.compress(GOOD),
    lzma.compress(GOOD),
    zlib.compress(GOOD),
])  # fmt: skip


@given(SEEDS, DAMAGE, st.integers(0, 12000))
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_damaged_archives_are_installed_within_the_place_or_refused(
    tmp_path: Path, config_dir: Path, seed: bytes, damage: list[tuple[int, bytes]], end: int
) -> None:
    """No other error comes out, and nothing appears where nothing belongs."""
    content = bytearray(seed)
    for place, data in damage:
        content[place : place + len(data)] = data
    shutil.rmtree(config_dir.parent)
    config_dir.mkdir(parents=True)
    try:
        installed = put(config_dir, bytes(content[:end]), "50-plain")
    except RefusedError:
        installed = []
    allowed = {f"etc/condor/{name}" for name in installed} | {"etc/passwd"}
    assert {name for name in tree(tmp_path) if (tmp_path / name).is_file()} == allowed
