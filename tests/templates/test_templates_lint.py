"""The lint of the templates passes, and finds what must never be committed."""

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.templates.lint import DIRECTORY, PARLIAMENT, lint, main
from tests.templates.policies import Unresolved, resolve

Json = dict[str, Any]
Break = Callable[[Json], None]


@pytest.fixture(autouse=True)
def _parliament() -> None:
    """Skip where parliament is not installed; never in CI."""
    if not PARLIAMENT.exists():
        assert os.environ.get("CI") != "true", f"parliament is not there: {PARLIAMENT}"
        pytest.skip("parliament is not there: make lint installs it")


def test_the_committed_templates_pass(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is found, and the program says nothing and ends with 0."""
    assert ([], 0) == (lint(), main([]))
    assert capsys.readouterr().out == ""


def test_the_program_fails_where_something_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says what, and ends with 1; a directory without templates is no success."""
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().out == "there are no templates\n"


def of_function(template: Json) -> Json:
    """Return the lease function's properties."""
    found: Json = template["Resources"]["LeaseFunction"]["Properties"]
    return found


def statements(template: Json) -> list[Json]:
    """Return the statements of the lease function's role."""
    role = template["Resources"]["LeaseFunctionRole"]["Properties"]
    found: list[Json] = role["Policies"][0]["PolicyDocument"]["Statement"]
    return found


def source(change: Callable[[str], str]) -> Break:
    """Return what changes the inlined source."""

    def change_source(template: Json) -> None:
        code = of_function(template)["Code"]
        code["ZipFile"] = change(code["ZipFile"])

    return change_source


def schedule(expression: str) -> Break:
    """Return what gives the sweep another schedule."""

    def change(template: Json) -> None:
        template["Resources"]["Sweep"]["Properties"]["ScheduleExpression"] = expression

    return change


def statement(**changes: object) -> Break:
    """Return what changes the statement that lets instances end; None takes a part away."""

    def change(template: Json) -> None:
        ending = next(one for one in statements(template) if "TerminateInstances" in str(one))
        ending.update(changes)
        for name in [name for name, value in changes.items() if value is None]:
            del ending[name]

    return change


def handler(template: Json) -> None:
    """Name a handler that is not there."""
    of_function(template)["Handler"] = "index.main"


def runtime(template: Json) -> None:
    """Use a runtime that is gone."""
    of_function(template)["Runtime"] = "python3.8"


WIDE = {"Resource": "*", "Condition": None}
BROKEN: dict[str, tuple[Break, str]] = {
    "source cut short": (source(lambda text: text.rpartition("(")[0]), "does not compile"),
    "source with a bracket too many": (source(lambda text: text + "\n)"), "does not compile"),
    "source with an unknown name": (source(lambda text: text + "\nundefined()\n"), "F821"),
    "source without the handler": (
        source(lambda text: text.replace("def handler(", "def other(")),
        "there is no handler index.handler",
    ),
    "another handler": (handler, "there is no handler index.main"),
    "an old runtime": (runtime, "python3.8"),
    "rate in the singular": (schedule("rate(5 minute)"), "E3027"),
    "no rate": (schedule("every 5 minutes"), "E3027"),
    "rate of nothing": (schedule("rate(0 minutes)"), "E3027"),
    "all actions": (statement(Action="*"), "has a wildcard"),
    "all actions of EC2": (statement(Action=["ec2:*"]), "has a wildcard"),
    "actions by their beginning": (statement(Action="ec2:Terminate*"), "has a wildcard"),
    "misspelt action": (statement(Action="ec2:TerminateInstance"), "UNKNOWN_ACTION"),
    "misspelt service": (statement(Action="ec3:TerminateInstances"), "UNKNOWN_PREFIX"),
    "ending anything": (statement(**WIDE), "on * without a condition"),
    "ending any instance": (
        statement(Resource="arn:aws:ec2:*:*:instance/*", Condition=None),
        "instance/* without a condition",
    ),
    "ending all but": (
        statement(Action=None, NotAction="ec2:RunInstances"),
        "allows all but what ['NotAction'] names",
    ),
    "a condition that the action lacks": (
        statement(Condition={"StringEquals": {"s3:prefix": "x"}}),
        "UNKNOWN_CONDITION_FOR_ACTION",
    ),
    "an unknown operator": (
        statement(Condition={"StringIs": {"aws:ResourceTag/a": "b"}}),
        "UNKNOWN_OPERATOR",
    ),
    "a resource of another kind": (
        statement(Resource="arn:aws:s3:::bucket"),
        "RESOURCE_MISMATCH",
    ),
    "a reference to nothing": (statement(Resource={"Ref": "Nobody"}), "Nobody"),
}


POLICIES: dict[str, tuple[Json, str]] = {
    "keys to all": ({"Action": "*"}, "has a wildcard"),
    "keys to EC2": ({"Action": "ec2:*"}, "has a wildcard"),
    "keys misspelt": ({"Action": "ec2:RunInstance"}, "UNKNOWN_ACTION"),
    "keys to any instance": (
        {"Action": "ec2:TerminateInstances"},
        "ec2:TerminateInstances on * without a condition",
    ),
    "keys to make any role": ({"Action": "iam:CreateRole"}, "RESOURCE_STAR"),
    "keys to delete any role": (
        {"Action": "iam:DeleteRole", "Resource": "arn:aws:iam::*:role/*"},
        "without a condition",
    ),
}


def open_bucket(template: Json) -> None:
    """Let everyone do what the bucket's policy says."""
    kinds = template["Resources"].values()
    policy = next(one for one in kinds if one["Type"] == "AWS::S3::BucketPolicy")
    for one in policy["Properties"]["PolicyDocument"]["Statement"]:
        one.pop("Condition", None)
        one.update(Effect="Allow", Principal="*")


CASES = {case: said for table in (BROKEN, POLICIES) for case, (_, said) in table.items()}
CASES["bucket for everyone"] = "allows it to everyone"


def add_statement(statement: Json, document: Json) -> None:
    """Add a statement to a policy."""
    document["Statement"].append(statement)


def write(directory: Path, case: str, name: str, change: Break) -> None:
    """Write a committed file, changed, under the name of a case."""
    document = json.loads((DIRECTORY / name).read_text())
    change(document)
    (directory / f"{case.replace(' ', '-')}.json").write_text(json.dumps(document))


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What is found in all cases; the linters are started once."""
    directory = tmp_path_factory.mktemp("broken")
    for case, (change, _) in BROKEN.items():
        write(directory, case, "lease-function.json", change)
    for case, (more, _) in POLICIES.items():
        added = {"Sid": "More", "Effect": "Allow", "Resource": "*", **more}
        write(directory, case, "annexd-policy.json", partial(add_statement, added))
    write(directory, "bucket for everyone", "configuration-bucket.json", open_bucket)
    return lint(directory)


@pytest.mark.parametrize(("case", "said"), CASES.items(), ids=CASES)
def test_what_is_broken_is_found(findings: list[str], case: str, said: str) -> None:
    """In its file, and with what is wrong."""
    name = f"{case.replace(' ', '-')}.json"
    assert [one for one in findings if name in one and said in one]


def test_a_missing_parliament_is_no_success(tmp_path: Path) -> None:
    """The lint never passes without it."""
    with pytest.raises(FileNotFoundError, match="make lint"):
        lint(parliament=tmp_path / "none")


RESOURCES: Json = {"Resources": {"R": {"Type": "AWS::IAM::Role"}}, "Parameters": {"P": {}}}


@pytest.mark.parametrize(
    ("value", "resolved"),
    [
        ({"Ref": "AWS::Region"}, "us-east-1"),
        ({"Ref": "P"}, "p"),
        ({"Fn::GetAtt": ["R", "Arn"]}, "arn:aws:iam::123456789012:role/r"),
        ({"Fn::GetAtt": "R.Arn"}, "arn:aws:iam::123456789012:role/r"),
        ({"Fn::Sub": "${AWS::Partition}/${P}/${!P}"}, "aws/p/${!P}"),
        ({"Fn::Sub": "${R.Arn}/*"}, "arn:aws:iam::123456789012:role/r/*"),
        ({"Fn::Sub": ["${x}", {"x": {"Ref": "P"}}]}, "p"),
        ({"Fn::If": ["C", {"Ref": "P"}, {"Ref": "AWS::NoValue"}]}, "p"),
        ([{"Ref": "AWS::NoValue"}, 1], [1]),
        ({"a": {"Ref": "AWS::NoValue"}, "b": 2}, {"b": 2}),
    ],
)
def test_functions_of_templates_are_resolved(value: object, resolved: object) -> None:
    """As a stack would, with made-up values."""
    assert resolved == resolve(value, RESOURCES)


@pytest.mark.parametrize(
    "value", [{"Ref": "N"}, {"Fn::GetAtt": ["R", "RoleId"]}, {"Fn::Join": ["", []]}]
)
def test_what_cannot_be_resolved_is_told(value: object) -> None:
    """Nothing passes unseen."""
    with pytest.raises(Unresolved):
        resolve(value, RESOURCES)
