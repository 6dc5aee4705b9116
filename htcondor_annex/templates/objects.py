"""Which names may an S3 object have that a role is to read? Pure.

Sources: S3 User Guide, "General purpose bucket naming rules" and "Naming Amazon S3 objects"; IAM
API reference, PutRolePolicy, for the characters of a policy document.
"""

import ipaddress
import re
from dataclasses import dataclass

__all__ = [
    "BUCKET_PATTERN",
    "KEY_PATTERN",
    "MAX_KEY_BYTES",
    "ObjectName",
    "ObjectNameError",
    "check_object",
]

BUCKET_PATTERN = "[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
"""The form of a bucket's name, as CloudFormation can check it."""

KEY_PATTERN = r"[^*?$\x00-\x1f\x7f]{1,1024}"
"""The form of a key, as CloudFormation can check it; stricter than `check_object` on `$`."""

MAX_KEY_BYTES = 1024

_RESERVED_STARTS = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_ENDS = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
_LAST_IN_A_POLICY = "\u00ff"


class ObjectNameError(ValueError):
    """A name that S3 would refuse, or that would grant something else than one object.

    Attributes:
        problems: All that is wrong, one line each.
    """

    def __init__(self, problems: list[str]) -> None:
        """Hold the problems."""
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class ObjectName:
    """One S3 object, its name checked."""

    bucket: str
    key: str


def check_object(bucket: str, key: str) -> ObjectName:
    """Return the object of this name.

    Raises:
        ObjectNameError: Listing all that is wrong with it.
    """
    problems = [f"bucket {bucket!r}: {why}" for why in _bucket_problems(bucket)]
    problems += [f"key {key!r}: {why}" for why in _key_problems(key)]
    if problems:
        raise ObjectNameError(problems)
    return ObjectName(bucket, key)


def _bucket_problems(bucket: str) -> list[str]:
    if not re.fullmatch(BUCKET_PATTERN, bucket):
        form = "3 to 63 small letters, digits, hyphens and dots, a letter or digit at either end"
        return [f"a bucket's name has {form}"]
    problems = []
    if ".." in bucket:
        problems.append("no two dots may stand side by side")
    if _is_address(bucket):
        problems.append("it must not look like an IP address")
    problems += [f"it must not begin with {s}" for s in _RESERVED_STARTS if bucket.startswith(s)]
    problems += [f"it must not end with {end}" for end in _RESERVED_ENDS if bucket.endswith(end)]
    return problems


def _is_address(bucket: str) -> bool:
    try:
        ipaddress.IPv4Address(bucket)
    except ValueError:
        return False
    return True


def _key_problems(key: str) -> list[str]:
    if not key:
        return ["it is empty"]
    problems = []
    if len(key.encode(errors="surrogatepass")) > MAX_KEY_BYTES:
        problems.append(f"it is longer than {MAX_KEY_BYTES} bytes")
    if "*" in key or "?" in key:
        problems.append("* and ? are wildcards in a policy: they would grant more than one object")
    if "${" in key:
        problems.append("${ begins a variable in a policy: it would grant another object")
    if not key.isprintable():
        problems.append("it has control or other unprintable characters")
    if any(character > _LAST_IN_A_POLICY for character in key):
        problems.append("a policy holds no character beyond U+00FF")
    if {"", ".", ".."} & set(key.split("/")):
        problems.append("no part between slashes may be empty, . or ..")
    return problems
