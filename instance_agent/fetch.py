"""One object, from S3 to a private file."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from instance_agent.aws import S3Client, asking
from instance_agent.bounded import in_time
from instance_agent.errors import AWSError, Healing, RefusedError
from instance_agent.grants import Candidate

__all__ = ["Fetched", "fetch", "fetch_first"]

MAX_OBJECT_BYTES = 4 * 1024 * 1024
"""A pool's configuration and tokens are some kilobytes; this is beyond any of them."""

CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True)
class Fetched:
    """An object that is here now.

    Attributes:
        path: The file that holds it, mode 0600.
        candidate: Where it came from.
        size: In bytes.
        version: S3's version id, or its ETag in a bucket without versions.
    """

    path: Path
    candidate: Candidate
    size: int
    version: str


def fetch_first(
    s3: S3Client,
    candidates: Iterable[Candidate],
    directory: Path,
    left: Callable[[], float],
) -> Fetched:
    """Get the first of the candidates that AWS lets us have.

    One that is refused or absent gives way to the next; trouble that passes does not, so that a
    busy moment never decides which configuration a machine has.

    Args:
        s3: The client.
        candidates: At least one, the most wanted first.
        directory: Where the file goes, on the file system of the configuration.
        left: Seconds for the next of them.

    Raises:
        AWSError: None could be had; waiting may help if it may help for any of them.
        RefusedError: The object is too large.
    """
    refusals: list[AWSError] = []
    for candidate in candidates:
        try:
            return fetch(s3, candidate, directory, left())
        except AWSError as error:
            if error.healing is Healing.ALWAYS:
                raise
            refusals.append(error)
    settling = any(error.healing is Healing.SETTLING for error in refusals)
    raise AWSError(
        "; ".join(str(error) for error in refusals),
        code=refusals[0].code,
        healing=Healing.SETTLING if settling else Healing.NEVER,
    )


def fetch(s3: S3Client, candidate: Candidate, directory: Path, seconds: float) -> Fetched:
    """Get one object into `directory`; S3's checksum is verified by botocore while it is read.

    Raises:
        AWSError: AWS did not give it, or not whole.
        RefusedError: It is larger than any configuration.
    """
    try:
        version, body = in_time(lambda: _download(s3, candidate), seconds)
    except TimeoutError as error:
        raise AWSError(f"{candidate.url}: {error}", code="", healing=Healing.ALWAYS) from error
    path = directory / "download"
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(body)
    return Fetched(path=path, candidate=candidate, size=len(body), version=version)


def _download(s3: S3Client, candidate: Candidate) -> tuple[str, bytearray]:
    """Version and content of an object, at most `MAX_OBJECT_BYTES` of it."""
    with asking(candidate.url):
        answer = s3.get_object(Bucket=candidate.bucket, Key=candidate.key)
        stream = answer["Body"]
        body = bytearray()
        while chunk := stream.read(CHUNK_BYTES):
            body += chunk
            if len(body) > MAX_OBJECT_BYTES:
                stream.close()
                raise RefusedError(
                    f"{candidate.url} is larger than {MAX_OBJECT_BYTES} bytes; "
                    "a configuration is a text or a small archive"
                )
    version = answer.get("VersionId") or answer.get("ETag") or ""
    return str(version).strip('"')[:1024], body
