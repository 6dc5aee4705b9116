"""A user's key pair, read from the two files that the caller named."""

import os
import re
from dataclasses import dataclass, field

from htcondor_annex.errors import KeyFileError

__all__ = ["MAX_KEY_FILE", "Credentials", "parse_key"]

MAX_KEY_FILE = 4096
"""Bytes; both keys of AWS are far shorter."""

# IAM API reference, AccessKey: the id is 16 to 128 word characters. Secrets have no documented
# form; they are one word of printable ASCII.
_FORMS = {
    "access": (
        re.compile(rb"\w{16,128}", re.ASCII),
        "an access key ID (16 to 128 letters, digits)",
    ),
    "secret": (re.compile(rb"[!-~]{16,256}"), "a secret access key (one word)"),
}


@dataclass(frozen=True, slots=True)
class Credentials:
    """One access key; its secret shows in no representation."""

    access_key_id: str
    secret_access_key: str = field(repr=False)


def parse_key(kind: str, path: str, descriptor: int) -> str:
    """Read one key from an open file, and close it.

    Args:
        kind: `access` or `secret`.
        path: For errors.
        descriptor: Of a regular file, opened as its owner.

    Raises:
        KeyFileError: If the file holds something else; its content is never shown.
    """
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(MAX_KEY_FILE + 1)
    form, description = _FORMS[kind]
    word = content.strip()
    if len(content) > MAX_KEY_FILE or not form.fullmatch(word):
        raise KeyFileError(
            f"the {kind} key file {path} does not hold {description}",
            advice="It must hold the key and nothing else.",
        )
    return word.decode("ascii")
