"""From a call to what IAM checks for it; the services' tables are in modules of their own.

An action that is in no table is checked against `*`, with no condition keys of its own.
"""

from collections.abc import Mapping

from localcloud import iamec2, iamroles, iams3, iamservices
from localcloud.iamchecks import Asked, Check, Table

__all__ = ["checks", "is_listed"]

_TABLES: Mapping[str, Table] = {
    "ec2": iamec2.TABLE,
    "iam": iamroles.TABLE,
    "sts": iamroles.STS_TABLE,
    "s3": iams3.TABLE,
    **iamservices.TABLES,
}
_UNKNOWN = "Unknown"


def is_listed(asked: Asked) -> bool:
    """Whether a table says what the call needs."""
    return asked.action in _TABLES.get(asked.service, {})


def checks(asked: Asked) -> list[Check]:
    """Return what must be allowed for a call, in the order in which it is asked."""
    entry = _TABLES.get(asked.service, {}).get(asked.action)
    if entry is None:
        return [asked.check(action=asked.action or _UNKNOWN)]
    return entry(asked)
