"""What policies allow and deny: each case is a rule of the IAM User Guide."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from localcloud.iampolicy import Outcome, Policy, PolicyError, Request, decide, parse

YES, NO, NEVER = Outcome.ALLOWED, Outcome.NOT_ALLOWED, Outcome.DENIED
INSTANCE = "arn:aws:ec2:us-east-1:123456789012:instance/i-1"
LOGIC = "Policy evaluation logic"
ACTION, NOT_ACTION = "Action", "NotAction"
RESOURCE, NOT_RESOURCE = "Resource", "NotResource"
OPERATORS = "Condition operators"
MANY_KEYS = "Conditions with multiple context keys or values"
SETS = "Set operators for multivalued context keys"
VARIABLES = "Variables and tags"


@dataclass(frozen=True)
class Case:
    """One decision: the guide's page, what it is about, what is asked, and the outcome."""

    page: str
    rule: str
    expected: Outcome
    statements: tuple[Mapping[str, Any], ...] = ()
    action: str = "ec2:TerminateInstances"
    resource: str = INSTANCE
    context: Mapping[str, str | list[str]] = field(default_factory=dict)
    version: str = "2012-10-17"


def may(condition: Mapping[str, Any] | None = None, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return a statement that allows all, with changes; None takes an element away."""
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*", **changes}
    if condition is not None:
        statement["Condition"] = condition
    return {name: value for name, value in statement.items() if value is not None}


def when(page: str, rule: str, expected: Outcome, condition: Any, **context: Any) -> Case:  # noqa: ANN401
    """Return a case of one condition; `__` in a key's name stands for its colon."""
    keys = {name.replace("__", ":", 1).lower(): value for name, value in context.items()}
    return Case(page, rule, expected, (may(condition),), context=keys)


DENY = {"Effect": "Deny", "Action": "*", "Resource": "*"}
CASES = [
    # -- how statements and policies come together
    Case(LOGIC, "nothing is allowed by default", NO),
    Case(LOGIC, "an Allow allows", YES, (may(),)),
    Case(LOGIC, "a Deny outweighs an Allow that comes before it", NEVER, (may(), DENY)),
    Case(LOGIC, "a Deny outweighs an Allow that comes after it", NEVER, (DENY, may())),
    Case(
        LOGIC,
        "a Deny whose condition fails denies nothing",
        YES,
        (may(), {**DENY, "Condition": {"Null": {"aws:username": "false"}}}),
    ),
    # -- Action
    Case(ACTION, "is not case-sensitive", YES, (may(Action="EC2:terminateinstances"),)),
    Case(ACTION, "* is any text", YES, (may(Action="ec2:Term*"),)),
    Case(ACTION, "* may stand within", YES, (may(Action="ec2:*Instances"),)),
    Case(ACTION, "? is one character", YES, (may(Action="ec2:TerminateInstance?"),)),
    Case(ACTION, "? is not no character", NO, (may(Action="ec2:TerminateInstances?"),)),
    Case(ACTION, "one of a list is enough", YES, (may(Action=["s3:*", "ec2:*"]),)),
    Case(ACTION, "another service's is another", NO, (may(Action="s3:*"),)),
    Case(ACTION, "a part of a name is not the name", NO, (may(Action="ec2:Terminate"),)),
    Case(NOT_ACTION, "is all but what it lists", YES, (may(Action=None, NotAction="iam:*"),)),
    Case(NOT_ACTION, "is not what it lists", NO, (may(Action=None, NotAction=["ec2:*"]),)),
    # -- Resource
    Case(RESOURCE, "an ARN is that one", YES, (may(Resource=INSTANCE),)),
    Case(RESOURCE, "an ARN is case-sensitive", NO, (may(Resource=INSTANCE.replace("i-1", "I-1")),)),
    Case(RESOURCE, "* is any text", YES, (may(Resource="arn:aws:ec2:*:*:instance/*"),)),
    Case(RESOURCE, "another type is another", NO, (may(Resource="arn:aws:ec2:*:*:subnet/*"),)),
    Case(
        RESOURCE, "* at a segment's end goes beyond the colon", YES, (may(Resource="arn:aws:ec2*"),)
    ),
    Case(
        RESOURCE, "what knows no resources is * alone", NO, (may(Resource=INSTANCE),), resource="*"
    ),
    Case(
        NOT_RESOURCE,
        "is all but what it lists",
        YES,
        (may(Resource=None, NotResource="arn:aws:s3:::*"),),
    ),
    Case(NOT_RESOURCE, "is not what it lists", NO, (may(Resource=None, NotResource=[INSTANCE]),)),
    # -- how conditions come together
    when(
        MANY_KEYS,
        "all operators must hold",
        NO,
        {"StringEquals": {"k:a": "1"}, "Bool": {"k:b": "true"}},
        k__a="1",
        k__b="false",
    ),
    when(
        MANY_KEYS,
        "all keys must hold",
        NO,
        {"StringEquals": {"k:a": "1", "k:b": "2"}},
        k__a="1",
        k__b="3",
    ),
    when(MANY_KEYS, "one value is enough", YES, {"StringEquals": {"k:a": ["1", "2"]}}, k__a="2"),
    when(
        MANY_KEYS,
        "none of a negated operator's values may fit",
        NO,
        {"StringNotEquals": {"k:a": ["1", "2"]}},
        k__a="2",
    ),
    when(MANY_KEYS, "keys are not case-sensitive", YES, {"StringEquals": {"K:A": "1"}}, k__a="1"),
    # -- operators
    when(OPERATORS, "StringEquals is case-sensitive", NO, {"StringEquals": {"k:a": "x"}}, k__a="X"),
    when(
        OPERATORS, "StringEquals knows no wildcards", NO, {"StringEquals": {"k:a": "x*"}}, k__a="xy"
    ),
    when(
        OPERATORS, "StringEquals: a key that lacks does not fit", NO, {"StringEquals": {"k:a": "x"}}
    ),
    when(
        OPERATORS, "StringEqualsIgnoreCase", YES, {"StringEqualsIgnoreCase": {"k:a": "x"}}, k__a="X"
    ),
    when(
        OPERATORS, "StringNotEquals: a key that lacks fits", YES, {"StringNotEquals": {"k:a": "x"}}
    ),
    when(OPERATORS, "StringNotEquals", YES, {"StringNotEquals": {"k:a": "x"}}, k__a="y"),
    when(
        OPERATORS, "StringLike", YES, {"StringLike": {"k:a": "spotfleet.*"}}, k__a="spotfleet.aws"
    ),
    when(
        OPERATORS,
        "StringLike is about the whole",
        NO,
        {"StringLike": {"k:a": "spot"}},
        k__a="spotfleet",
    ),
    when(OPERATORS, "StringNotLike", NO, {"StringNotLike": {"k:a": "a?c"}}, k__a="abc"),
    when(
        OPERATORS, "...IfExists: a key that lacks fits", YES, {"StringEqualsIfExists": {"k:a": "x"}}
    ),
    when(
        OPERATORS,
        "...IfExists: a key that is there counts",
        NO,
        {"StringEqualsIfExists": {"k:a": "x"}},
        k__a="y",
    ),
    when(OPERATORS, "Null true: the key is absent", YES, {"Null": {"k:a": "true"}}),
    when(OPERATORS, "Null true: the key is there", NO, {"Null": {"k:a": "true"}}, k__a=""),
    when(OPERATORS, "Null false: the key is there", YES, {"Null": {"k:a": False}}, k__a="x"),
    when(OPERATORS, "Null false: the key is absent", NO, {"Null": {"k:a": "false"}}),
    when(OPERATORS, "Bool", YES, {"Bool": {"k:a": True}}, k__a="true"),
    when(OPERATORS, "Bool: the other", NO, {"Bool": {"k:a": "false"}}, k__a="true"),
    when(OPERATORS, "Bool: a key that lacks does not fit", NO, {"Bool": {"k:a": "false"}}),
    when(
        OPERATORS,
        "NumericEquals: by number, not by text",
        YES,
        {"NumericEquals": {"k:a": "2.0"}},
        k__a="2",
    ),
    when(OPERATORS, "NumericLessThan", NO, {"NumericLessThan": {"k:a": "9"}}, k__a="10"),
    when(
        OPERATORS, "NumericLessThanEquals", YES, {"NumericLessThanEquals": {"k:a": 10}}, k__a="10"
    ),
    when(OPERATORS, "NumericGreaterThan", YES, {"NumericGreaterThan": {"k:a": "9"}}, k__a="10"),
    when(
        OPERATORS,
        "DateLessThan: ISO 8601 or epoch seconds",
        YES,
        {"DateLessThan": {"k:a": "2030-01-01T00:00:00Z"}},
        k__a="1600000000",
    ),
    when(
        OPERATORS,
        "DateGreaterThan",
        NO,
        {"DateGreaterThan": {"k:a": "2030-01-01T00:00:00Z"}},
        k__a="2029-12-31T23:59:59Z",
    ),
    when(OPERATORS, "IpAddress: CIDR", YES, {"IpAddress": {"k:a": "10.0.0.0/8"}}, k__a="10.1.2.3"),
    when(OPERATORS, "NotIpAddress", NO, {"NotIpAddress": {"k:a": "10.0.0.0/8"}}, k__a="10.1.2.3"),
    when(
        OPERATORS,
        "ArnLike",
        YES,
        {"ArnLike": {"k:a": "arn:aws:lambda:*:*:function:HTCondor*"}},
        k__a="arn:aws:lambda:us-east-1:123456789012:function:HTCondorLease",
    ),
    when(
        OPERATORS,
        "ArnLike: a wildcard stays within its part",
        NO,
        {"ArnLike": {"k:a": "arn:aws:lambda:*:function:f"}},
        k__a="arn:aws:lambda:us-east-1:123456789012:function:f",
    ),
    when(
        OPERATORS,
        "ArnEquals is ArnLike",
        YES,
        {"ArnEquals": {"k:a": "arn:aws:iam::*:role/r"}},
        k__a="arn:aws:iam::123456789012:role/r",
    ),
    when(
        OPERATORS,
        "ArnNotLike",
        NO,
        {"ArnNotLike": {"k:a": "arn:aws:iam::*:role/*"}},
        k__a="arn:aws:iam::123456789012:role/r",
    ),
    # -- keys with many values
    when(
        SETS,
        "ForAllValues: each must fit",
        YES,
        {"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}},
        aws__TagKeys=["a"],
    ),
    when(
        SETS,
        "ForAllValues: one that does not fit",
        NO,
        {"ForAllValues:StringEquals": {"aws:TagKeys": ["a"]}},
        aws__TagKeys=["a", "b"],
    ),
    when(
        SETS,
        "ForAllValues: a key that lacks fits",
        YES,
        {"ForAllValues:StringEquals": {"aws:TagKeys": ["a"]}},
    ),
    when(
        SETS,
        "ForAnyValue: one is enough",
        YES,
        {"ForAnyValue:StringLike": {"aws:TagKeys": "a*"}},
        aws__TagKeys=["b", "ab"],
    ),
    when(
        SETS,
        "ForAnyValue: a key that lacks does not fit",
        NO,
        {"ForAnyValue:StringLike": {"aws:TagKeys": "a*"}},
    ),
    when(
        SETS,
        "ForAnyValue of a negated operator: one outside",
        YES,
        {"ForAnyValue:StringNotEquals": {"aws:TagKeys": ["a"]}},
        aws__TagKeys=["a", "b"],
    ),
    when(
        SETS,
        "ForAllValues of a negated operator: none inside",
        NO,
        {"ForAllValues:StringNotEquals": {"aws:TagKeys": ["a"]}},
        aws__TagKeys=["a", "b"],
    ),
    # -- variables
    Case(
        VARIABLES,
        "a variable in a resource",
        YES,
        (may(Resource="arn:aws:s3:::b/${aws:username}/*"),),
        resource="arn:aws:s3:::b/ann/k",
        context={"aws:username": "ann"},
    ),
    Case(
        VARIABLES,
        "of another user",
        NO,
        (may(Resource="arn:aws:s3:::b/${aws:username}/*"),),
        resource="arn:aws:s3:::b/bob/k",
        context={"aws:username": "ann"},
    ),
    Case(
        VARIABLES,
        "one without a value matches nothing",
        NO,
        (may(Resource="arn:aws:s3:::b/${aws:username}*"),),
        resource="arn:aws:s3:::b/ann",
    ),
    Case(
        VARIABLES,
        "one without a value has a default",
        YES,
        (may(Resource="arn:aws:s3:::b/${aws:username, 'all'}"),),
        resource="arn:aws:s3:::b/all",
    ),
    Case(
        VARIABLES,
        "its value has no wildcards",
        NO,
        (may(Resource="arn:aws:s3:::b/${aws:username}"),),
        resource="arn:aws:s3:::b/ann",
        context={"aws:username": "*"},
    ),
    Case(
        VARIABLES,
        "${*} is a star",
        NO,
        (may(Resource="arn:aws:s3:::b/${*}"),),
        resource="arn:aws:s3:::b/k",
    ),
    Case(
        VARIABLES,
        "the old version knows none",
        NO,
        (may(Resource="arn:aws:s3:::b/${aws:username}"),),
        resource="arn:aws:s3:::b/ann",
        context={"aws:username": "ann"},
        version="2008-10-17",
    ),
    when(
        VARIABLES,
        "a variable in a condition",
        YES,
        {"StringEquals": {"aws:ResourceTag/owner": "${aws:username}"}},
        **{"aws:ResourceTag/owner": "ann", "aws:username": "ann"},
    ),
    when(
        VARIABLES,
        "a variable in an ARN of a condition",
        YES,
        {"ArnLike": {"k:a": "arn:aws:iam::1:user/${aws:username}"}},
        k__a="arn:aws:iam::1:user/ann",
        aws__username="ann",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.page}: {case.rule}")
def test_a_rule_of_the_guide(case: Case) -> None:
    """The decision is the guide's."""
    policies: list[Policy] = []
    if case.statements:
        document = {"Version": case.version, "Statement": list(case.statements)}
        policies.append(parse(document))
    request = Request(case.action, case.resource, case.context)
    assert case.expected is decide(policies, request).outcome


@pytest.mark.parametrize(
    ("own", "limit", "expected"),
    [
        pytest.param(may(), may(), YES, id="both allow"),
        pytest.param(may(), may(Action="s3:*"), NO, id="the boundary does not allow"),
        pytest.param(may(Action="s3:*"), may(), NO, id="the boundary alone allows"),
        pytest.param(may(), DENY, NEVER, id="the boundary denies"),
    ],
)
@pytest.mark.parametrize("limited_by", ["boundary", "session"])
def test_a_limit(
    own: Mapping[str, Any], limit: Mapping[str, Any], expected: Outcome, limited_by: str
) -> None:
    """A permissions boundary and a session's policy allow only together with the own policies."""
    limits = {limited_by: parse({"Statement": limit})}
    decision = decide([parse({"Statement": own})], Request("ec2:RunInstances", "*"), **limits)
    assert expected is decision.outcome


def test_who_denied_is_told() -> None:
    """The kind of policy stands in AWS's message."""
    boundary = parse({"Statement": may(Action="s3:*")})
    own = [parse({"Statement": may()})]
    decision = decide(own, Request("ec2:RunInstances", "*"), boundary=boundary)
    assert "permissions boundary" == decision.by


def test_policies_add_up() -> None:
    """What one policy allows, another may deny."""
    own = [parse({"Statement": may()}), parse({"Statement": DENY})]
    assert NEVER is decide(own, Request("ec2:RunInstances", "*")).outcome


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param(may({"StringMatches": {"k:a": "x"}}), id="no such operator"),
        pytest.param(may({"ForSomeValues:StringEquals": {"k:a": "x"}}), id="no such set operator"),
        pytest.param(may({"NullIfExists": {"k:a": "true"}}), id="Null has no IfExists"),
        pytest.param(may({"BinaryEquals": {"k:a": "eA=="}}), id="not modelled"),
        pytest.param(may({"Bool": {"k:a": "perhaps"}}), id="no truth"),
        pytest.param(may({"NumericLessThan": {"k:a": "ten"}}), id="no number"),
        pytest.param(may({"DateLessThan": {"k:a": "soon"}}), id="no time"),
        pytest.param(may({"IpAddress": {"k:a": "10.0.0.300"}}), id="no address"),
        pytest.param(may(Principal="*"), id="Principal is for resources' policies"),
        pytest.param(may(Effect="allow"), id="Effect is case-sensitive"),
        pytest.param(may(NotAction="s3:*"), id="Action and NotAction"),
        pytest.param(may(Action=None), id="neither Action nor NotAction"),
        pytest.param(may(Resource=None), id="neither Resource nor NotResource"),
        pytest.param(may(Action="TerminateInstances"), id="an action without a service"),
        pytest.param(may(Resource="instance/*"), id="a resource that is no ARN"),
    ],
)
def test_what_cannot_be_decided_is_an_error(statement: Mapping[str, Any]) -> None:
    """A policy that is not understood never passes in silence."""
    with pytest.raises(PolicyError):
        parse({"Statement": statement})


def test_sids_are_used_once() -> None:
    """IAM JSON policy elements: Sid."""
    with pytest.raises(PolicyError):
        parse({"Statement": [may(Sid="A"), may(Sid="A")]})


def test_all_but_what_a_variable_names_needs_its_value() -> None:
    """The guide does not say what a NotResource is whose variable has no value."""
    policy = parse(
        {
            "Version": "2012-10-17",
            "Statement": may(Resource=None, NotResource="arn:aws:s3:::b/${aws:username}"),
        }
    )
    with pytest.raises(PolicyError):
        decide([policy], Request("s3:GetObject", "arn:aws:s3:::b/k"))


def test_a_multivalued_key_needs_a_set_operator() -> None:
    """The guide forbids it, and does not say what comes of it."""
    policy = parse({"Statement": may({"StringEquals": {"aws:TagKeys": "a"}})})
    with pytest.raises(PolicyError):
        decide([policy], Request("ec2:CreateTags", "*", {"aws:tagkeys": ["a"]}))
