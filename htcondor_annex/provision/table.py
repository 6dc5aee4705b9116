"""The sequences of steps as tables: provisioning with its undoing, and a lease's update. Pure.

The lease stands before any capacity is asked for. What does not need another's answer goes out
together. Undoing goes in reverse.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from htcondor_annex.annex import LeaseMethod, StepName

__all__ = ["STEPS", "UPDATE", "Step", "Steps", "all_done", "ready", "undo_order"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

    Attributes:
        needs: The steps that must have ended well before this one starts.
        leaves: Whether it makes something in AWS that must be undone.
    """

    name: StepName
    needs: frozenset[StepName]
    leaves: bool


Steps = Mapping[StepName, Step]
"""One sequence, in its order."""


def _sequence(*steps: Step) -> Steps:
    """Return the steps, and after all of them the capacity."""
    needs = frozenset(step.name for step in steps)
    last = Step(StepName.REQUEST_SPOT_FLEET, needs, leaves=True)
    return {step.name: step for step in (*steps, last)}


_CHECK_FUNCTION = Step(StepName.CHECK_LEASE_FUNCTION, frozenset(), leaves=False)

STEPS: Mapping[LeaseMethod, Steps] = {
    LeaseMethod.RULE: _sequence(
        _CHECK_FUNCTION,
        Step(StepName.CHECK_LEASE_PERMISSION, frozenset(), leaves=False),
        Step(StepName.PUT_RULE, frozenset(), leaves=True),
        Step(StepName.PUT_TARGETS, frozenset({StepName.PUT_RULE}), leaves=True),
    ),
    LeaseMethod.SWEEP: _sequence(
        _CHECK_FUNCTION,
        Step(StepName.CHECK_SWEEP, frozenset(), leaves=False),
    ),
}
"""Provisioning, by what ends the annex without us."""

UPDATE: Mapping[LeaseMethod, Sequence[StepName]] = {
    LeaseMethod.RULE: (StepName.PUT_TARGETS, StepName.PUT_TAGS),
    LeaseMethod.SWEEP: (StepName.PUT_TAGS,),
}
"""A new end of the lease, in this order: what the rule tells the lease function, then the tags.

The function heeds the latest of all that tell it, so a crash in between ends nothing early; the
daemon repeats them at its next start, for the journal holds the promise."""


def ready(
    steps: Steps, done: Collection[StepName], started: Collection[StepName]
) -> list[StepName]:
    """Return the steps that may start now, in the table's order.

    Args:
        steps: The sequence.
        done: Steps that ended well.
        started: Steps that were started, ended or not.
    """
    return [
        step.name
        for step in steps.values()
        if step.name not in started and step.needs <= frozenset(done)
    ]


def all_done(steps: Steps, done: Collection[StepName]) -> bool:
    """Tell whether nothing is left to do."""
    return frozenset(steps) <= frozenset(done)


def undo_order(steps: Steps, touched: Collection[StepName]) -> Sequence[StepName]:
    """Return what to undo, the last first.

    Args:
        steps: The sequence.
        touched: Steps that ended well, or whose outcome is unknown.
    """
    return [name for name in reversed(tuple(steps)) if name in touched and steps[name].leaves]
