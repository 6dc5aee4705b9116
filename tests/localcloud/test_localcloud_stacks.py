"""Stacks come into being, are shown, fail and go, as CloudFormation has it."""

import itertools
import time

import pytest
from botocore.exceptions import ClientError

from localcloud import LocalCloud
from tests.localcloud.stackery import (
    CF,
    NAME,
    bucket,
    events_of,
    log,
    make,
    names,
    physical,
    reason_of,
    role,
    stack_of,
    template,
)

TWO = {"First": log(), "Second": {**log(), "DependsOn": "First"}}


@pytest.fixture
def cf(cloud: LocalCloud) -> CF:
    """CloudFormation in an empty cloud."""
    return cloud.client("cloudformation")


def wait(cf: CF, waiter: str, name: str = NAME) -> None:
    """Wait as users do, but look more often."""
    config = {"Delay": 0.05, "MaxAttempts": 200}
    cf.get_waiter(waiter).wait(StackName=name, WaiterConfig=config)


# -- life ------------------------------------------------------------------------------------------


def test_a_stack_is_made_at_once_by_default(cf: CF) -> None:
    """With its outputs, parameters and tags."""
    body = template(
        {"Log": log(RetentionInDays={"Ref": "Days"})},
        Parameters={"Days": {"Type": "Number", "Default": "7"}},
        Outputs={"Name": {"Value": {"Ref": "Log"}, "Description": "its name"}},
    )
    identity = make(cf, {}, TemplateBody=body, Tags=[{"Key": "a", "Value": "b"}])
    stack = stack_of(cf)
    assert (identity, "CREATE_COMPLETE") == (stack["StackId"], stack["StackStatus"])
    assert [{"ParameterKey": "Days", "ParameterValue": "7"}] == stack["Parameters"]
    assert [{"Key": "a", "Value": "b"}] == stack["Tags"]
    name = physical(cf, "Log")
    expected = [{"OutputKey": "Name", "OutputValue": name, "Description": "its name"}]
    assert expected == stack["Outputs"]


def test_events_tell_the_life_of_a_stack(cf: CF) -> None:
    """The newest comes first in the answer; here they are the other way round."""
    make(cf, {"Log": log()})
    cf.delete_stack(StackName=NAME)
    identity = cf.list_stacks()["StackSummaries"][0]["StackId"]
    assert [
        (NAME, "CREATE_IN_PROGRESS"),
        ("Log", "CREATE_IN_PROGRESS"),
        ("Log", "CREATE_IN_PROGRESS"),
        ("Log", "CREATE_COMPLETE"),
        (NAME, "CREATE_COMPLETE"),
        (NAME, "DELETE_IN_PROGRESS"),
        ("Log", "DELETE_IN_PROGRESS"),
        ("Log", "DELETE_COMPLETE"),
        (NAME, "DELETE_COMPLETE"),
    ] == events_of(cf, identity)


def test_resources_take_their_time(cloud: LocalCloud, cf: CF) -> None:
    """The first is being made, the second is not begun, and there are no outputs yet."""
    cloud.stack_pace(3600)
    make(cf, {}, TemplateBody=template(TWO, Outputs={"O": {"Value": {"Ref": "First"}}}))
    stack = stack_of(cf)
    assert "CREATE_IN_PROGRESS" == stack["StackStatus"]
    assert "Outputs" not in stack
    found = cf.describe_stack_resources(StackName=NAME)["StackResources"]
    assert [("First", "CREATE_IN_PROGRESS")] == [
        (one["LogicalResourceId"], one["ResourceStatus"]) for one in found
    ]


def test_time_brings_a_stack_to_its_end(cloud: LocalCloud, cf: CF) -> None:
    """Each resource is complete one pace after the one before."""
    cloud.stack_pace(0.1)
    make(cf, TWO)
    wait(cf, "stack_create_complete")
    done = [
        one["Timestamp"].timestamp()
        for one in cf.describe_stack_events(StackName=NAME)["StackEvents"][::-1]
        if one["ResourceStatus"] == "CREATE_COMPLETE" and one["LogicalResourceId"] != NAME
    ]
    assert [0.1] == [round(late - early, 3) for early, late in itertools.pairwise(done)]


def test_another_service_shows_what_time_has_brought(cloud: LocalCloud, cf: CF) -> None:
    """Nobody needs to look at the stack itself."""
    cloud.stack_pace(0.1)
    make(cf, TWO)
    logs, until = cloud.client("logs"), time.monotonic() + 20
    while len(logs.describe_log_groups()["logGroups"]) < 2:
        assert time.monotonic() < until, "the second log group never came"
        time.sleep(0.05)


def test_deleting_a_stack_that_is_being_made_ends_it(cloud: LocalCloud, cf: CF) -> None:
    """What was made of it goes."""
    cloud.stack_pace(3600)
    identity = make(cf, TWO)
    cloud.stack_pace(0)
    cf.delete_stack(StackName=NAME)
    assert "DELETE_COMPLETE" == stack_of(cf, identity)["StackStatus"]
    assert set() == names(cloud)


# -- looking ---------------------------------------------------------------------------------------


def test_a_deleted_stack_is_found_by_its_id_alone(cf: CF) -> None:
    """Its name is free again."""
    identity = make(cf, {"Log": log()})
    cf.delete_stack(StackName=NAME)
    assert "DELETE_COMPLETE" == stack_of(cf, identity)["StackStatus"]
    with pytest.raises(ClientError, match=f"Stack with id {NAME} does not exist"):
        stack_of(cf)
    assert [] == cf.describe_stacks()["Stacks"]
    assert identity != make(cf, {"Log": log()})


def test_an_unknown_stack_is_a_validation_error(cf: CF) -> None:
    """For events too, which word it otherwise."""
    with pytest.raises(ClientError, match="Stack with id none does not exist") as caught:
        stack_of(cf, "none")
    assert "ValidationError" == caught.value.response["Error"]["Code"]
    with pytest.raises(ClientError, match=r"Stack \[none\] does not exist"):
        events_of(cf, "none")


def test_events_come_in_pages(cloud: LocalCloud, cf: CF) -> None:
    """No event is left out or comes twice."""
    make(cf, TWO)
    whole = cf.describe_stack_events(StackName=NAME)["StackEvents"]
    cloud.page_size(3)
    pages = list(cf.get_paginator("describe_stack_events").paginate(StackName=NAME))
    assert [3, 3, 2] == [len(page["StackEvents"]) for page in pages]
    assert [one["EventId"] for one in whole] == [
        one["EventId"] for page in pages for one in page["StackEvents"]
    ]


def test_lists_come_in_pages(cloud: LocalCloud, cf: CF) -> None:
    """Of stacks and of their resources."""
    for name in ("a", "b", "c"):
        make(cf, TWO, StackName=name)
    cloud.page_size(1)
    stacks = cf.get_paginator("describe_stacks").paginate()
    assert ["a", "b", "c"] == [one["StackName"] for page in stacks for one in page["Stacks"]]
    pages = cf.get_paginator("list_stack_resources").paginate(StackName="b")
    assert ["First", "Second"] == [
        one["LogicalResourceId"] for page in pages for one in page["StackResourceSummaries"]
    ]


def test_stacks_are_listed_by_status(cf: CF) -> None:
    """Those that are deleted too."""
    make(cf, TWO, StackName="gone")
    cf.delete_stack(StackName="gone")
    make(cf, TWO)
    found = cf.list_stacks(StackStatusFilter=["DELETE_COMPLETE"])["StackSummaries"]
    assert ["gone"] == [one["StackName"] for one in found]


def test_the_template_is_given_back(cf: CF) -> None:
    """As it was."""
    make(cf, TWO)
    assert {"Resources": TWO} == cf.get_template(StackName=NAME)["TemplateBody"]


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "given", "needed"),
    [
        (role(), [], "CAPABILITY_IAM"),
        (role(RoleName="own"), ["CAPABILITY_IAM"], "CAPABILITY_NAMED_IAM"),
    ],
)
def test_roles_need_a_capability(
    cf: CF, entry: dict[str, object], given: list[str], needed: str
) -> None:
    """Named ones need more."""
    with pytest.raises(ClientError, match=rf"Requires capabilities : \[{needed}\]") as caught:
        make(cf, {"Role": entry}, Capabilities=given)
    assert "InsufficientCapabilitiesException" == caught.value.response["Error"]["Code"]
    make(cf, {"Role": entry}, Capabilities=["CAPABILITY_NAMED_IAM"])


def test_a_name_is_taken_once(cf: CF) -> None:
    """Until its stack is deleted."""
    make(cf, TWO)
    with pytest.raises(ClientError) as caught:
        make(cf, TWO)
    assert "AlreadyExistsException" == caught.value.response["Error"]["Code"]


def test_a_client_token_makes_a_call_the_same_call(cf: CF) -> None:
    """With other parameters it is refused."""
    first = make(cf, TWO, ClientRequestToken="t")
    assert first == make(cf, TWO, ClientRequestToken="t")
    with pytest.raises(ClientError) as caught:
        make(cf, {"Log": log()}, ClientRequestToken="t")
    assert "TokenAlreadyExistsException" == caught.value.response["Error"]["Code"]


PARAMETERS = {
    "Name": {"Type": "String", "AllowedPattern": "[a-z]+"},
    "Size": {"Type": "String", "AllowedValues": ["1", "2"], "Default": "1"},
    "Net": {
        "Type": "String",
        "AllowedPattern": "x?",
        "ConstraintDescription": "must be x",
        "Default": "",
    },
    "Vpc": {"Type": "AWS::EC2::VPC::Id", "Default": "vpc-0"},
}


@pytest.mark.parametrize(
    ("given", "declared", "refused"),
    [
        ({}, ["Name"], r"Parameters: \[Name\] must have values"),
        ({"Name": "A"}, ["Name"], r"Parameter 'Name' must match pattern \[a-z\]\+"),
        ({"Name": "a", "No": "1"}, ["Name"], r"Parameters: \[No\] do not exist in the template"),
        ({"Size": "3"}, ["Size"], "Parameter 'Size' must be one of AllowedValues"),
        ({"Net": "y"}, ["Net"], "Parameter Net failed to satisfy constraint: must be x"),
        ({}, ["Vpc"], "parameter value vpc-0 for parameter name Vpc does not exist"),
    ],
)
def test_parameters_are_checked(
    cf: CF, given: dict[str, str], declared: list[str], refused: str
) -> None:
    """Before anything is made."""
    body = template(TWO, Parameters={name: PARAMETERS[name] for name in declared})
    asked = [{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()]
    with pytest.raises(ClientError, match=refused) as caught:
        make(cf, {}, TemplateBody=body, Parameters=asked)
    assert "ValidationError" == caught.value.response["Error"]["Code"]
    assert [] == cf.list_stacks()["StackSummaries"]


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ("{", "Template format error: JSON not well-formed"),
        ("{}", "At least one Resources member must be defined"),
        (template({"X": {"Type": "AWS::No::Such"}}), r"Unrecognized resource types: \[AWS::No"),
        (template({"X": log(LogGroupName={"Ref": "Y"})}), r"Unresolved resource dependencies \[Y"),
        (
            template({"X": log(), "Y": log(LogGroupName={"Fn::GetAtt": ["X", "Size"]})}),
            "resource X does not support attribute type Size",
        ),
        (
            template({"X": {**log(), "DependsOn": "Y"}, "Y": {**log(), "DependsOn": "X"}}),
            r"Circular dependency between resources: \[X, Y\]",
        ),
        (template({"X": log()}, Description="x" * 52000), "less than or equal to 51200"),
    ],
)
def test_a_broken_template_is_refused(cf: CF, body: str, refused: str) -> None:
    """With AWS's words."""
    with pytest.raises(ClientError, match=refused):
        make(cf, {}, TemplateBody=body)


# -- failure ---------------------------------------------------------------------------------------


def test_a_failed_stack_is_rolled_back(cloud: LocalCloud, cf: CF) -> None:
    """Nothing of it is left, and the events tell why."""
    cloud.fail_resource("Second", "no luck today")
    make(cf, TWO)
    stack = stack_of(cf)
    assert "ROLLBACK_COMPLETE" == stack["StackStatus"]
    assert set() == names(cloud)
    assert "no luck today" == reason_of(cf, "Second", "CREATE_FAILED")
    assert (
        "The following resource(s) failed to create: [Second]. Rollback requested by user."
        == reason_of(cf, NAME, "ROLLBACK_IN_PROGRESS")
    )


@pytest.mark.parametrize(
    ("asked", "status", "left"),
    [
        ({"OnFailure": "DELETE"}, "DELETE_COMPLETE", 0),
        ({"OnFailure": "DO_NOTHING"}, "CREATE_FAILED", 1),
        ({"DisableRollback": True}, "CREATE_FAILED", 1),
    ],
)
def test_a_failed_stack_does_what_was_asked(
    cloud: LocalCloud, cf: CF, asked: dict[str, object], status: str, left: int
) -> None:
    """It goes, or stays as it is."""
    cloud.fail_resource("Second", "no")
    identity = make(cf, TWO, **asked)
    assert (status, left) == (stack_of(cf, identity)["StackStatus"], len(names(cloud)))


@pytest.mark.parametrize("ending", ["calm", "reset"])
def test_failures_end(cloud: LocalCloud, cf: CF, ending: str) -> None:
    """With `calm`, and with `reset`."""
    cloud.fail_resource("First", "no")
    getattr(cloud, ending)()
    make(cf, TWO)
    assert "CREATE_COMPLETE" == stack_of(cf)["StackStatus"]


# -- the end ---------------------------------------------------------------------------------------


def test_a_bucket_that_is_not_empty_keeps_its_stack(cloud: LocalCloud, cf: CF) -> None:
    """Until it is empty, and the stack is deleted again."""
    identity = make(cf, {"Bucket": bucket(), "Log": log()})
    s3, name = cloud.client("s3"), physical(cf, "Bucket")
    s3.put_object(Bucket=name, Key="k", Body=b"")
    cf.delete_stack(StackName=NAME)
    stack = stack_of(cf)
    assert "DELETE_FAILED" == stack["StackStatus"]
    failed = "The following resource(s) failed to delete: [Bucket]. "
    assert failed == stack["StackStatusReason"]
    assert "is not empty" in reason_of(cf, "Bucket", "DELETE_FAILED")
    assert {name} == names(cloud)
    s3.delete_object(Bucket=name, Key="k")
    cf.delete_stack(StackName=NAME)
    assert "DELETE_COMPLETE" == stack_of(cf, identity)["StackStatus"]


def test_what_fails_to_go_may_be_retained(cloud: LocalCloud, cf: CF) -> None:
    """Then the stack goes without it."""
    identity = make(cf, {"Bucket": bucket()})
    name = physical(cf, "Bucket")
    cloud.client("s3").put_object(Bucket=name, Key="k", Body=b"")
    cf.delete_stack(StackName=NAME)
    cf.delete_stack(StackName=NAME, RetainResources=["Bucket"])
    assert "DELETE_COMPLETE" == stack_of(cf, identity)["StackStatus"]
    assert {name} == names(cloud)


def test_deleting_what_is_not_there_is_no_error(cf: CF) -> None:
    """As often as one likes."""
    cf.delete_stack(StackName="none")
    assert [] == cf.list_stacks()["StackSummaries"]


def test_what_was_taken_away_by_hand_is_no_hindrance(cloud: LocalCloud, cf: CF) -> None:
    """A resource that is gone is deleted."""
    identity = make(cf, {"Log": log()})
    cloud.client("logs").delete_log_group(logGroupName=physical(cf, "Log"))
    cf.delete_stack(StackName=NAME)
    assert "DELETE_COMPLETE" == stack_of(cf, identity)["StackStatus"]


def test_a_retained_resource_outlives_its_stack(cloud: LocalCloud, cf: CF) -> None:
    """DeletionPolicy says so."""
    make(cf, {"Kept": {**log(), "DeletionPolicy": "Retain"}, "Log": log()})
    name = physical(cf, "Kept")
    cf.delete_stack(StackName=NAME)
    assert {name} == names(cloud)


def test_a_protected_stack_is_not_deleted(cf: CF) -> None:
    """Until its protection is taken away."""
    identity = make(cf, TWO, EnableTerminationProtection=True)
    with pytest.raises(ClientError, match="while TerminationProtection is enabled"):
        cf.delete_stack(StackName=NAME)
    cf.update_termination_protection(StackName=NAME, EnableTerminationProtection=False)
    cf.delete_stack(StackName=NAME)
    assert "DELETE_COMPLETE" == stack_of(cf, identity)["StackStatus"]
