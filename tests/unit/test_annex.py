"""The life of an annex, and the sequence of its provisioning."""

from itertools import combinations

import pytest

from htcondor_annex.annex import TRANSITIONS, AnnexEvent, AnnexState, LeaseMethod, StepName
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


@pytest.mark.parametrize("steps", table.STEPS.values(), ids=table.STEPS)
def test_capacity_waits_for_all_the_rest(steps: table.Steps) -> None:
    """The fleet may be asked for only when every other step is done."""
    others = [step for step in steps if step is not StepName.REQUEST_SPOT_FLEET]
    early = [
        done
        for size in range(len(others))
        for done in combinations(others, size)
        if StepName.REQUEST_SPOT_FLEET in table.ready(steps, done, done)
    ]
    assert early == []
    assert table.ready(steps, others, others) == [StepName.REQUEST_SPOT_FLEET]


@pytest.mark.parametrize(
    ("method", "together"),
    [
        (
            LeaseMethod.RULE,
            [StepName.CHECK_LEASE_FUNCTION, StepName.CHECK_LEASE_PERMISSION, StepName.PUT_RULE],
        ),
        (LeaseMethod.SWEEP, [StepName.CHECK_LEASE_FUNCTION, StepName.CHECK_SWEEP]),
    ],
)
def test_independent_steps_start_together(method: LeaseMethod, together: list[StepName]) -> None:
    """What needs nobody's answer starts at once."""
    assert table.ready(table.STEPS[method], [], []) == together


def test_a_step_starts_once() -> None:
    """What was started is not started again."""
    started = [StepName.PUT_RULE, StepName.CHECK_LEASE_PERMISSION]
    steps = table.STEPS[LeaseMethod.RULE]
    assert table.ready(steps, [], started) == [StepName.CHECK_LEASE_FUNCTION]


@pytest.mark.parametrize(
    ("method", "order"),
    [
        (
            LeaseMethod.RULE,
            [StepName.REQUEST_SPOT_FLEET, StepName.PUT_TARGETS, StepName.PUT_RULE],
        ),
        (LeaseMethod.SWEEP, [StepName.REQUEST_SPOT_FLEET]),
    ],
)
def test_undo_goes_in_reverse(method: LeaseMethod, order: list[StepName]) -> None:
    """The fleet goes before the lease that guards it; a look leaves nothing to undo."""
    assert list(table.undo_order(table.STEPS[method], set(StepName))) == order


@pytest.mark.parametrize("steps", table.STEPS.values(), ids=table.STEPS)
def test_needs_are_met_in_the_tables_order(steps: table.Steps) -> None:
    """The table lists a step after all that it needs."""
    order = list(steps)
    late = [
        (step.name, need)
        for step in steps.values()
        for need in step.needs
        if order.index(need) >= order.index(step.name)
    ]
    assert late == []


def test_every_method_has_its_tables() -> None:
    """A lease's update is a table of each method too, and every step stands in one."""
    assert set(LeaseMethod) == table.STEPS.keys() == table.UPDATE.keys()
    known = {step for steps in (*table.STEPS.values(), *table.UPDATE.values()) for step in steps}
    assert set(StepName) == known
