"""Which object a role's policies mean: a table of policies, and properties."""

import json
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto.iam.access_control import IAMPolicy, PermissionResult

from instance_agent.grants import Candidate, Findings, Policy, find

ANNEX_ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
KEY = "arn:aws:s3:::pool-bucket/config/50-annex"
OBJECT = "pool-bucket/config/50-annex"


def statement(**elements: object) -> dict[str, Any]:
    """An Allow of getting the usual object, with these elements in place of its own."""
    made: dict[str, Any] = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": KEY}
    made.update(elements)
    return {name: value for name, value in made.items() if value is not None}


def document(*statements: object, version: str | None = "2012-10-17") -> dict[str, Any]:
    """A policy document."""
    made: dict[str, Any] = {"Statement": list(statements)}
    return made if version is None else {"Version": version, **made}


def look(*documents: object, partition: str = "aws", annex_id: str | None = None) -> Findings:
    """Findings of these documents, called p1, p2 and so on."""
    policies = [Policy(f"p{number}", text) for number, text in enumerate(documents, start=1)]
    return find(policies, partition=partition, annex_id=annex_id)


def names(findings: Findings) -> list[str]:
    """The candidates as bucket/key."""
    return [f"{candidate.bucket}/{candidate.key}" for candidate in findings.candidates]


@dataclass(frozen=True)
class Case:
    """Documents, the objects that they mean, and a part of the remark that goes with them."""

    title: str
    documents: Sequence[object]
    expected: Sequence[str] = ()
    remark: str | None = None
    partition: str = "aws"
    annex_id: str | None = None


def one(title: str, *documents: object, **rest: Any) -> Case:  # noqa: ANN401 - fields of Case
    """A case in which the usual object is meant."""
    return Case(title, documents, [OBJECT], **rest)


def none(title: str, *documents: object, **rest: Any) -> Case:  # noqa: ANN401 - fields of Case
    """A case in which nothing is."""
    return Case(title, documents, (), **rest)


# Examples of AWS's documentation, so marked, are from the IAM and S3 User Guides.
AWS_HOME_DIRECTORY = document(
    {"Effect": "Allow", "Action": ["s3:ListAllMyBuckets"], "Resource": "*"},
    {
        "Effect": "Allow",
        "Action": "s3:ListBucket",
        "Resource": "arn:aws:s3:::bucket-name",
        "Condition": {"StringLike": {"s3:prefix": ["", "home/", "home/${aws:username}/"]}},
    },
    {
        "Effect": "Allow",
        "Action": "s3:*",
        "Resource": [
            "arn:aws:s3:::bucket-name/home/${aws:username}",
            "arn:aws:s3:::bucket-name/home/${aws:username}/*",
        ],
    },
)
AWS_READ_WRITE_ONE_BUCKET = document(
    {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": ["arn:aws:s3:::bucket-name"]},
    {
        "Effect": "Allow",
        "Action": ["s3:PutObject", "s3:GetObject", "s3:DeleteObject"],
        "Resource": ["arn:aws:s3:::bucket-name/*"],
    },
)
AWS_S3_READ_ONLY = document(
    {
        "Effect": "Allow",
        "Action": ["s3:Get*", "s3:List*", "s3:Describe*", "s3-object-lambda:Get*"],
        "Resource": "*",
    }
)
AWS_ADMINISTRATOR = document({"Effect": "Allow", "Action": "*", "Resource": "*"})
AWS_POWER_USER = document(
    {"Effect": "Allow", "NotAction": ["iam:*", "organizations:*"], "Resource": "*"}
)
AWS_MFA_DELETE = document(
    {
        "Effect": "Allow",
        "Action": ["s3:GetObject", "s3:DeleteObject"],
        "Resource": KEY,
    },
    {
        "Effect": "Deny",
        "Action": "s3:DeleteObject",
        "Resource": KEY,
        "Condition": {"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}},
    },
)
AWS_DENY_UNLESS_TLS = document(
    {
        "Effect": "Deny",
        "Action": "s3:*",
        "Resource": "arn:aws:s3:::pool-bucket/*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
)
AWS_REGION_RESTRICTION = document(
    {
        "Effect": "Deny",
        "NotAction": ["cloudfront:*", "iam:*", "route53:*", "support:*"],
        "Resource": "*",
        "Condition": {"StringNotEquals": {"aws:RequestedRegion": ["eu-central-1"]}},
    }
)
AWS_NOT_RESOURCE_DENY = document(
    {
        "Effect": "Deny",
        "Action": "s3:*",
        "NotResource": ["arn:aws:s3:::HRBucket/Payroll", "arn:aws:s3:::HRBucket/Payroll/*"],
    }
)
HTCONDOR_ROLE = document(
    {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": KEY},
    {
        "Effect": "Allow",
        "Action": ["iam:GetRolePolicy", "iam:ListRolePolicies"],
        "Resource": "*",
    },
)
TEMPLATE = "arn:aws:s3:::pool-bucket/config-*.tar.gz"
FILLED = f"pool-bucket/config-{ANNEX_ID}.tar.gz"
ALLOW = document(statement())

CASES = [
    one("an exact key", ALLOW),
    one("one statement without a list", {"Version": "2012-10-17", "Statement": statement()}),
    one("lists of one", document(statement(Action=["s3:GetObject"], Resource=[KEY]))),
    one("the seed's role", HTCONDOR_ROLE),
    one("s3:Get*", document(statement(Action="s3:Get*"))),
    one("s3:*", document(statement(Action="s3:*"))),
    one("every action", document(statement(Action="*"))),
    one("a ? in the action", document(statement(Action="s3:GetObjec?"))),
    one("an action in other letters", document(statement(Action="S3:getOBJECT"))),
    one("the action among others", document(statement(Action=["s3:PutObject", "s3:GetObject"]))),
    one("NotAction of others", document(statement(Action=None, NotAction=["iam:*"]))),
    one("an empty Condition", document(statement(Condition={}))),
    one("no Version", document(statement(), version=None)),
    one("the old Version", document(statement(), version="2008-10-17")),
    one("the same object twice", ALLOW, ALLOW),
    one("a Sid", document(statement(Sid="Get"))),
    one("a deny of another action", ALLOW, document(statement(Effect="Deny", Action="s3:Put*"))),
    one("a deny of another key", ALLOW, document(statement(Effect="Deny", Resource=f"{KEY}2"))),
    one("AWS: a deny without MFA", AWS_MFA_DELETE),
    one(
        "a deny of all but this",
        ALLOW,
        document(statement(Effect="Deny", Resource=None, NotResource=KEY)),
    ),
    one(
        "a deny by NotAction that spares it",
        ALLOW,
        document(statement(Effect="Deny", Action=None, NotAction="s3:Get*", Resource="*")),
    ),
    one("an exact key beside a wide one", document(statement(Resource=["*", KEY])), remark="wider"),
    one("a broken statement beside a good one", document(7, statement()), remark="statement 1"),
    one("a broken policy beside a good one", [], ALLOW, remark="no JSON object"),
    one("another service's resource", document(statement(Resource=[KEY, "arn:aws:sqs:::q/x"]))),
    one("the bucket beside its object", document(statement(Resource=["arn:aws:s3:::b1", KEY]))),
    Case("China", [document(statement(Resource=KEY.replace("aws", "aws-cn")))], [OBJECT],
         partition="aws-cn"),
    Case("GovCloud", [document(statement(Resource=KEY.replace("aws", "aws-us-gov")))], [OBJECT],
         partition="aws-us-gov"),
    Case("HTCondor's form", [document(statement(Resource=TEMPLATE))], [FILLED], annex_id=ANNEX_ID),
    Case(
        "exact before filled",
        [document(statement(Resource=TEMPLATE)), ALLOW],
        [OBJECT, FILLED],
        annex_id=ANNEX_ID,
    ),
    Case(
        "in the order of the policies and their resources",
        [document(statement(Resource=["arn:aws:s3:::bbb/2", "arn:aws:s3:::bbb/1"])), ALLOW],
        ["bbb/2", "bbb/1", OBJECT],
    ),
    Case("an escaped star", [document(statement(Resource="arn:aws:s3:::bbb/a${*}b"))], ["bbb/a*b"]),
    Case("an escaped dollar", [document(statement(Resource="arn:aws:s3:::bbb/${$}"))], ["bbb/$"]),
    Case(
        "a variable in the language that has none",
        [document(statement(Resource="arn:aws:s3:::bbb/${aws:userid}"), version="2008-10-17")],
        ["bbb/${aws:userid}"],
    ),
    Case("a key with spaces", [document(statement(Resource="arn:aws:s3:::bbb/a b"))], ["bbb/a b"]),
    Case("a key with colons", [document(statement(Resource="arn:aws:s3:::bbb/a:b"))], ["bbb/a:b"]),
    none("no policy at all"),
    none("no statement", document()),
    none("no Statement element", {"Version": "2012-10-17"}, remark="not a JSON object"),
    none("a text for a document", "Allow", remark="no JSON object"),
    none("another action", document(statement(Action="s3:GetObjectAcl"))),
    none("an action's beginning", document(statement(Action="s3:GetObjec"))),
    none("a wildcard that needs more", document(statement(Action="s3:GetObject?"))),
    none("NotAction of it", document(statement(Action=None, NotAction="s3:GetObject"))),
    none("an unknown Effect", document(statement(Effect="allow")), remark="Effect"),
    none("no Effect", document(statement(Effect=None)), remark="Effect"),
    none("Action and NotAction", document(statement(NotAction="iam:*")), remark="NotAction"),
    none("neither of them", document(statement(Action=None)), remark="NotAction"),
    none("no Resource", document(statement(Resource=None)), remark="NotResource"),
    none("a number for a Resource", document(statement(Resource=7)), remark="Resource"),
    none("an empty list", document(statement(Resource=[])), remark="Resource"),
    none("a list in a list", document(statement(Resource=[[KEY]])), remark="Resource"),
    none("a text for a Condition", document(statement(Condition="x")), remark="Condition"),
    none(
        "a Condition",
        document(statement(Condition={"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}})),
        remark="Condition",
    ),
    none(
        "Allow with NotResource",
        document(statement(Resource=None, NotResource=KEY)),
        remark="NotResource names no object",
    ),
    none("a whole bucket", document(statement(Resource="arn:aws:s3:::bbb/*")), remark="wider"),
    none("a ? in the key", document(statement(Resource=f"{KEY}?")), remark="wider"),
    none("a star in the bucket", document(statement(Resource="arn:aws:s3:::b*/k")), remark="wider"),
    none("a bucket without a key", document(statement(Resource="arn:aws:s3:::bbb"))),
    none("a folder", document(statement(Resource="arn:aws:s3:::bbb/k/")), remark="empty"),
    none("a climbing key", document(statement(Resource="arn:aws:s3:::bbb/../k")), remark="'..'"),
    none("a newline", document(statement(Resource="arn:aws:s3:::bbb/k\n")), remark="unprintable"),
    none("a long key", document(statement(Resource="arn:aws:s3:::bbb/" + "k" * 1025)),
         remark="longer"),
    none("a bad bucket", document(statement(Resource="arn:aws:s3:::B_/k")), remark="no object"),
    none(
        "an access point",
        document(statement(Resource="arn:aws:s3:eu-west-1:123456789012:accesspoint/x/object/k")),
        remark="no object of a bucket",
    ),
    none("another partition", ALLOW, partition="aws-cn", remark="partition aws"),
    none("HTCondor's form with no id", document(statement(Resource=TEMPLATE)), remark="annex's id"),
    none(
        "HTCondor's form with a longer end",
        document(statement(Resource=f"{TEMPLATE}x")),
        annex_id=ANNEX_ID,
        remark="wider",
    ),
    none(
        "two stars",
        document(statement(Resource="arn:aws:s3:::b*b/config-*.tar.gz")),
        annex_id=ANNEX_ID,
        remark="wider",
    ),
    none(
        "a filled key that is denied",
        document(statement(Resource=TEMPLATE)),
        document(statement(Effect="Deny", Resource=f"arn:aws:s3:::{FILLED}")),
        annex_id=ANNEX_ID,
        remark="is denied",
    ),
    none("a deny", ALLOW, document(statement(Effect="Deny")), remark="is denied"),
    none("a deny in front", document(statement(Effect="Deny")), ALLOW, remark="is denied"),
    none("a deny of all", ALLOW, document(statement(Effect="Deny", Action="*", Resource="*")),
         remark="is denied"),
    none("a deny by ?", ALLOW, document(statement(Effect="Deny", Resource=f"{KEY[:-1]}?")),
         remark="is denied"),
    none(
        "a deny with a variable",
        ALLOW,
        document(statement(Effect="Deny", Resource="arn:aws:s3:::pool-bucket/${aws:userid}")),
        remark="is denied",
    ),
    none(
        "a deny of all but what a variable says",
        ALLOW,
        document(statement(Effect="Deny", Resource=None, NotResource="arn:aws:s3:::${x}")),
        remark="is denied",
    ),
    none("AWS: a deny unless TLS", ALLOW, AWS_DENY_UNLESS_TLS, remark="may be denied"),
    none("AWS: a deny by region", ALLOW, AWS_REGION_RESTRICTION, remark="may be denied"),
    none("AWS: a deny by NotResource", ALLOW, AWS_NOT_RESOURCE_DENY, remark="is denied"),
    none("AWS: home directories", AWS_HOME_DIRECTORY, remark="policy variable"),
    none("AWS: one bucket", AWS_READ_WRITE_ONE_BUCKET, remark="wider"),
    none("AWS: S3 read only", AWS_S3_READ_ONLY, remark="wider"),
    none("AWS: administrator", AWS_ADMINISTRATOR, remark="wider"),
    none("AWS: power user", AWS_POWER_USER, remark="wider"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_policies_mean_these_objects(case: Case) -> None:
    """Each policy of the table gives the objects beside it, in their order."""
    found = look(*case.documents, partition=case.partition, annex_id=case.annex_id)
    assert list(case.expected) == names(found)
    if case.remark is None:
        assert found.remarks == ()
    else:
        assert case.remark in "\n".join(found.remarks)


def test_the_annex_id_is_wanted_only_where_it_would_help() -> None:
    """Only HTCondor's own form asks for the tag."""
    wanted = [
        look(document(statement(Resource=resource))).wants_annex_id
        for resource in (TEMPLATE, KEY, "arn:aws:s3:::bbb/*")
    ]
    assert wanted == [True, False, False]


def test_remarks_are_bounded() -> None:
    """A policy of a thousand wide resources does not fill the log."""
    found = look(document(statement(Resource=[f"arn:aws:s3:::bbb/{n}*" for n in range(1000)])))
    assert (len(found.remarks), found.remarks[-1]) == (51, "and 950 more remarks")


def test_a_pattern_of_many_stars_is_matched_in_time() -> None:
    """What makes a regular expression run for ever is decided at once."""
    pattern = "arn:aws:s3:::" + "a*" * 2000 + "b"
    found = look(
        document(statement(Resource="arn:aws:s3:::bbb/" + "a" * 900)),
        document(statement(Effect="Deny", Resource=pattern)),
    )
    assert names(found) == ["bbb/" + "a" * 900]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(["Version", "Statement", "Effect", "Action", "Resource", "NotAction",
                         "NotResource", "Condition"]) | st.text(max_size=5), inner, max_size=5),
    max_leaves=20,
)  # fmt: skip


@given(JSON)
@settings(max_examples=300, deadline=None)
def test_any_json_is_read_without_an_error(text: object) -> None:
    """Whatever IAM may send is answered with candidates and remarks."""
    look(text, document(text), document(statement(Resource=text)))


ARNS = st.builds(
    lambda start, end: f"arn:aws:s3:::{start}/{end}",
    st.sampled_from(["aaa", "aab", "a*b", "*"]),
    st.text(alphabet="ab*/-", min_size=1, max_size=6),
) | st.sampled_from(["*", "arn:aws:s3:::aaa/a", "arn:aws:s3:::aaa/b", "arn:aws:s3:::aaa/ab"])
ACTIONS = st.sampled_from(["s3:GetObject", "s3:Get*", "s3:*", "*", "s3:PutObject"])
# Neither `?` nor `.`: the emulator takes them for a regular expression's.
STATEMENTS = st.builds(
    lambda effect, action, resources: {"Effect": effect, "Action": action, "Resource": resources},
    st.sampled_from(["Allow", "Allow", "Allow", "Deny"]),
    ACTIONS | st.lists(ACTIONS, min_size=1, max_size=2),
    ARNS | st.lists(ARNS, min_size=1, max_size=3),
)


@given(st.lists(st.lists(STATEMENTS, min_size=1, max_size=3).map(lambda x: document(*x)),
                min_size=1, max_size=3))  # fmt: skip
@settings(max_examples=400, deadline=None)
def test_a_candidate_is_never_more_than_iam_would_allow(documents: list[dict[str, Any]]) -> None:
    """The emulator's own enforcement permits each candidate, and nothing denies it."""
    for candidate in look(*documents).candidates:
        arn = f"arn:aws:s3:::{candidate.bucket}/{candidate.key}"
        verdicts = [
            IAMPolicy({"policy_document": json.dumps(text)}).is_action_permitted(
                "s3:GetObject", arn
            )
            for text in documents
        ]
        assert PermissionResult.PERMITTED in verdicts
        assert PermissionResult.DENIED not in verdicts


@given(st.text(alphabet=string.ascii_letters + string.digits + "-_.=+ /", min_size=1, max_size=60))
def test_an_exact_key_is_taken_as_it_stands_or_not_at_all(key: str) -> None:
    """No key is changed on its way from the policy to the request."""
    found = look(document(statement(Resource=f"arn:aws:s3:::bbb/{key}")))
    assert found.candidates in ((), (Candidate("bbb", key, "p1"),))
