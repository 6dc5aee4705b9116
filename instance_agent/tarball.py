"""A tar archive, read as strictly as a file from outside deserves.

Each header block is decoded by the standard library (`tarfile.TarInfo.frombuf`, which verifies the
checksum); the walk over the blocks is our own. `tarfile`'s own walk takes a damaged header for the
end of the archive, follows extension headers without bound, and some Python versions in use never
come back from a negative size (CVE-2025-8194) or a crafted pax header (CVE-2024-6232).

Formats: POSIX ustar and pax, and GNU's long names ("Basic Tar Format" in the GNU tar manual; pax
in IEEE Std 1003.1). Plain, or compressed with gzip or xz.
"""

import lzma
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from instance_agent.errors import RefusedError

__all__ = ["Limits", "Member", "compression", "inflate", "is_tar", "members"]

BLOCK = 512
CHUNK_BYTES = 64 * 1024
XZ_MEMORY_BYTES = 32 * 1024 * 1024
"""What decompressing may take: presets of xz up to -7 (xz(1)), and no bomb of a dictionary."""

_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"PK\x03\x04": "zip",
}
_REFUSED_TYPES = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a FIFO",
    tarfile.CONTTYPE: "a contiguous file",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
    tarfile.GNUTYPE_LONGLINK: "a long link",
}
_PAX_RECORD = re.compile(rb"([1-9][0-9]{0,6}) ")


@dataclass(frozen=True)
class Limits:
    """What an archive may hold; the defaults are far beyond any pool's configuration.

    Attributes:
        members: Files and directories.
        file_bytes: Size of one file.
        total_bytes: Size of the unpacked archive, its headers included.
        ratio: Unpacked size to packed size, looked at above `ratio_from` bytes.
        ratio_from: In bytes; a small archive of text may well shrink a lot.
        extension_bytes: One pax or long-name header.
    """

    members: int = 256
    file_bytes: int = 1024 * 1024
    total_bytes: int = 16 * 1024 * 1024
    ratio: int = 100
    ratio_from: int = 1024 * 1024
    extension_bytes: int = 16 * 1024


@dataclass(frozen=True)
class Member:
    """One file or directory of an archive.

    Attributes:
        name: As the archive has it, without the slash that ends a directory's.
        is_directory: Or else a regular file.
        mode: Permission bits, as the archive has them.
        offset: Of its content in the archive, in bytes.
        size: Of its content, in bytes.
    """

    name: str
    is_directory: bool
    mode: int
    offset: int
    size: int


class _Decompressor(Protocol):
    """What zlib's and lzma's have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...


def compression(start: bytes) -> str | None:
    """Name of the compression that content starting so has; None if none is known."""
    return next((name for magic, name in _MAGIC.items() if start.startswith(magic)), None)


def is_tar(block: bytes) -> bool:
    """Whether content that begins with this block is a tar archive."""
    if len(block) < BLOCK:
        return False
    try:
        tarfile.TarInfo.frombuf(block[:BLOCK], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        # An archive with nothing in it, or a damaged one that still says what it is.
        return block[257:262] == b"ustar" or not any(block[:BLOCK])
    return True


def inflate(source: BinaryIO, packed: int, kind: str, target: BinaryIO, limits: Limits) -> int:
    """Decompress `source` into `target`; the unpacked size in bytes.

    Args:
        source: At its beginning.
        packed: Its size in bytes.
        kind: `gzip` or `xz`.
        target: Where to write.
        limits: `total_bytes` and `ratio` are enforced.

    Raises:
        RefusedError: It is damaged, truncated, followed by something, or too large.
    """
    step = {"gzip": _gunzip, "xz": _unxz}.get(kind)
    if step is None:
        raise RefusedError(f"it is compressed with {kind}; use tar with gzip or xz")
    size = 0
    try:
        for piece in step(source):
            size += len(piece)
            if size > limits.total_bytes:
                raise RefusedError(f"it unpacks to more than {limits.total_bytes} bytes")
            if size > limits.ratio_from and size > limits.ratio * packed:
                raise RefusedError(f"it unpacks to more than {limits.ratio} times its size")
            target.write(piece)
    except (zlib.error, lzma.LZMAError, EOFError) as error:
        raise RefusedError(f"its {kind} compression is damaged or needs too much memory") from error
    return size


def _gunzip(source: BinaryIO) -> Iterator[bytes]:
    decompressor = zlib.decompressobj(wbits=31)
    while not decompressor.eof:
        # What is not decompressed yet comes back as the next input: output is bounded, too.
        data = decompressor.unconsumed_tail or source.read(CHUNK_BYTES)
        if not data:
            raise EOFError
        yield decompressor.decompress(data, CHUNK_BYTES)
    _expect_end(decompressor, source)


def _unxz(source: BinaryIO) -> Iterator[bytes]:
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES)
    while not decompressor.eof:
        data = source.read(CHUNK_BYTES) if decompressor.needs_input else b""
        if decompressor.needs_input and not data:
            raise EOFError
        yield decompressor.decompress(data, CHUNK_BYTES)
    _expect_end(decompressor, source)


def _expect_end(decompressor: _Decompressor, source: BinaryIO) -> None:
    """Nothing but padding may follow the one compressed stream."""
    rest = decompressor.unused_data
    while rest:
        if any(rest):
            raise RefusedError("something follows its compressed content")
        rest = source.read(CHUNK_BYTES)


def members(archive: BinaryIO, size: int, limits: Limits) -> Iterator[Member]:
    """The members of an uncompressed tar archive, in its order; each is checked on its own.

    Args:
        archive: Can be read at any place.
        size: Its size in bytes.
        limits: What it may hold.

    Raises:
        RefusedError: A member is none of a regular file and a directory, a limit is passed, a
            header is damaged, or the archive is cut off. Names are not judged here.
    """
    place, count, extended_name = 0, 0, None
    while True:
        block = _read(archive, place, BLOCK, size)
        place += BLOCK
        if not any(block):
            _expect_zeros(archive, place, size)
            if extended_name is not None:
                raise RefusedError("it ends after an extension header")
            return
        header = _header(block)
        if header.size < 0 or place + header.size > size:
            raise RefusedError("a member is longer than the archive: it is cut off or damaged")
        content, following = place, place + -(-header.size // BLOCK) * BLOCK
        if header.type in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME):
            if header.size > limits.extension_bytes:
                raise RefusedError(f"an extension header has {header.size} bytes")
            extension = _read(archive, content, header.size, size)
            name = _extension(header.type, extension)
            if name is not None and extended_name is not None:
                raise RefusedError("a member has two long names")
            extended_name = name if name is not None else extended_name
        else:
            count += 1
            if count > limits.members:
                raise RefusedError(f"it has more than {limits.members} members")
            yield _member(header, extended_name, content, limits)
            extended_name = None
        place = following


def _header(block: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.HeaderError, ValueError, OverflowError) as error:
        raise RefusedError("a member's header is damaged, or its name is not UTF-8") from error


def _member(
    header: tarfile.TarInfo, extended_name: str | None, offset: int, limits: Limits
) -> Member:
    name = header.name if extended_name is None else extended_name
    shown = repr(name[:100])
    if header.type in _REFUSED_TYPES:
        raise RefusedError(f"its member {shown} is {_REFUSED_TYPES[header.type]}")
    if header.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE):
        raise RefusedError(f"its member {shown} is of unknown type {header.type!r}")
    is_directory = header.type == tarfile.DIRTYPE
    if is_directory and header.size:
        raise RefusedError(f"its directory {shown} has content")
    if header.size > limits.file_bytes:
        raise RefusedError(f"its member {shown} is larger than {limits.file_bytes} bytes")
    if header.mode & 0o7000:
        raise RefusedError(f"its member {shown} is setuid, setgid or sticky")
    return Member(
        name=name.rstrip("/") if is_directory else name,
        is_directory=is_directory,
        mode=header.mode & 0o777,
        offset=offset,
        size=header.size,
    )


def _extension(kind: bytes, data: bytes) -> str | None:
    """The name that an extension header gives to the next member, if it gives one."""
    if kind == tarfile.GNUTYPE_LONGNAME:
        return _text(data.removesuffix(b"\0"))
    name = None
    for keyword, value in _pax(data):
        if keyword == b"path" and kind == tarfile.XHDTYPE and name is None:
            name = _text(value)
        elif keyword in (b"path", b"size", b"linkpath", b"hdrcharset") or keyword.startswith(
            b"GNU.sparse."
        ):
            raise RefusedError(f"an extension header sets {keyword.decode()}")
    return name


def _pax(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Records of a pax header: `length keyword=value`, the length counting all of the record."""
    place = 0
    while place < len(data):
        found = _PAX_RECORD.match(data, place)
        end = place + int(found[1]) if found else -1
        if not found or end <= found.end() or end > len(data) or data[end - 1 : end] != b"\n":
            raise RefusedError("an extension header is damaged")
        keyword, separator, value = data[found.end() : end - 1].partition(b"=")
        if not separator:
            raise RefusedError("an extension header is damaged")
        yield keyword, value
        place = end


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise RefusedError("a member's name is not UTF-8") from error


def _read(archive: BinaryIO, place: int, count: int, size: int) -> bytes:
    archive.seek(place)
    data = archive.read(count) if place + count <= size else b""
    if len(data) != count:
        raise RefusedError("it is cut off: it does not end as a tar archive does")
    return data


def _expect_zeros(archive: BinaryIO, place: int, size: int) -> None:
    """After the first zero block comes a second one, and then nothing but zeros."""
    if any(_read(archive, place, BLOCK, size)):
        raise RefusedError("something follows its end")
    while data := archive.read(CHUNK_BYTES):
        if any(data):
            raise RefusedError("something follows its end")
