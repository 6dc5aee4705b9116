"""Stacks are updated, or are what they were before, as CloudFormation has it."""

from typing import Any

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
    update,
)


@pytest.fixture
def cf(cloud: LocalCloud) -> CF:
    """CloudFormation in an empty cloud."""
    return cloud.client("cloudformation")


def kept_days(cloud: LocalCloud) -> list[int | None]:
    """Return the log groups' retention."""
    groups = cloud.client("logs").describe_log_groups()["logGroups"]
    return [group.get("retentionInDays") for group in groups]


# -- what is done ----------------------------------------------------------------------------------


def test_a_resource_is_changed_in_its_place(cloud: LocalCloud, cf: CF) -> None:
    """It keeps its name; what did not change is let be."""
    make(cf, {"Log": log(RetentionInDays=7), "Other": log()})
    name = physical(cf, "Log")
    update(cf, {"Log": log(RetentionInDays=30), "Other": log()})
    assert ("UPDATE_COMPLETE", name) == (stack_of(cf)["StackStatus"], physical(cf, "Log"))
    assert [30, None] == kept_days(cloud)
    assert [
        (NAME, "UPDATE_IN_PROGRESS"),
        ("Log", "UPDATE_IN_PROGRESS"),
        ("Log", "UPDATE_COMPLETE"),
        (NAME, "UPDATE_COMPLETE"),
    ] == events_of(cf)[-4:]


def test_resources_come_and_go(cloud: LocalCloud, cf: CF) -> None:
    """With the template; the outputs follow."""
    make(cf, {"Old": log()})
    outputs = {"New": {"Value": {"Ref": "New"}}}
    update(cf, {}, TemplateBody=template({"New": log()}, Outputs=outputs))
    name = physical(cf, "New")
    assert {name} == names(cloud)
    assert [{"OutputKey": "New", "OutputValue": name}] == stack_of(cf)["Outputs"]
    assert ("Old", "DELETE_COMPLETE") in events_of(cf)
    assert (NAME, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS") in events_of(cf)


def test_a_resource_that_cannot_change_is_replaced(cloud: LocalCloud, cf: CF) -> None:
    """The new one is there before the old one goes, and what refers to it follows."""
    resources = {"Log": log(), "Policy": policy_on({"Fn::GetAtt": ["Log", "Arn"]}), "Role": role()}
    make(cf, resources)
    update(cf, {**resources, "Log": log(LogGroupName="mine")})
    assert "mine" == physical(cf, "Log")
    written = cloud.client("iam").get_role_policy(RoleName=physical(cf, "Role"), PolicyName="p")
    assert written["PolicyDocument"]["Statement"][0]["Resource"].endswith(":log-group:mine:*")
    assert {"mine", physical(cf, "Role")} == names(cloud)


def policy_on(resource: object) -> dict[str, Any]:
    """Return the entry of a policy `p` on the role `Role`."""
    statement = {"Effect": "Allow", "Action": "logs:PutLogEvents", "Resource": resource}
    return {
        "Type": "AWS::IAM::Policy",
        "Properties": {
            "PolicyName": "p",
            "Roles": [{"Ref": "Role"}],
            "PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        },
    }


def test_tags_of_the_stack_reach_its_resources(cloud: LocalCloud, cf: CF) -> None:
    """And are changed with it."""
    resources = {"Role": role(), "Log": log(), "Bucket": bucket()}
    make(cf, resources, Tags=[{"Key": "a", "Value": "1"}])
    update(cf, resources, Tags=[{"Key": "b", "Value": "2"}])
    expected = [{"Key": "b", "Value": "2"}]
    name = physical(cf, "Role")
    assert expected == cloud.client("iam").list_role_tags(RoleName=name)["Tags"]
    tagging = cloud.client("s3").get_bucket_tagging(Bucket=physical(cf, "Bucket"))
    assert expected == tagging["TagSet"]
    logs = cloud.client("logs")
    group = logs.describe_log_groups()["logGroups"][0]
    assert {"b": "2"} == logs.list_tags_for_resource(resourceArn=group["logGroupArn"])["tags"]


def test_parameters_and_template_may_stay(cloud: LocalCloud, cf: CF) -> None:
    """With UsePreviousValue and UsePreviousTemplate; one left out takes its default."""
    declared = {
        "Days": {"Type": "Number", "Default": "7"},
        "Name": {"Type": "String", "Default": "x"},
    }
    entry = log(RetentionInDays={"Ref": "Days"}, LogGroupName={"Ref": "Name"})
    body = template({"Log": entry}, Parameters=declared)
    given = [
        {"ParameterKey": "Days", "ParameterValue": "30"},
        {"ParameterKey": "Name", "ParameterValue": "mine"},
    ]
    make(cf, {}, TemplateBody=body, Parameters=given)
    cf.update_stack(
        StackName=NAME,
        UsePreviousTemplate=True,
        Parameters=[{"ParameterKey": "Name", "UsePreviousValue": True}],
    )
    assert (["mine"], [7]) == (sorted(names(cloud)), kept_days(cloud))


# -- what is refused -------------------------------------------------------------------------------


def test_an_update_without_a_change_is_refused(cf: CF) -> None:
    """The same template may be written otherwise."""
    make(cf, {"A": log(), "B": log()})
    with pytest.raises(ClientError, match="No updates are to be performed") as caught:
        update(cf, {"B": log(), "A": log()})
    assert "ValidationError" == caught.value.response["Error"]["Code"]
    assert "CREATE_COMPLETE" == stack_of(cf)["StackStatus"]


def test_an_update_needs_the_capability_too(cf: CF) -> None:
    """As the making does."""
    make(cf, {"Log": log()})
    with pytest.raises(ClientError, match="InsufficientCapabilities"):
        update(cf, {"Role": role()}, Capabilities=[])


def test_an_unknown_stack_is_not_updated(cf: CF) -> None:
    """It is a validation error."""
    with pytest.raises(ClientError, match="does not exist"):
        update(cf, {"Log": log()})


def test_a_stack_that_is_busy_is_not_updated(cloud: LocalCloud, cf: CF) -> None:
    """It says in which state it is."""
    cloud.stack_pace(3600)
    identity = make(cf, {"Log": log()})
    words = f"Stack:{identity} is in CREATE_IN_PROGRESS state and can not be updated."
    with pytest.raises(ClientError, match=words):
        update(cf, {"Log": log(RetentionInDays=7)})


def test_a_stack_that_is_being_updated_is_not_deleted(cloud: LocalCloud, cf: CF) -> None:
    """It says in which status it is."""
    make(cf, {"Log": log()})
    cloud.stack_pace(3600)
    update(cf, {"Log": log(RetentionInDays=7)})
    with pytest.raises(ClientError, match="cannot be deleted while in status UPDATE_IN_PROGRESS"):
        cf.delete_stack(StackName=NAME)


@pytest.mark.parametrize(
    ("on_failure", "status"), [("ROLLBACK", "ROLLBACK_COMPLETE"), ("DO_NOTHING", "CREATE_FAILED")]
)
def test_a_stack_that_never_was_is_not_updated(
    cloud: LocalCloud, cf: CF, on_failure: str, status: str
) -> None:
    """It has to be deleted first."""
    cloud.fail_resource("Log", "no")
    make(cf, {"Log": log()}, OnFailure=on_failure)
    with pytest.raises(ClientError, match=f"is in {status} state and can not be updated"):
        update(cf, {"Log": log(RetentionInDays=7)})


def test_a_client_token_makes_an_update_the_same_update(cf: CF) -> None:
    """It is no update without a change."""
    make(cf, {"Log": log()})
    update(cf, {"Log": log(RetentionInDays=7)}, ClientRequestToken="t")
    update(cf, {"Log": log(RetentionInDays=7)}, ClientRequestToken="t")
    assert 1 == events_of(cf).count((NAME, "UPDATE_IN_PROGRESS"))


# -- failure ---------------------------------------------------------------------------------------


def test_a_failed_update_leaves_all_as_it_was(cloud: LocalCloud, cf: CF) -> None:
    """What was changed is changed back, what was new goes, what was replaced is there still."""
    old = {"A": log(RetentionInDays=7), "B": log(LogGroupName="b"), "D": log()}
    outputs = {"Name": {"Value": {"Ref": "B"}}}
    make(cf, {}, TemplateBody=template(old, Outputs=outputs))
    before, was = names(cloud), stack_of(cf)["Outputs"]
    cloud.fail_resource("D", "no luck today")
    new = {"A": log(), "B": log(LogGroupName="c"), "C": log(), "D": log(RetentionInDays=1)}
    update(cf, {}, TemplateBody=template(new, Outputs=outputs))
    stack = stack_of(cf)
    assert "UPDATE_ROLLBACK_COMPLETE" == stack["StackStatus"]
    assert (before, was) == (names(cloud), stack["Outputs"])
    assert [7, None, None] == kept_days(cloud)
    assert "no luck today" == reason_of(cf, "D", "UPDATE_FAILED")
    assert "The following resource(s) failed to update: [D]. " == reason_of(
        cf, NAME, "UPDATE_ROLLBACK_IN_PROGRESS"
    )
    assert old == cf.get_template(StackName=NAME)["TemplateBody"]["Resources"]


def test_a_stack_that_was_rolled_back_can_be_updated(cloud: LocalCloud, cf: CF) -> None:
    """The next try may do better."""
    make(cf, {"Log": log()})
    cloud.fail_resource("Log", "no")
    update(cf, {"Log": log(RetentionInDays=7)})
    update(cf, {"Log": log(RetentionInDays=7)})
    assert ("UPDATE_COMPLETE", [7]) == (stack_of(cf)["StackStatus"], kept_days(cloud))
