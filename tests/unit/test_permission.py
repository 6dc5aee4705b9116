"""Who may run the lease function, by its policy alone."""

import json
from typing import Any

import pytest

from htcondor_annex.lease.permission import MAX_POLICY, Run, refusal

ACCOUNT = "123456789012"
FUNCTION = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:lease"
RULE = f"arn:aws:events:us-east-1:{ACCOUNT}:rule/htcondor-annex-1"
RUN = Run(FUNCTION, RULE, ACCOUNT)
RULES = f"arn:aws:events:us-east-1:{ACCOUNT}:rule/htcondor-annex-*"
OTHER = "999999999999"


def statement(**changes: object) -> dict[str, Any]:
    """Return the statement of our stack, with changes; None takes an element away."""
    made: dict[str, Any] = {
        "Sid": "run",
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": FUNCTION,
        "Condition": {
            "ArnLike": {"AWS:SourceArn": RULES},
            "StringEquals": {"AWS:SourceAccount": ACCOUNT},
        },
        **changes,
    }
    return {name: value for name, value in made.items() if value is not None}


def why(*statements: object) -> str:
    """Return why a policy of these statements refuses."""
    return refusal(json.dumps({"Version": "2012-10-17", "Statement": list(statements)}), RUN)


def condition(operator: str, key: str, value: object) -> dict[str, Any]:
    """Return the statement with one condition alone."""
    return statement(Condition={operator: {key: value}})


@pytest.mark.parametrize(
    "allowing",
    [
        statement(),
        statement(Condition=None),
        statement(Resource=None),
        statement(Action="lambda:*"),
        statement(Action=["lambda:GetFunction", "LAMBDA:Invoke*"]),
        statement(Principal="*"),
        statement(Principal={"AWS": "*"}),
        statement(Principal={"Service": ["s3.amazonaws.com", "events.amazonaws.com"]}),
        condition("ArnEquals", "aws:SourceArn", RULE),
        condition("StringLike", "aws:sourcearn", "arn:aws:events:*"),
        condition("StringEquals", "AWS:SOURCEARN", [RULE, "another"]),
        condition("ArnLike", "aws:SourceArn", f"arn:*:events:*:{ACCOUNT}:rule/?tcondor-annex-*"),
        condition("ArnLikeIfExists", "aws:SourceArn", RULES),
        condition("StringNotEquals", "aws:SourceAccount", OTHER),
    ],
    ids=json.dumps,
)
def test_what_is_allowed(allowing: dict[str, Any]) -> None:
    """The stack's own statement, and all that mean as much or more."""
    assert "" == why(allowing)


@pytest.mark.parametrize(
    ("refusing", "reason"),
    [
        (statement(Principal={"Service": "s3.amazonaws.com"}), "no statement of its policy allows"),
        (statement(Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"}), "no statement"),
        (statement(Action="lambda:GetFunction"), "no statement"),
        (statement(Resource=FUNCTION + "-2"), "no statement"),
        (condition("ArnLike", "aws:SourceArn", RULES[:-1]), "asks for ArnLike aws:SourceArn"),
        (condition("ArnLike", "aws:SourceArn", RULES.replace("us-east-1", "*-2")), "asks for"),
        # A star of ArnLike ends where its part of the ARN ends.
        (condition("ArnLike", "aws:SourceArn", "arn:aws:events:*:rule/x:y"), "asks for"),
        (condition("StringEquals", "aws:SourceArn", RULES), "asks for"),
        (condition("StringEquals", "aws:SourceAccount", OTHER), f"SourceAccount {OTHER}"),
        (condition("StringNotLike", "aws:SourceArn", "*rule*"), "asks for"),
        (condition("StringLike", "aws:SourceArn", RULE.replace("1", "[1]")), "asks for"),
    ],
    ids=str,
)
def test_what_is_not_allowed(refusing: dict[str, Any], reason: str) -> None:
    """Another principal, action, function, rule or account."""
    assert reason in why(refusing)


@pytest.mark.parametrize(
    "unclear",
    [
        condition("StringEquals", "aws:PrincipalOrgID", "o-1"),
        condition("DateLessThan", "aws:CurrentTime", "2030-01-01T00:00:00Z"),
        condition("ArnLike", "aws:SourceArn", "*"),
        condition("StringEquals", "aws:SourceArn", "${aws:PrincipalTag/rule}"),
        condition("StringEquals", "aws:SourceArn", 5),
        condition("ForAnyValue:StringEquals", "aws:SourceArn", RULE),
    ],
    ids=json.dumps,
)
def test_what_cannot_be_told_allows_nothing(unclear: dict[str, Any]) -> None:
    """A condition that is not understood is said; as a denial it denies."""
    assert "has a condition that annexd does not judge" in why(unclear)
    assert "denies it" in why(statement(), {**unclear, "Effect": "Deny"})


@pytest.mark.parametrize("element", ["NotPrincipal", "NotAction", "NotResource"])
def test_what_a_statement_leaves_out_cannot_be_told(element: str) -> None:
    """Statements by exclusion allow nothing, and deny."""
    unclear = statement(**{element: "*"})
    assert "is of a kind that annexd does not judge" in why(unclear)
    assert "denies it" in why(statement(), {**unclear, "Effect": "Deny"})


def test_a_denial_wins() -> None:
    """Wherever it stands."""
    denial = statement(Sid="no", Effect="Deny")
    assert "the statement 'no' denies it" == why(statement(), denial)
    assert "the statement 'no' denies it" == why(denial, statement())


def test_a_denial_of_something_else_is_none() -> None:
    """It must be meant for this run."""
    others = [
        statement(Effect="Deny", Principal={"Service": "s3.amazonaws.com"}),
        condition("StringEquals", "aws:SourceAccount", OTHER) | {"Effect": "Deny"},
        # One condition fails, so that it does not matter what another is.
        statement(
            Effect="Deny",
            Condition={"Bool": {"aws:x": "true"}, "StringEquals": {"aws:SourceAccount": OTHER}},
        ),
    ]
    assert "" == why(*others, statement())


def test_all_statements_of_a_policy_are_told() -> None:
    """Each that was meant for EventBridge, with what it asks for."""
    said = why(
        statement(Sid="one", Condition={"StringEquals": {"aws:SourceAccount": OTHER}}),
        statement(Sid="two", Condition={"StringEquals": {"aws:SourceArn": "x"}}),
    )
    assert "the statement 'one' asks for" in said
    assert "the statement 'two' asks for" in said


def test_one_statement_needs_no_list() -> None:
    """IAM's grammar allows a single object."""
    assert "" == refusal(json.dumps({"Statement": statement()}), RUN)


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "a statement that is none"),
        ("{}", "a statement that is none"),
        ('{"Statement": [1]}', "a statement that is none"),
        ('{"Statement": [{"Effect": ["Allow"]}]}', "a statement that is none"),
        ('{"Statement": []}', "no statement"),
        ('{"Statement": [{"Effect": "Allow", "Condition": 5}]}', "no statement"),
        (" " * (MAX_POLICY + 1), "longer than 20480 bytes"),
        ("[" * MAX_POLICY, "nested too deeply"),
    ],
)
def test_what_is_no_policy(policy: str, reason: str) -> None:
    """It allows nothing, and why is said."""
    assert reason in refusal(policy, RUN)


def test_stars_cost_no_time() -> None:
    """A policy full of them is matched like any other."""
    pattern = "arn:aws:events:us-east-1:*:rule/" + "*a" * 5000
    assert "asks for" in why(condition("StringLike", "aws:SourceArn", pattern + "b"))
