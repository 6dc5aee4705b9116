"""All that can be read in a journal, and every damage in it. Pure.

`classadlog.read` stops at the first damage; this goes on. It finds none exactly where a journal
can be opened.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from htcondor_annex.annex import Annex, Endpoints, Identity, Lease, Owner
from htcondor_annex.journal import attributes, classadlog
from htcondor_annex.journal.ads import MYTYPE, Ad, Ads
from htcondor_annex.journal.classadlog import HistoricalSequenceNumber, Operation, SetAttribute
from htcondor_annex.journal.ondisk import DAEMON_KEY, DAEMON_TYPE, read_annex, wrong_type
from htcondor_annex.journal.quoting import Quoting

__all__ = ["Damage", "Incomplete", "Survey", "survey"]

_ID, _NAME, _DAEMONS_ID = "AnnexID", "AnnexName", "AnnexdID"
_SAMPLE = Annex(
    identity=Identity("id", "name", "annexd"),
    owner=Owner(0, "owner"),
    lease=Lease(0, "function"),
    endpoints=Endpoints("region", "ec2", "events", "lambda"),
    access_key_file="access",
    secret_key_file="secret",  # noqa: S106  (a name, and of no file)
    client_token="token",  # noqa: S106  (no secret)
    parameters={},
    created=0,
)
"""An annex with no more than every annex has; a value is damaged if it spoils this one."""


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is not as it must be.

    Attributes:
        line: Its number, from 1; 0 if it is of no line.
        reason: What is wrong.
        key: The ad that it is of, or empty.
    """

    line: int
    reason: str
    key: str


@dataclass(frozen=True, slots=True)
class Incomplete:
    """An annex of which too little can be read.

    Attributes:
        missing: The attributes that are.
    """

    key: str
    name: str
    missing: tuple[str, ...]


@dataclass(slots=True)
class Survey:
    """What a journal holds.

    Attributes:
        size: Bytes.
        unfinished: Bytes at its end that were never committed; no damage.
        transactions: How many were committed.
        first: The log's number and time of making.
        annexd_id: The daemon's own, from an annex if need be; empty if it is nowhere.
        ads: Key to ad of the annexes that are whole, mended where that was possible.
        annexes: The same.
        incomplete: The others.
        damages: In the order of their lines.
    """

    size: int = 0
    unfinished: int = 0
    transactions: int = 0
    first: HistoricalSequenceNumber = field(default_factory=lambda: HistoricalSequenceNumber(0, 0))
    annexd_id: str = ""
    ads: dict[str, Ad] = field(default_factory=dict)
    annexes: dict[str, Annex] = field(default_factory=dict)
    incomplete: list[Incomplete] = field(default_factory=list)
    damages: list[Damage] = field(default_factory=list)


@dataclass(slots=True)
class _Bad:
    """A line that is no operation, before it is known whose it is."""

    line: int
    reason: str
    words: list[str]
    near: str
    zeros: bool


class _Walk:
    """A walk through a log that stops at nothing."""

    def __init__(self) -> None:
        self.ads = Ads()
        self.lines: dict[str, dict[str, int]] = {}  # where an ad's attributes were set last
        self.bad: list[_Bad] = []
        self.pending: list[tuple[int, Operation]] | None = None
        self.pending_bad: list[_Bad] = []
        self.offset = self.good = self.transactions = 0
        self.near = ""

    def begin(self, number: int) -> None:
        if self.pending is not None:
            self.bad.append(
                _Bad(number, "a transaction begins inside another", [], self.near, zeros=False)
            )
            self.commit()
        self.pending = []

    def end(self, number: int) -> None:
        if self.pending is None:
            reason = "a transaction ends that never began"
            self.bad.append(_Bad(number, reason, [], self.near, zeros=False))
        else:
            self.transactions += 1
        self.commit()

    def commit(self) -> None:
        for number, operation in self.pending or []:
            self.take(number, operation)
        self.bad += self.pending_bad
        self.pending, self.pending_bad, self.good = None, [], self.offset

    def operation(self, number: int, text: str) -> None:
        try:
            operation = classadlog.decode(text)
        except ValueError as error:
            bad = _Bad(number, str(error), text.split(), self.near, zeros="\0" in text)
            (self.bad if self.pending is None else self.pending_bad).append(bad)
            return
        if not isinstance(operation, HistoricalSequenceNumber):
            self.near = operation.key
        if self.pending is None:
            self.take(number, operation)
            self.good = self.offset
        else:
            self.pending.append((number, operation))

    def take(self, number: int, operation: Operation) -> None:
        self.ads.take(operation)
        if isinstance(operation, HistoricalSequenceNumber):
            return
        lines = self.lines.setdefault(operation.key, {})
        if isinstance(operation, SetAttribute):
            lines[operation.name] = number
        else:
            lines.setdefault(MYTYPE, number)

    def finish(self) -> None:
        """Drop a last transaction that was not finished; keep one that is damaged."""
        if any(not bad.zeros for bad in self.pending_bad):
            self.commit()  # its end may be the very line that is damaged

    def owner(self, bad: _Bad) -> str:
        """Return the ad that a bad line is of, as far as can be guessed."""
        named = bad.words[1] if len(bad.words) > 1 else ""
        return named if named in self.lines else bad.near


def survey(lines: Iterable[str], quoting: Quoting) -> Survey:
    """Read whatever can be read of a log.

    Args:
        lines: The log's, each with its end, as `classadlog.read` takes them.
        quoting: How ClassAd strings become texts.
    """
    walk, found = _Walk(), Survey()
    for number, line in enumerate(lines, 1):
        size = len(line.encode("utf-8", "surrogateescape"))
        found.size += size
        if not line.endswith("\n"):
            break  # torn: the write did not finish
        walk.offset += size
        mark = line.rstrip("\n").rstrip(" ")
        if mark == classadlog.BEGIN:
            walk.begin(number)
        elif mark == classadlog.END:
            walk.end(number)
        else:
            walk.operation(number, line[:-1])
    walk.finish()
    found.unfinished = found.size - walk.good
    found.transactions = walk.transactions
    found.first = walk.ads.first
    found.damages = [Damage(bad.line, bad.reason, walk.owner(bad)) for bad in walk.bad]
    _look_at_ads(found, walk, quoting)
    found.damages.sort(key=lambda damage: damage.line)
    return found


def _look_at_ads(found: Survey, walk: _Walk, quoting: Quoting) -> None:
    ads = walk.ads.found
    if not ads:
        return
    _find_daemon(found, walk, quoting)
    for key, ad in ads.items():
        if key == DAEMON_KEY:
            continue
        try:
            found.annexes[key] = read_annex(key, ad, quoting)
            found.ads[key] = ad
        except ValueError as error:
            _look_closer(found, walk, key, str(error), quoting)


def _look_closer(found: Survey, walk: _Walk, key: str, error: str, quoting: Quoting) -> None:
    """Find what is wrong with an ad, and whether enough of it is left."""
    lines = walk.lines[key]
    first = lines.get(MYTYPE) or min(lines.values())
    damages, mended = _mend(key, walk.ads.found[key], found.annexd_id, quoting)
    # What a damaged line has taken away is not told again.
    if not damages and not any(damage.key == key for damage in found.damages):
        damages = {MYTYPE: error}
    found.damages += [
        Damage(lines.get(name, first), reason, key) for name, reason in damages.items()
    ]
    try:
        found.annexes[key] = read_annex(key, mended, quoting)
        found.ads[key] = mended
    except ValueError:
        missing = tuple(name for name in attributes.to_attributes(_SAMPLE) if name not in mended)
        name = _text(mended.get(_NAME), quoting)
        found.incomplete.append(Incomplete(key, name, missing))


def _find_daemon(found: Survey, walk: _Walk, quoting: Quoting) -> None:
    """Find the daemon's own id."""
    daemon = walk.ads.found.get(DAEMON_KEY, {})
    own = _text(daemon.get(_DAEMONS_ID), quoting)
    if not own or daemon.get(MYTYPE) != DAEMON_TYPE:
        lines = walk.lines.get(DAEMON_KEY, {})
        reason = f"there is no ad {DAEMON_KEY!r} with the daemon's own id"
        found.damages.append(Damage(lines.get(MYTYPE, 0), reason, DAEMON_KEY))
    if not own:
        ids = [_text(ad.get(_DAEMONS_ID), quoting) for ad in walk.ads.found.values()]
        told = [one for one in ids if one]
        own = max(told, key=told.count, default="")
    found.annexd_id = own


def _text(expression: str | None, quoting: Quoting) -> str:
    """Return a string's text; nothing if there is none."""
    try:
        return quoting.unquote(expression or "")
    except ValueError:
        return ""


def _mend(
    key: str, ad: Mapping[str, str], annexd_id: str, quoting: Quoting
) -> tuple[dict[str, str], Ad]:
    """Return the damaged attributes with the reasons, and the ad without them.

    What a journal tells more than once is put in again: the annex's id, the daemon's, the type.
    """
    sample = quoting.ad(_SAMPLE)
    damages: dict[str, str] = {}
    mended: Ad = {MYTYPE: attributes.MYTYPE}
    if ad.get(MYTYPE) != attributes.MYTYPE:
        damages[MYTYPE] = wrong_type(key, ad)
    for name, text in ad.items():
        try:
            quoting.annex({**sample, name: text})
        except KeyError:
            damages[name] = f"{name}: {text[:80]!r} is of the wrong type"
        except ValueError as error:
            reason = str(error)
            damages[name] = reason if reason.startswith(name) else f"{name}: {reason}"
        else:
            mended.setdefault(name, text)
    if _text(mended.get(_ID), quoting) not in ("", key):
        damages[_ID] = f"the ad {key} holds the annex {_text(mended[_ID], quoting)}"
    mended[_ID] = quoting.quote(key)
    if annexd_id:
        mended.setdefault(_DAEMONS_ID, quoting.quote(annexd_id))
    return damages, mended
