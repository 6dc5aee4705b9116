"""Tags of fleets and instances, and pages of tags and rules."""

import pytest
from botocore.exceptions import ClientError

from localcloud import LocalCloud
from tests.localcloud.conftest import Client, fleet_of, instances_of, request_fleet, run

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:lease"


def tag(key: str, value: str) -> dict[str, str]:
    """Return a tag as AWS writes it."""
    return {"Key": key, "Value": value}


def found(ec2: Client, *filters: tuple[str, str]) -> list[tuple[str, str, str]]:
    """Return the tags that pass filters (name, value): resource, key, value."""
    asked = [{"Name": name, "Values": [value]} for name, value in filters]
    pages = ec2.get_paginator("describe_tags").paginate(Filters=asked)
    return [(one["ResourceId"], one["Key"], one["Value"]) for page in pages for one in page["Tags"]]


def test_a_fleets_tags_can_be_changed(ec2: Client) -> None:
    """CreateTags adds and overwrites, DeleteTags removes; the description shows it."""
    tags = [{"ResourceType": "spot-fleet-request", "Tags": [tag("kept", "1"), tag("new", "1")]}]
    fleet = request_fleet(ec2, TagSpecifications=tags)
    ec2.create_tags(Resources=[fleet], Tags=[tag("new", "2"), tag("more", "3"), tag("gone", "4")])
    ec2.delete_tags(Resources=[fleet], Tags=[{"Key": "gone"}, tag("more", "other value")])
    assert [tag("kept", "1"), tag("new", "2"), tag("more", "3")] == fleet_of(ec2, fleet)["Tags"]


def test_an_instances_tags_can_be_changed(ec2: Client) -> None:
    """And it is found by them from then on."""
    one, other = run(ec2, MinCount=2, MaxCount=2)
    ec2.create_tags(Resources=[one, other], Tags=[tag("key", "1")])
    ec2.delete_tags(Resources=[other], Tags=[{"Key": "key"}])
    assert [one] == list(instances_of(ec2, ("tag:key", "1")))


@pytest.mark.parametrize(
    ("identity", "code"),
    [
        ("i-1234567890abcdef0", "InvalidInstanceID.NotFound"),
        ("sfr-12345678-1234-1234-1234-123456789012", "InvalidSpotFleetRequestId.NotFound"),
    ],
)
def test_what_is_not_there_cannot_be_tagged(ec2: Client, identity: str, code: str) -> None:
    """Each kind of thing has its own code ("Error codes"); nothing else of the call is tagged."""
    (instance,) = run(ec2)
    with pytest.raises(ClientError, match=code):
        ec2.create_tags(Resources=[instance, identity], Tags=[tag("key", "1")])
    assert found(ec2) == []


def test_tags_are_found_by_filters(ec2: Client) -> None:
    """key, value, resource-id, resource-type and tag:KEY ("DescribeTags")."""
    fleet = request_fleet(ec2, TargetCapacity=0)
    (instance,) = run(ec2)
    ec2.create_tags(Resources=[fleet, instance], Tags=[tag("key", "1"), tag("other", "2")])
    mine = [(fleet, "key", "1"), (fleet, "other", "2")]
    assert mine == found(ec2, ("resource-id", fleet))
    assert mine == found(ec2, ("resource-type", "spot-fleet-request"))
    assert {(fleet, "key", "1"), (instance, "key", "1")} == set(found(ec2, ("key", "k*")))
    assert {(fleet, "other", "2"), (instance, "other", "2")} == set(found(ec2, ("value", "2")))
    assert [(instance, "key", "1")] == found(ec2, ("tag:key", "1"), ("resource-id", instance))
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        found(ec2, ("colour", "red"))


def test_tags_come_in_pages(cloud: LocalCloud, ec2: Client) -> None:
    """No page is larger than told, and together they hold all."""
    (instance,) = run(ec2)
    ec2.create_tags(Resources=[instance], Tags=[tag(f"key-{number}", "") for number in range(5)])
    cloud.page_size(2)
    pages = list(ec2.get_paginator("describe_tags").paginate())
    assert [len(page["Tags"]) for page in pages] == [2, 2, 1]
    assert [f"key-{number}" for number in range(5)] == [key for _, key, _ in found(ec2)]


def test_rules_come_in_pages(cloud: LocalCloud) -> None:
    """As large as told or asked for ("ListRules"); one that stays is not left out."""
    events = cloud.client("events")
    names = [f"rule-{number}" for number in range(5)]
    for name in names:
        events.put_rule(Name=name, ScheduleExpression="rate(5 minutes)")
    assert len(events.list_rules(Limit=3)["Rules"]) == 3
    cloud.page_size(2)
    first = events.list_rules(NamePrefix="rule-")
    events.delete_rule(Name=names[0])
    rest = events.list_rules(NamePrefix="rule-", NextToken=first["NextToken"])
    last = events.list_rules(NamePrefix="rule-", NextToken=rest["NextToken"])
    pages = [[rule["Name"] for rule in page["Rules"]] for page in (first, rest, last)]
    assert pages == [names[:2], names[2:4], names[4:]]
    assert "NextToken" not in last


def test_targets_of_one_function_come_in_pages(cloud: LocalCloud) -> None:
    """A rule may have several targets with one ARN ("ListTargetsByRule")."""
    events = cloud.client("events")
    events.put_rule(Name="rule", ScheduleExpression="rate(5 minutes)")
    targets = [{"Id": f"target-{number}", "Arn": FUNCTION} for number in range(3)]
    events.put_targets(Rule="rule", Targets=targets)
    cloud.page_size(2)
    first = events.list_targets_by_rule(Rule="rule")
    second = events.list_targets_by_rule(Rule="rule", NextToken=first["NextToken"])
    assert targets == first["Targets"] + second["Targets"]


def test_targets_of_no_rule_are_not_found(cloud: LocalCloud) -> None:
    """ResourceNotFoundException ("ListTargetsByRule")."""
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        cloud.client("events").list_targets_by_rule(Rule="none")
