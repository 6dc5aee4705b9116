"""Giving up root for the user that HTCondor's daemons run as."""

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass

from htcondor_annex.errors import KnobError

__all__ = ["Ids", "condor_ids", "drop_root"]


@dataclass(frozen=True, slots=True)
class Ids:
    """A user: numeric ids and, where there is one, the name."""

    uid: int
    gid: int
    name: str


def condor_ids(param: Mapping[str, str]) -> Ids:
    """Return the user HTCondor's daemons run as: CONDOR_IDS, else the user `condor`.

    `0.0` keeps root: for trials on a machine that has nobody else to be.

    Raises:
        KnobError: If there is neither (HTCondor manual, "CONDOR_IDS").
    """
    text = (
        os.environ.get("_CONDOR_CONDOR_IDS")
        or os.environ.get("CONDOR_IDS")
        or param.get("CONDOR_IDS", "")
    )
    if text:
        uid, dot, gid = text.partition(".")
        if not (dot and uid.isdecimal() and gid.isdecimal()):
            raise KnobError(f"CONDOR_IDS: {text!r} is not UID.GID")
        try:
            name = pwd.getpwuid(int(uid)).pw_name
        except KeyError:
            name = ""
        return Ids(int(uid), int(gid), name)
    try:
        entry = pwd.getpwnam("condor")
    except KeyError as error:
        raise KnobError(
            "started as root, but there is neither a user condor nor CONDOR_IDS to become",
            advice="Set CONDOR_IDS = UID.GID, or start annexd as an ordinary user.",
        ) from error
    return Ids(entry.pw_uid, entry.pw_gid, entry.pw_name)


def drop_root(ids: Ids) -> None:
    """Become that user for good: real, effective and saved ids, and its groups alone."""
    if ids.name:
        os.initgroups(ids.name, ids.gid)
    else:
        os.setgroups([])
    os.setresgid(ids.gid, ids.gid, ids.gid)
    os.setresuid(ids.uid, ids.uid, ids.uid)
