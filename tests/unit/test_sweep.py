"""Which rule is a sweep, by what EventBridge tells of it."""

from typing import Any

import pytest

from htcondor_annex.lease.sweep import problem, schedule_seconds
from htcondor_annex.templates import lease_template

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:lease"
RULE = {"Name": "sweep", "State": "ENABLED", "ScheduleExpression": "rate(5 minutes)"}
TARGET = {"Id": "sweep", "Arn": FUNCTION, "Input": '{"Sweep": true}'}


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [
        ("rate(1 minute)", 60),
        ("rate(5 minutes)", 300),
        ("rate(1 hour)", 3600),
        ("rate(2 days)", 172800),
        ("rate(0 minutes)", None),
        ("rate(5)", None),
        ("rate(five minutes)", None),
        ("cron(0/5 * * * ? *)", None),
        ("", None),
    ],
)
def test_rates_are_read(expression: str, seconds: int | None) -> None:
    """EventBridge's rate expressions give seconds; anything else gives nothing."""
    assert seconds == schedule_seconds(expression)


def test_the_stacks_own_sweep_is_one() -> None:
    """What the template makes is what is looked for."""
    made = lease_template()["Resources"]["Sweep"]["Properties"]
    (target,) = made["Targets"]
    assert "" == problem(made, [{**target, "Arn": FUNCTION}], FUNCTION)


def test_a_sweep_may_have_other_targets() -> None:
    """It is enough that one of them is the function."""
    other = {"Id": "other", "Arn": "arn:aws:sns:us-east-1:123456789012:told"}
    assert "" == problem(RULE, [other, TARGET], FUNCTION)


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"State": "DISABLED"}, "is DISABLED"),
        ({"State": None}, "is None"),
        ({"ScheduleExpression": "rate(61 minutes)"}, "less often than once an hour"),
        ({"ScheduleExpression": "rate(1 day)"}, "less often than once an hour"),
        ({"ScheduleExpression": "cron(0 12 * * ? *)"}, "which is no rate"),
        ({"ScheduleExpression": ""}, "which is no rate"),
    ],
)
def test_a_rule_that_does_not_run_often(rule: dict[str, Any], reason: str) -> None:
    """It must be enabled, and run once an hour at least."""
    assert reason in problem({**RULE, **rule}, [TARGET], FUNCTION)


@pytest.mark.parametrize(
    "target",
    [
        {"Arn": FUNCTION + "-2"},
        {"Arn": FUNCTION + ":live"},
        {"Input": '{"Sweep": false}'},
        {"Input": '{"Sweep": 1}'},
        {"Input": '{"Sweep": "true"}'},
        {"Input": '{"Sweep": true, "DryRun": true}'},
        {"Input": "{}"},
        {"Input": "[true]"},
        {"Input": "Sweep"},
        {"Input": '{"Sweep": false, "Sweep": true}'},
        {"Input": None},
        {"InputPath": "$.detail"},
        {"InputTransformer": {"InputTemplate": "{}"}},
    ],
    ids=str,
)
def test_a_target_that_tells_something_else(target: dict[str, Any]) -> None:
    """The function must be told exactly to sweep."""
    said = problem(RULE, [{**TARGET, **target}], FUNCTION)
    assert "does not tell the function to sweep" == said


def test_a_rule_without_targets() -> None:
    """It tells nobody anything."""
    assert "does not tell the function to sweep" == problem(RULE, [], FUNCTION)
