"""The sequences of steps as tables: provisioning with its undoing, and a lease's update. Pure.

The lease stands before any capacity is asked for. What does not need another's answer goes out
together. Undoing goes in reverse.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from htcondor_annex.annex import StepName

__all__ = ["STEPS", "UPDATE", "Step", "all_done", "ready", "undo_order"]


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


STEPS: Mapping[StepName, Step] = {
    step.name: step
    for step in (
        Step(StepName.CHECK_LEASE_FUNCTION, frozenset(), leaves=False),
        Step(StepName.PUT_RULE, frozenset(), leaves=True),
        Step(StepName.PUT_TARGETS, frozenset({StepName.PUT_RULE}), leaves=True),
        Step(
            StepName.REQUEST_SPOT_FLEET,
            frozenset({StepName.CHECK_LEASE_FUNCTION, StepName.PUT_RULE, StepName.PUT_TARGETS}),
            leaves=True,
        ),
    )
}
"""Provisioning."""

UPDATE: Sequence[StepName] = (StepName.PUT_TARGETS, StepName.PUT_TAGS)
"""A new end of the lease, in this order: what the rule tells the lease function, then the tags.

The function heeds the later of the two, so a crash between them ends nothing early; the daemon
repeats both at its next start, for the journal holds the promise."""


def ready(done: Collection[StepName], started: Collection[StepName]) -> list[StepName]:
    """Return the steps that may start now, in the table's order.

    Args:
        done: Steps that ended well.
        started: Steps that were started, ended or not.
    """
    return [
        step.name
        for step in STEPS.values()
        if step.name not in started and step.needs <= frozenset(done)
    ]


def all_done(done: Collection[StepName]) -> bool:
    """Tell whether nothing is left to do."""
    return frozenset(STEPS) <= frozenset(done)


def undo_order(touched: Collection[StepName]) -> Sequence[StepName]:
    """Return what to undo, the last first.

    Args:
        touched: Steps that ended well, or whose outcome is unknown.
    """
    return [name for name in reversed(tuple(STEPS)) if name in touched and STEPS[name].leaves]
