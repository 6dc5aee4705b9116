"""The life of an annex, and the sequence of its provisioning."""

from itertools import combinations

import pytest

from htcondor_annex.annex import TRANSITIONS, AnnexEvent, AnnexState, StepName
from htcondor_annex.provision import table

FINAL = {AnnexState.ENDED, AnnexState.FAILED}


def test_every_state_can_be_reached() -> None:
    """Every state but the first is the end of some transition."""
    assert set(TRANSITIONS.values()) | {AnnexState.REQUESTED} == set(AnnexState)


def test_only_final_states_have_no_way_out() -> None:
    """Every state that is not final can be left."""
    assert {state for state, _ in TRANSITIONS} == set(AnnexState) - FINAL


def test_every_event_moves_something() -> None:
    """No event is without effect everywhere."""
    assert {event for _, event in TRANSITIONS} == set(AnnexEvent)


def test_capacity_waits_for_all_the_rest() -> None:
    """The fleet may be asked for only when every other step is done."""
    others = [step for step in table.STEPS if step is not StepName.REQUEST_SPOT_FLEET]
    early = [
        done
        for size in range(len(others))
        for done in combinations(others, size)
        if StepName.REQUEST_SPOT_FLEET in table.ready(done, done)
    ]
    assert early == []
    assert table.ready(others, others) == [StepName.REQUEST_SPOT_FLEET]


def test_independent_steps_start_together() -> None:
    """What needs nobody's answer starts at once."""
    assert table.ready([], []) == [StepName.CHECK_LEASE_FUNCTION, StepName.PUT_RULE]


def test_a_step_starts_once() -> None:
    """What was started is not started again."""
    assert table.ready([], [StepName.PUT_RULE]) == [StepName.CHECK_LEASE_FUNCTION]


def test_undo_goes_in_reverse() -> None:
    """The fleet goes before the lease that guards it; a look leaves nothing to undo."""
    assert list(table.undo_order(set(StepName))) == [
        StepName.REQUEST_SPOT_FLEET,
        StepName.PUT_TARGETS,
        StepName.PUT_RULE,
    ]


@pytest.mark.parametrize("step", list(table.STEPS))
def test_needs_are_met_in_the_tables_order(step: StepName) -> None:
    """The table lists a step after all that it needs."""
    order = list(table.STEPS)
    assert all(order.index(need) < order.index(step) for need in table.STEPS[step].needs)
