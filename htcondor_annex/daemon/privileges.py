"""Giving up root for the user that HTCondor's daemons run as."""

import json
import os
import pwd
from collections.abc import Mapping
from typing import NamedTuple

from htcondor_annex import condor
from htcondor_annex.errors import KnobError

__all__ = ["SUBSYSTEM", "Ids", "ask_condor_ids", "condor_ids", "drop_root"]

SUBSYSTEM = "ANNEXD"
_MAX_ANSWER = 16 * 1024


class Ids(NamedTuple):
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


def _look_up() -> dict[str, object]:
    """Return the ids, or why there are none, in JSON's terms."""
    try:
        condor.set_subsystem(SUBSYSTEM)
        return {"ids": condor_ids(condor.Params())}
    except KnobError as error:
        return {"message": error.message, "advice": error.advice}
    except condor.CondorError as error:
        return {"message": str(error), "advice": ""}


def ask_condor_ids() -> Ids:
    """Return `condor_ids`, looked up by a child that loads the bindings in this process's stead.

    Raises:
        KnobError: As `condor_ids` does, or if the bindings cannot be loaded.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.write(writing, json.dumps(_look_up()).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        text = answer.read(_MAX_ANSWER)
    os.waitpid(child, 0)
    if not text:
        raise KnobError("HTCondor's configuration cannot be read")
    found = json.loads(text)
    if "ids" not in found:
        raise KnobError(found["message"], advice=found["advice"])
    return Ids(*found["ids"])


def drop_root(ids: Ids) -> None:
    """Become that user for good: real, effective and saved ids, and its groups alone."""
    if ids.name:
        os.initgroups(ids.name, ids.gid)
    else:
        os.setgroups([])
    os.setresgid(ids.gid, ids.gid, ids.gid)
    os.setresuid(ids.uid, ids.uid, ids.uid)
