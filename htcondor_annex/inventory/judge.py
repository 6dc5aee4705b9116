"""What AWS holds, held against the journal: what has gone, what nobody owns. Pure.

Absence is believed only when confirmed: AWS's listings are eventually consistent (EC2 API
reference, "Eventual consistency"), so each verdict needs several looks, and time between them.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from htcondor_annex.annex import Annex, AnnexState
from htcondor_annex.inventory.seen import Fleet, Instance, Marks, Rule

__all__ = ["Doubt", "Holdings", "Limits", "Orphan", "Sight", "Verdicts", "judge", "orphans"]

_LOOKS_CANCELLED = 2
_LOOKS_ABSENT = 3
_LOOKS_ORPHAN = 2


@dataclass(frozen=True, slots=True)
class Holdings:
    """What one account holds in one region; rules only where they were looked for.

    Attributes:
        rules: Rules of annexes that the journal does not know, with their tags.
    """

    fleets: tuple[Fleet, ...]
    instances: tuple[Instance, ...]
    rules: tuple[tuple[Rule, Marks], ...] = ()


@dataclass(frozen=True, slots=True)
class Sight:
    """An annex as it was last seen in AWS.

    Attributes:
        fleet_state: SpotFleetRequestState; empty if the fleet was not listed.
        activity: ActivityStatus.
        instances: How many instances are in each state.
        seen: Epoch seconds.
    """

    fleet_state: str
    activity: str
    instances: Mapping[str, int]
    seen: int

    def differs(self, other: "Sight | None") -> bool:
        """Whether it tells anything but its time that the other does not."""
        return other is None or (self.fleet_state, self.activity, self.instances) != (
            other.fleet_state,
            other.activity,
            other.instances,
        )


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something that was seen, and must be seen again before it is acted on.

    Attributes:
        since: When it was first seen, by a monotonic clock.
        looks: How often in a row.
    """

    since: float
    looks: int


@dataclass(frozen=True, slots=True)
class Limits:
    """How long doubts must last, seconds: ANNEXD_CONFIRM_TIME and ANNEXD_ORPHAN_GRACE."""

    confirm: float
    grace: float


@dataclass(frozen=True, slots=True)
class Orphan:
    """What carries this daemon's tag and an annex's id that the journal does not know."""

    annex_id: str
    name: str
    expires: int
    what: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What follows from one look.

    Attributes:
        sights: By annex id.
        gone: Annex id to the reason why the annex is over.
        late: Annexes on whose instances a tag tells another end of the lease.
        doubts: To be handed in at the next look.
    """

    sights: Mapping[str, Sight] = field(default_factory=dict)
    gone: Mapping[str, str] = field(default_factory=dict)
    late: tuple[str, ...] = ()
    doubts: Mapping[str, Doubt] = field(default_factory=dict)


def _again(before: Mapping[str, Doubt], key: str, now: float) -> Doubt:
    known = before.get(key)
    return Doubt(now, 1) if known is None else Doubt(known.since, known.looks + 1)


def _by_annex(instances: Iterable[Instance], annexes: Iterable[Annex]) -> dict[str, list[Instance]]:
    """Return the instances of each annex: by its own tag, or by its fleet's where it has none."""
    by_fleet = {one.capacity_id: one.identity.id for one in annexes if one.capacity_id}
    found: dict[str, list[Instance]] = {}
    for one in instances:
        owner = one.marks.annex_id or by_fleet.get(one.fleet_id, "")
        found.setdefault(owner, []).append(one)
    return found


def judge(
    annexes: Collection[Annex],
    holdings: Holdings,
    before: Mapping[str, Doubt],
    limits: Limits,
    *,
    now: float,
    wall: int,
) -> Verdicts:
    """Return what a look means for the annexes of one account.

    Args:
        annexes: Those of the account, as the journal had them after the look.
        holdings: What was seen.
        before: The doubts of the look before.
        limits: How long doubts must last.
        now: Monotonic seconds.
        wall: Epoch seconds.
    """
    fleets = {one.id: one for one in holdings.fleets}
    instances = _by_annex(holdings.instances, annexes)
    sights: dict[str, Sight] = {}
    gone: dict[str, str] = {}
    late: list[str] = []
    doubts: dict[str, Doubt] = {}
    for annex in annexes:
        if annex.state is not AnnexState.ACTIVE or annex.capacity_id is None:
            continue
        annex_id = annex.identity.id
        fleet = fleets.get(annex.capacity_id)
        own = instances.get(annex_id, [])
        sights[annex_id] = Sight(
            fleet_state="" if fleet is None else fleet.state,
            activity="" if fleet is None else fleet.activity,
            instances=dict(sorted(Counter(one.state for one in own).items())),
            seen=wall,
        )
        if any(one.alive and one.marks.expires not in (None, annex.lease.expires) for one in own):
            late.append(annex_id)
        if (fleet is not None and not fleet.cancelled) or any(one.alive for one in own):
            continue
        key = f"gone {annex_id} {fleet is None}"
        doubt = doubts[key] = _again(before, key, now)
        if fleet is not None and doubt.looks >= _LOOKS_CANCELLED:
            gone[annex_id] = f"its fleet is {fleet.state}: someone else cancelled it"
        elif doubt.looks >= _LOOKS_ABSENT and now - doubt.since >= limits.confirm:
            gone[annex_id] = "AWS does not know its fleet any more"
    return Verdicts(sights, gone, tuple(late), doubts)


def orphans(
    known: Collection[str],
    annexd_id: str,
    holdings: Holdings,
    before: Mapping[str, Doubt],
    limits: Limits,
    *,
    now: float,
) -> tuple[list[Orphan], dict[str, Doubt]]:
    """Return what this daemon made and no annex owns, and the doubts for the next look.

    Args:
        known: The ids of all annexes, as the journal had them after the look.
        annexd_id: This daemon's; what carries another's is never touched.
        holdings: What was seen.
        before: The doubts of the look before.
        limits: How long it must have been seen.
        now: Monotonic seconds.
    """
    found: dict[str, list[tuple[str, Marks]]] = {}
    things = [(one.id, one.marks) for one in holdings.fleets if not one.cancelled]
    things += [(one.id, one.marks) for one in holdings.instances if one.alive]
    things += [(rule.name, marks) for rule, marks in holdings.rules]
    for name, marks in things:
        if marks.annexd_id == annexd_id and marks.annex_id and marks.annex_id not in known:
            found.setdefault(marks.annex_id, []).append((name, marks))
    doubts: dict[str, Doubt] = {}
    ripe: list[Orphan] = []
    for annex_id, own in found.items():
        key = f"orphan {annex_id}"
        doubt = doubts[key] = _again(before, key, now)
        if doubt.looks >= _LOOKS_ORPHAN and now - doubt.since >= limits.grace:
            ripe.append(
                Orphan(
                    annex_id=annex_id,
                    name=next((marks.annex_name for _, marks in own if marks.annex_name), annex_id),
                    expires=max(marks.expires or 0 for _, marks in own),
                    what=tuple(name for name, _ in own),
                )
            )
    return ripe, doubts
