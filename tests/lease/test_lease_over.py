"""What belongs to which annex, and which lease is over: decisions, with no AWS at all."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htcondor_annex.lease import over
from htcondor_annex.lease.over import Annex, Lease, Thing, gather

A = "0b9d2a52-3b0e-4d57-9f0f-5d1c5f0a0001"
B = "0b9d2a52-3b0e-4d57-9f0f-5d1c5f0a0002"
NOW = 1_800_000_000


def fleet(name: str, annex: str | None = None, expires: int | None = None) -> Thing:
    """Return a fleet that is active."""
    return Thing(name, annex, expires, live=True)


def instance(
    name: str, annex: str | None = None, expires: int | None = None, of: str | None = None
) -> Thing:
    """Return an instance that runs."""
    return Thing(name, annex, expires, live=True, fleet=of)


def owned(annexes: dict[str, Annex]) -> dict[str, list[str]]:
    """Return the ids of what each annex has."""
    return {
        name: [one.id for one in (*annex.fleets, *annex.instances)]
        for name, annex in annexes.items()
    }


def test_things_of_two_annexes_are_kept_apart() -> None:
    """Ids that differ in their last character are two annexes."""
    fleets, instances = [fleet("sfr-a", A), fleet("sfr-b", B)], [instance("i-a", A)]
    assert {A: ["sfr-a", "i-a"], B: ["sfr-b"]} == owned(gather(fleets, instances, None))


def test_one_annex_alone_may_be_asked_for() -> None:
    """A rule's event concerns its own annex, whatever else is seen."""
    fleets, instances = [fleet("sfr-a", A), fleet("sfr-b", B)], [instance("i-b", B)]
    assert {A: ["sfr-a"]} == owned(gather(fleets, instances, A))


def test_an_untagged_instance_is_its_fleets_annexs() -> None:
    """A launch template may leave our tags out; AWS's own says whose it is."""
    annexes = gather([fleet("sfr-a", A)], [instance("i-1", of="sfr-a")], None)
    assert {A: ["sfr-a", "i-1"]} == owned(annexes)


def test_an_instance_of_a_strangers_fleet_is_left() -> None:
    """Neither tag nor fleet of ours: none of our business."""
    assert {} == gather([fleet("sfr-x")], [instance("i-1", of="sfr-x")], None)


def test_a_lease_without_an_annex_stands_for_itself() -> None:
    """The tag of a lease is enough to be ended by the sweep, and for that thing alone."""
    annexes = gather([fleet("sfr-1", None, NOW)], [instance("i-1", None, NOW + 9)], None)
    assert [True, False] == [annexes[name].over(NOW + 1) for name in ("sfr-1", "i-1")]


def test_an_instance_seen_twice_counts_once() -> None:
    """By its tag and by its fleet it is one instance."""
    twice = [instance("i-1", A, of="sfr-a")] * 2
    assert {A: ["sfr-a", "i-1"]} == owned(gather([fleet("sfr-a", A)], twice, None))


@pytest.mark.parametrize(("now", "ended"), [(NOW - 1, False), (NOW, False), (NOW + 1, True)])
def test_a_lease_is_over_in_the_second_after_its_end(now: int, ended: bool) -> None:  # noqa: FBT001
    """In the second that the tag names the annex still lives."""
    assert ended == Annex(A, [fleet("sfr-a", A, NOW)]).over(now)


def test_with_no_end_named_nothing_is_over() -> None:
    """What cannot be read as a time ends nothing."""
    assert not Annex(A, [fleet("sfr-a", A)]).over(NOW)


_TIMES = st.none() | st.integers(1, 40)


@given(st.lists(_TIMES), st.lists(_TIMES), _TIMES, _TIMES)
def test_the_newest_end_counts(
    fleets: list[int | None], instances: list[int | None], rule: int | None, said: int | None
) -> None:
    """Whoever wrote it where: an extension is honoured wherever it has arrived."""
    annex = Annex(
        A,
        [fleet(f"sfr-{n}", A, end) for n, end in enumerate(fleets)],
        [instance(f"i-{n}", A, end) for n, end in enumerate(instances)],
        lease=None if said is None else Lease(A, said, f"htcondor-annex-{A}"),
        rule_expires=rule,
    )
    assert _latest([*fleets, *instances, rule, said]) == annex.expires


def _latest(ends: Iterable[int | None]) -> int | None:
    known = sorted(one for one in ends if one is not None)
    return known[-1] if known else None


_THINGS = st.lists(
    st.builds(
        Thing,
        st.sampled_from(["sfr-1", "sfr-2", "i-1", "i-2", "i-3"]),
        st.sampled_from([None, A, B, A[:-1], f"{A}0"]),
        st.sampled_from([None, NOW - 1, NOW, NOW + 1]),
        st.booleans(),
        st.sampled_from([None, "sfr-1", "sfr-2"]),
    ),
    max_size=6,
)


@given(_THINGS, _THINGS)
def test_nothing_without_a_tag_of_ours_is_ever_owned(
    fleets: list[Thing], instances: list[Thing]
) -> None:
    """Every thing of an annex carries its id, or a lease, or is of a fleet that does."""
    ours = {one.id for one in fleets if one.annex or one.expires is not None}
    for annex in gather(fleets, instances, None).values():
        for one in (*annex.fleets, *annex.instances):
            assert one.annex or one.expires is not None or one.fleet in ours


@given(_THINGS, _THINGS)
def test_no_annex_has_what_carries_anothers_id(fleets: list[Thing], instances: list[Thing]) -> None:
    """Matching is by equality: no beginning of an id, no fleet outweighs a thing's own tag."""
    for name, annex in gather(fleets, instances, None).items():
        assert {name} >= {one.annex for one in (*annex.fleets, *annex.instances) if one.annex}


SWEEPS = [
    {"Sweep": False},
    {"Sweep": 1},
    {"Sweep": "true"},
    {"Sweep": None},
    {"Sweep": True, "DryRun": "yes"},
    {"Sweep": True, "DryRun": 1},
    {"Sweep": True, "DryRun": None},
    {"Sweep": True, "AnnexID": A},
    {"Sweep": True, "sweep": True},
]


@pytest.mark.parametrize("event", SWEEPS, ids=str)
def test_a_sweep_is_asked_for_exactly(event: dict[str, object]) -> None:
    """Anything beside it, or nearly it, is no sweep."""
    with pytest.raises(over.BadEventError):
        over.read_event(event)


@pytest.mark.parametrize("dry", [False, True])
def test_a_sweep_may_be_dry(dry: bool) -> None:  # noqa: FBT001
    """DryRun true looks only; false is as if it were not there."""
    assert over.Sweep(dry) == over.read_event({"Sweep": True, "DryRun": dry})
    assert over.Sweep() == over.read_event({"Sweep": True})
