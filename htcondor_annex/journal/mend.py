"""`condor_annexd -check-journal [-repair]`: what a journal holds, and what can be saved of it."""

import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from htcondor_annex.annex import AnnexState
from htcondor_annex.errors import JournalError
from htcondor_annex.journal.ads import MYTYPE, block
from htcondor_annex.journal.classadlog import HistoricalSequenceNumber
from htcondor_annex.journal.lock import Lock, holder
from htcondor_annex.journal.logfile import LogFile
from htcondor_annex.journal.ondisk import DAEMON_KEY, DAEMON_TYPE, image
from htcondor_annex.journal.quickread import Texts
from htcondor_annex.journal.quoting import Quoting
from htcondor_annex.journal.survey import Survey, survey

__all__ = ["check", "repair"]


def _read(path: str, quoting: Quoting) -> Survey:
    """Read a journal, which a daemon may be writing.

    Raises:
        JournalError: If it cannot be read.
    """
    try:
        with Path(path).open(encoding="utf-8", errors="surrogateescape", newline="\n") as lines:
            return survey(lines, quoting)
    except OSError as error:
        raise JournalError(f"the journal {path} cannot be read: {error.strerror}") from error


def _summary(path: str, found: Survey) -> Iterator[str]:
    """Yield the lines that tell what a journal holds."""
    yield f"-- Journal: {path} : {found.size} bytes, {found.transactions} transactions"
    pid = holder(path)
    if pid is None:
        yield "No daemon holds it."
    else:
        yield f"A daemon holds it (process {pid or 'unknown'})."
    if not found.unfinished:
        yield "It was closed cleanly." if pid is None else "Its end is whole."
    elif pid is None:
        yield (
            f"Its last {found.unfinished} bytes are a commit that was not finished: "
            "annexd drops them at its next start."
        )
    else:
        yield f"Its last {found.unfinished} bytes are a commit under way."
    yield f"The daemon's id is {found.annexd_id or 'not known'}."
    yield ""
    states = Counter(annex.state for annex in found.annexes.values())
    yield f"{'STATE':<14}{'COUNT':>7}"
    for state in AnnexState:
        if states[state]:
            yield f"{state:<14}{states[state]:>7}"
    yield f"{'TOTAL':<14}{len(found.annexes):>7}"
    if found.damages:
        yield ""
    for damage in found.damages:
        place = f"{path}:{damage.line}" if damage.line else path
        yield f"{place}: {damage.reason}{_whose(damage.key, found)}"


def _whose(key: str, found: Survey) -> str:
    if not key:
        return ""
    if key == DAEMON_KEY:
        return " (the daemon's own ad)"
    names = {one.key: one.name for one in found.incomplete}
    names |= {one.identity.id: one.identity.name for one in found.annexes.values()}
    return f" (annex {key}{f' {names[key]}' if names.get(key) else ''})"


def check(path: str, quoting: Quoting) -> Iterator[str]:
    """Yield the lines of a report on a journal; nothing is changed, and a daemon may hold it.

    Raises:
        JournalError: At the end, if it is damaged; at once if it cannot be read.
    """
    found = _read(path, quoting)
    yield from _summary(path, found)
    if found.damages:
        raise JournalError(
            f"the journal {path} is damaged in {len(found.damages)} "
            f"place{'s' * (len(found.damages) > 1)}",
            advice="End annexd if it runs (`condor_off -daemon annexd`), then run `condor_annexd "
            "-check-journal -repair`: it keeps this file and writes a new one with all that can "
            "be read.",
        )


def repair(path: str, quoting: Quoting) -> Iterator[str]:
    """Yield the lines of a report, and put what can be read of a damaged journal in its place.

    Raises:
        JournalHeldError: If a daemon holds it.
        JournalError: If it cannot be read or written; it then stands as it was.
    """
    lock = Lock(path)
    try:
        found = _read(path, quoting)
        yield from _summary(path, found)
        yield ""
        if not found.damages:
            yield "There is nothing to repair."
            return
        kept = _keep(path)
        yield f"The damaged file is kept as {kept}."
        _put(path, found, quoting)
        yield f"The new journal holds {len(found.annexes)} annexes."
        for one in found.incomplete:
            name = f" {one.name}" if one.name else ""
            yield f"Left out: annex {one.key}{name}, of which is lost: {', '.join(one.missing)}."
        if found.incomplete:
            yield "What these left in AWS has this daemon's tag: annexd will find it and end it."
        if not found.annexd_id:
            yield (
                "The daemon's id is lost: annexd will make a new one, and will not know what has "
                "the old one's tag in AWS. Look there for the tag htcondor:annexd."
            )
    finally:
        lock.release()


def _keep(path: str) -> str:
    """Give the damaged file a second name, and return that."""
    kept = f"{path}.damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    try:
        os.link(path, kept)
    except OSError as error:
        raise JournalError(
            f"the journal {path} cannot be kept as {kept}: {error.strerror}"
        ) from error
    return kept


def _put(path: str, found: Survey, quoting: Quoting) -> None:
    first = HistoricalSequenceNumber(
        found.first.number + 1, found.first.created or int(time.time())
    )
    texts = Texts()
    if found.annexd_id:
        daemon = {MYTYPE: DAEMON_TYPE, "AnnexdID": quoting.quote(found.annexd_id)}
        texts.add(DAEMON_KEY, block(DAEMON_KEY, daemon))
    for key, ad in found.ads.items():
        texts.add(key, block(key, ad))
    with contextlib.closing(LogFile.open(path, "the journal")) as file:
        file.replace(image(first, texts) if texts.found else ())
