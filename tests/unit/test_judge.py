"""What a look at AWS means for the annexes: absence and orphans must be confirmed."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from htcondor_annex.annex import Annex, AnnexState, Endpoints, Identity, Lease, Owner
from htcondor_annex.inventory.judge import (
    Doubt,
    Holdings,
    Limits,
    Orphan,
    Verdicts,
    judge,
    orphans,
)
from htcondor_annex.inventory.seen import Fleet, Instance, Marks, Rule

LIMITS = Limits(confirm=100, grace=200)
OURS = "this-daemon"
MARKS = Marks("a-1", "name", OURS, 1000)
ANNEX = Annex(
    identity=Identity("a-1", "name", OURS),
    owner=Owner(1000, "user"),
    lease=Lease(1000, "arn"),
    endpoints=Endpoints("us-east-1", "https://ec2", "https://events", "https://lambda"),
    access_key_file="/a",
    secret_key_file="/s",
    client_token="a-1",
    parameters={},
    created=1,
    state=AnnexState.ACTIVE,
    capacity_id="sfr-1",
)
FLEET = Fleet("sfr-1", "active", "fulfilled", MARKS)
INSTANCE = Instance("i-1", "running", "sfr-1", MARKS)


def _look(
    holdings: Holdings,
    now: float = 0.0,
    before: Mapping[str, Doubt] | None = None,
    annex: Annex = ANNEX,
) -> Verdicts:
    return judge([annex], holdings, before or {}, LIMITS, now=now, wall=5)


def _looks(holdings: Holdings, times: tuple[float, ...], annex: Annex = ANNEX) -> Verdicts:
    verdicts = Verdicts()
    for now in times:
        verdicts = _look(holdings, now, verdicts.doubts, annex)
    return verdicts


def test_a_sight_counts_the_instances_by_state() -> None:
    """What is seen of an annex is its fleet's state and how many instances are in each."""
    others = (replace(INSTANCE, id="i-2"), replace(INSTANCE, id="i-3", state="pending"))
    sight = _look(Holdings((FLEET,), (INSTANCE, *others))).sights["a-1"]
    assert (sight.fleet_state, sight.activity, sight.instances, sight.seen) == (
        "active",
        "fulfilled",
        {"pending": 1, "running": 2},
        5,
    )


def test_instances_without_tags_count_by_their_fleet() -> None:
    """An instance of a launch template carries no tag of ours, but AWS's own of its fleet."""
    bare = replace(INSTANCE, marks=Marks())
    assert _look(Holdings((FLEET,), (bare,))).sights["a-1"].instances == {"running": 1}


def test_a_fleet_cancelled_by_someone_is_over_at_the_second_look() -> None:
    """Cancelled, with nothing alive: one look is not enough, two in a row are."""
    gone = Holdings((replace(FLEET, state="cancelled"),), ())
    first, second = _looks(gone, (0.0,)), _looks(gone, (0.0, 1.0))
    assert (dict(first.gone), list(second.gone)) == ({}, ["a-1"])
    assert "someone else cancelled it" in second.gone["a-1"]


def test_a_cancelled_fleet_whose_instances_run_is_not_over() -> None:
    """Cancelled without ending the instances, they go on until the lease ends."""
    runs = Holdings((replace(FLEET, state="cancelled_running"),), (INSTANCE,))
    assert dict(_looks(runs, (0.0, 200.0, 400.0)).gone) == {}


@pytest.mark.parametrize(
    ("times", "gone"),
    [
        ((0.0, 99.0), []),
        ((0.0, 50.0, 99.0), []),
        ((0.0, 101.0), []),
        ((0.0, 50.0, 100.0), ["a-1"]),
    ],
    ids=["two looks", "too soon", "too few looks", "confirmed"],
)
def test_a_fleet_that_is_not_listed(times: tuple[float, ...], gone: list[str]) -> None:
    """A fleet that AWS does not list has gone only after three looks and the confirm time."""
    assert list(_looks(Holdings((), ()), times).gone) == gone


def test_a_fleet_that_is_seen_again_dispels_the_doubt() -> None:
    """Looks must be in a row: seen in between, all begins anew."""
    absent, there = Holdings((), ()), Holdings((FLEET,), ())
    doubts = _looks(absent, (0.0, 50.0)).doubts
    doubts = _look(there, 90.0, doubts).doubts
    assert dict(_look(absent, 150.0, doubts).gone) == {}


def test_instances_alive_keep_an_annex_whose_fleet_is_not_listed() -> None:
    """While an instance of it lives, an annex is not over."""
    assert dict(_looks(Holdings((), (INSTANCE,)), (0.0, 50.0, 300.0)).gone) == {}


def test_an_instance_that_shuts_down_keeps_nothing() -> None:
    """What is shutting down will not come back."""
    ending = Holdings(
        (replace(FLEET, state="cancelled"),), (replace(INSTANCE, state="shutting-down"),)
    )
    assert list(_looks(ending, (0.0, 1.0)).gone) == ["a-1"]


def test_only_active_annexes_are_judged() -> None:
    """One that is being made or ended is its task's business."""
    ending = replace(ANNEX, state=AnnexState.ENDING)
    assert _looks(Holdings((), ()), (0.0, 50.0, 300.0), ending) == Verdicts()


def test_instances_with_an_older_lease_are_late() -> None:
    """An instance launched after an extension carries the lease's end of its fleet's request."""
    annex = replace(ANNEX, lease=Lease(2000, "arn"))
    assert _look(Holdings((FLEET,), (INSTANCE,)), annex=annex).late == ("a-1",)
    assert _look(Holdings((FLEET,), (INSTANCE,))).late == ()


STRANGE = replace(MARKS, annex_id="a-2")


def _orphans(
    holdings: Holdings, times: tuple[float, ...], known: tuple[str, ...] = ("a-1",)
) -> list[str]:
    doubts: Mapping[str, Doubt] = {}
    ripe: list[Orphan] = []
    for now in times:
        ripe, doubts = orphans(known, OURS, holdings, doubts, LIMITS, now=now)
    return [one.annex_id for one in ripe]


@pytest.mark.parametrize(
    "holdings",
    [
        Holdings((replace(FLEET, marks=STRANGE),), ()),
        Holdings((), (replace(INSTANCE, marks=STRANGE),)),
        Holdings((), (), ((Rule("htcondor-annex-a-2", "arn", "a-2"), STRANGE),)),
    ],
    ids=["fleet", "instance", "rule"],
)
def test_an_orphan_is_ended_after_the_grace_time(holdings: Holdings) -> None:
    """A fleet, an instance or a rule of ours that no annex owns: after two looks and the grace."""
    assert _orphans(holdings, (0.0,)) == []
    assert _orphans(holdings, (0.0, 199.0)) == []
    assert _orphans(holdings, (0.0, 200.0)) == ["a-2"]


@pytest.mark.parametrize(
    "marks",
    [
        replace(STRANGE, annexd_id="this-daemon-2"),
        replace(STRANGE, annexd_id="this-daemo"),
        replace(STRANGE, annexd_id=""),
        replace(STRANGE, annex_id=""),
        replace(STRANGE, annex_id="a-1"),
    ],
    ids=["another's", "a prefix", "untagged", "no annex", "known"],
)
def test_what_is_not_this_daemons_orphan_is_never_touched(marks: Marks) -> None:
    """Another daemon's things, near misses, and what an annex owns are let be for ever."""
    holdings = Holdings((replace(FLEET, marks=marks),), (replace(INSTANCE, marks=marks),))
    assert _orphans(holdings, (0.0, 500.0, 1000.0)) == []


def test_what_has_ended_is_no_orphan() -> None:
    """A cancelled fleet and an instance shutting down need nobody to end them."""
    holdings = Holdings(
        (replace(FLEET, marks=STRANGE, state="cancelled"),),
        (replace(INSTANCE, marks=STRANGE, state="shutting-down"),),
    )
    assert _orphans(holdings, (0.0, 500.0)) == []


def test_an_orphan_tells_all_that_it_holds() -> None:
    """Its things are named, and its lease is the latest that any of them tells."""
    later = replace(STRANGE, expires=3000)
    holdings = Holdings((replace(FLEET, marks=STRANGE),), (replace(INSTANCE, marks=later),))
    _, doubts = orphans((), OURS, holdings, {}, LIMITS, now=0.0)
    ((orphan,), _) = orphans((), OURS, holdings, doubts, LIMITS, now=200.0)
    assert (orphan.what, orphan.expires, orphan.name) == (("sfr-1", "i-1"), 3000, "name")
