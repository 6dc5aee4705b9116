"""The sweep ends what is over by its tags, rule or not; a lease that was extended is honoured."""

import uuid
from typing import Any

import pytest

from localcloud import LocalCloud
from tests.lease.conftest import BUCKET, EXPIRES, LATER, SWEEP, Annexes, Lambda, lines

OVER, RUNS = str(EXPIRES), str(EXPIRES + 3600)


def living(cloud: LocalCloud) -> set[str]:
    """Return the ids of the fleets and instances that live."""
    left = cloud.contents()
    fleets = {str(fleet["SpotFleetRequestId"]) for fleet in left.fleets}
    return fleets | {str(instance["InstanceId"]) for instance in left.instances}


def test_what_is_over_ends_and_what_runs_lives(
    cloud: LocalCloud, annexes: Annexes, lambda_: Lambda
) -> None:
    """Fleets with their instances and single instances, of several annexes, without any rule."""
    runs, over, more = (str(uuid.uuid4()) for _ in range(3))
    lives = {annexes.fleet(runs, 2, expires=RUNS), *annexes.instances(runs, 2, expires=RUNS)}
    for annex_id in (over, more):
        annexes.fleet(annex_id, 2, expires=OVER)
        annexes.instances(annex_id, 2, expires=OVER)
    report = lambda_.run(SWEEP).value
    assert (2, 2, 0, []) == tuple(
        report[name] for name in ("expired", "fleets_cancelled", "left", "failures")
    )
    left = cloud.contents()
    assert lives <= living(cloud)
    assert (1, 4) == (len(left.fleets), len(left.instances))


def test_what_is_under_no_lease_lives(cloud: LocalCloud, annexes: Annexes, lambda_: Lambda) -> None:
    """Somebody else's fleets and instances, and an annex that has no end."""
    stranger = annexes.fleet(None)
    endless = annexes.fleet(str(uuid.uuid4()), 1)
    others = annexes.instances(None, 2)
    annexes.fleet(str(uuid.uuid4()), 1, expires=OVER)
    lambda_.run(SWEEP)
    assert {stranger, endless, *others} <= living(cloud)
    assert (2, 4) == (len(cloud.contents().fleets), len(cloud.contents().instances))


def test_a_fleet_without_token_or_tags_keeps_nothing_from_ending(
    cloud: LocalCloud, annexes: Annexes, lambda_: Lambda
) -> None:
    """Neither a sweep nor a rule stumbles over it."""
    stranger, annex_id = annexes.fleet(None, 0), annexes.whole()
    annexes.fleet(str(uuid.uuid4()), 1, expires=OVER)
    results = [lambda_.run(annexes.event(annex_id)), lambda_.run(SWEEP)]
    assert ["", ""] == [one.failure for one in results]
    assert {stranger} == living(cloud)


@pytest.mark.parametrize("sweeps", [False, True], ids=["rule", "sweep"])
def test_ids_that_begin_alike_are_different_annexes(
    cloud: LocalCloud, annexes: Annexes, lambda_: Lambda, *, sweeps: bool
) -> None:
    """An id that is a part of another, or goes on, is another: its instances and object live."""
    annex_id = str(uuid.uuid4())
    others = [annex_id[:-1], f"{annex_id}0", f"{annex_id}-1", annex_id.upper(), f" {annex_id}"]
    lives = set()
    for other in others:
        fleet = annexes.fleet(other, 0, expires=RUNS)
        lives |= {fleet, *annexes.instances(other, 1, expires=RUNS)}
        annexes.configuration(other)
    annexes.configuration(annex_id)
    annexes.fleet(annex_id, 1, expires=OVER)
    annexes.instances(annex_id, 1, expires=OVER)
    key = f"config-{annex_id}.tar.gz"
    event = SWEEP if sweeps else annexes.event(annex_id, S3BucketName=BUCKET, S3Key=key)
    assert lambda_.run(event).failure == ""
    assert lives == living(cloud)
    assert sorted(f"config-{other}.tar.gz" for other in others) == sorted(annexes.objects())


def test_rules_whose_names_begin_alike_stay(
    cloud: LocalCloud, annexes: Annexes, lambda_: Lambda
) -> None:
    """Of rules that only look like an annex's none is removed."""
    annex_id = annexes.whole()
    events = cloud.client("events", looks=True)
    alike = [f"htcondor-annex-{annex_id}{more}" for more in ("0", "-old")]
    alike += [f"htcondor-annex-{annex_id[:-1]}", "htcondor-annex-", "htcondor-annex"]
    for name in alike:
        events.put_rule(Name=name, ScheduleExpression="rate(5 minutes)")
    lambda_.run(annexes.event(annex_id))
    lambda_.run(SWEEP)
    assert sorted(alike) == sorted(rule["Name"] for rule in cloud.contents().rules)


def test_the_rule_and_the_object_of_an_annex_go_too(
    cloud: LocalCloud, annexes: Annexes, lambda_: Lambda
) -> None:
    """A sweep leaves nothing of it."""
    annex_id = str(uuid.uuid4())
    annexes.rule(annex_id)
    annexes.configuration(annex_id)
    annexes.fleet(annex_id, 1, expires=OVER)
    report = lambda_.run(SWEEP).value
    assert (1, 1) == (report["objects_deleted"], report["rules_deleted"])
    assert (True, []) == (cloud.contents().empty, annexes.objects())


def test_a_rule_of_which_nothing_else_is_left_is_removed(
    cloud: LocalCloud, annexes: Annexes, lambda_: Lambda
) -> None:
    """When its own input says that its time is over."""
    over, runs = (str(uuid.uuid4()) for _ in range(2))
    annexes.rule(over)
    annexes.rule(runs, LeaseExpiration=EXPIRES + 3600)
    lambda_.run(SWEEP)
    assert [f"htcondor-annex-{runs}"] == [rule["Name"] for rule in cloud.contents().rules]


def test_pages_are_read_to_the_last(cloud: LocalCloud, annexes: Annexes, lambda_: Lambda) -> None:
    """Of fleets, instances and rules."""
    for _ in range(5):
        annex_id = str(uuid.uuid4())
        annexes.rule(annex_id)
        annexes.fleet(annex_id, 1, expires=OVER)
    cloud.page_size(2)
    assert 5 == lambda_.run(SWEEP).value["rules_deleted"]
    assert cloud.contents().empty


# -- dry run ---------------------------------------------------------------------------------------


def test_a_dry_run_tells_and_ends_nothing(
    cloud: LocalCloud, annexes: Annexes, lambda_: Lambda
) -> None:
    """It says what it would end, and changes nothing."""
    annex_id = str(uuid.uuid4())
    fleet = annexes.fleet(annex_id, 2, expires=OVER)
    result = lambda_.run({"Sweep": True, "DryRun": True})
    report = result.value
    wanted = {"dry_run": True, "fleets": 1, "instances": 2, "expired": 1, "instances_ended": 0}
    assert wanted == {name: report[name] for name in wanted}
    assert annex_id in [line.get("annex") for line in lines(result)]
    assert fleet in living(cloud)
    asked = {seen.action for seen in cloud.requests()}
    assert not [one for one in asked if not one.startswith(("Describe", "List"))]


def test_a_dry_run_tells_what_it_was_refused(cloud: LocalCloud, lambda_: Lambda) -> None:
    """It never fails: its report is how -check-setup finds out."""
    cloud.fail("*", "UnauthorizedOperation", status=403, times=99)
    result = lambda_.run({"Sweep": True, "DryRun": True})
    assert result.failure == ""
    assert {"look for fleets", "look for instances", "read rules"} == set(result.value["failures"])


# -- extension -------------------------------------------------------------------------------------

NEW = EXPIRES + 3600


def rule_and_fleet(annexes: Annexes, *, rule: int, tag: int) -> str:
    """Make an annex whose rule and whose fleet name these ends; return its id."""
    annex_id = str(uuid.uuid4())
    annexes.rule(annex_id, LeaseExpiration=rule)
    annexes.fleet(annex_id, 1, expires=str(tag))
    return annex_id


@pytest.mark.parametrize(("rule", "tag"), [(NEW, EXPIRES), (EXPIRES, NEW)])
def test_an_extension_that_is_half_made_is_honoured(
    cloud: LocalCloud, annexes: Annexes, lambda_: Lambda, rule: int, tag: int
) -> None:
    """The newest of rule and tag counts, for the rule's run and for the sweep's, to the second."""
    annex_id = rule_and_fleet(annexes, rule=rule, tag=tag)
    event = annexes.event(annex_id, LeaseExpiration=rule)
    for asked in (event, SWEEP):
        lambda_.run(asked, now=LATER)
        lambda_.run(asked, now=NEW)
    assert (1, 1) == (len(cloud.contents().fleets), len(cloud.contents().rules))
    lambda_.run(SWEEP, now=NEW + 1)
    assert cloud.contents().empty


@pytest.mark.parametrize("sweeps", [False, True], ids=["rule", "sweep"])
def test_an_extension_between_two_runs_is_honoured(
    cloud: LocalCloud, annexes: Annexes, lambda_: Lambda, *, sweeps: bool
) -> None:
    """The first run finds a lease that runs; the next, a lease that runs on."""
    annex_id = str(uuid.uuid4())
    fleet = annexes.fleet(annex_id, 1, expires=OVER)
    event = SWEEP if sweeps else annexes.event(annex_id)
    lambda_.run(event, now=EXPIRES)
    annexes.tag(NEW, fleet)
    lambda_.run(event, now=LATER)
    assert fleet in living(cloud)
    lambda_.run(event, now=NEW + 1)
    assert set() == living(cloud)


def test_an_instance_with_the_old_tag_lives_with_its_annex(
    cloud: LocalCloud, annexes: Annexes, lambda_: Lambda
) -> None:
    """A fleet gives what it launches the tags of its request, which an extension cannot change."""
    annex_id = str(uuid.uuid4())
    fleet = annexes.fleet(annex_id, 2, expires=OVER)
    annexes.tag(NEW, fleet)
    lambda_.run(SWEEP)
    assert (1, 2) == (len(cloud.contents().fleets), len(cloud.contents().instances))


def refuse(cloud: LocalCloud, action: str) -> None:
    """Let all calls of an action be refused."""
    cloud.fail(action, "AccessDenied", status=403, times=99)


@pytest.mark.parametrize("sweeps", [False, True], ids=["rule", "sweep"])
def test_an_extension_that_cannot_be_seen_is_honoured(
    cloud: LocalCloud, annexes: Annexes, lambda_: Lambda, *, sweeps: bool
) -> None:
    """With fleets out of sight, nobody knows that an instance's old tag still tells the end."""
    annex_id = str(uuid.uuid4())
    fleet = annexes.fleet(annex_id, 2, expires=OVER)
    annexes.tag(NEW, fleet)
    annexes.configuration(annex_id)
    refuse(cloud, "DescribeSpotFleetRequests")
    key = f"config-{annex_id}.tar.gz"
    event: dict[str, Any] = annexes.event(annex_id, S3BucketName=BUCKET, S3Key=key)
    assert lambda_.run(SWEEP if sweeps else event).failure
    assert (2, 1) == (len(cloud.contents().instances), len(annexes.objects()))


@pytest.mark.parametrize("action", ["ListTargetsByRule", "ListTagsForResource"])
def test_an_extension_in_a_rule_that_cannot_be_read_is_honoured(
    cloud: LocalCloud, annexes: Annexes, lambda_: Lambda, action: str
) -> None:
    """The sweep leaves such an annex to its rule and to the next sweep."""
    rule_and_fleet(annexes, rule=NEW, tag=EXPIRES)
    refuse(cloud, action)
    assert lambda_.run(SWEEP).failure
    assert len(cloud.contents().fleets) == 1
