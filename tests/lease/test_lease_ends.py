"""What the lease function ends, in which order, and what it leaves alone."""

import json
import types
import uuid
from collections.abc import Callable, Sequence

import pytest

from localcloud import LocalCloud
from tests.lease.conftest import EXPIRES, LATER, Annexes, Module, Run

Actions = Callable[[], Sequence[str]]


@pytest.mark.parametrize("now", [EXPIRES - 1, EXPIRES])
def test_nothing_ends_before_the_lease_is_over(
    cloud: LocalCloud, annexes: Annexes, run: Run, now: float
) -> None:
    """Up to the very second of LeaseExpiration the annex lives."""
    run(annexes.event(annexes.whole()), now=now)
    left = cloud.contents()
    assert (len(left.fleets), len(left.instances), len(left.rules)) == (1, 2, 1)


def test_everything_ends_in_the_second_after_the_lease(
    cloud: LocalCloud, annexes: Annexes, run: Run
) -> None:
    """One second later fleet, instances, target and rule are gone."""
    run(annexes.event(annexes.whole()), now=EXPIRES + 1)
    assert cloud.contents().empty


def test_fleets_go_first_and_the_rule_goes_last(
    annexes: Annexes, run: Run, actions: Actions
) -> None:
    """Cancel, terminate, look again, and only then remove target and rule."""
    run(annexes.event(annexes.whole()))
    first_look = ["DescribeSpotFleetRequests", "DescribeInstances", "DescribeInstances"]
    assert [
        *first_look,
        "CancelSpotFleetRequests",
        "TerminateInstances",
        *first_look,
        "RemoveTargets",
        "DeleteRule",
    ] == actions()


def test_a_fleet_is_cancelled_with_its_instances(
    cloud: LocalCloud, annexes: Annexes, run: Run
) -> None:
    """AWS itself is told to end the fleet's instances, whatever tags they have."""
    run(annexes.event(annexes.whole()))
    seen = cloud.requests("CancelSpotFleetRequests")
    assert [one.parameters["TerminateInstances"] for one in seen] == [True]


def test_an_annex_of_another_id_is_left_alone(
    cloud: LocalCloud, annexes: Annexes, run: Run
) -> None:
    """Ids that differ in their last character only are two annexes."""
    ending = str(uuid.uuid4())
    other = ending[:-1] + ("0" if ending[-1] != "0" else "1")
    for annex_id in (ending, other):
        annexes.rule(annex_id)
        annexes.fleet(annex_id)
    run(annexes.event(ending))
    left = cloud.contents()
    assert [f"htcondor-annex-{other}"] == [rule["Name"] for rule in left.rules]
    assert [other] == [fleet["Tags"][0]["Value"] for fleet in left.fleets]
    assert [other] == [instance["Tags"][0]["Value"] for instance in left.instances]


def test_a_fleet_without_tags_keeps_nothing_from_ending(
    cloud: LocalCloud, annexes: Annexes, run: Run
) -> None:
    """Somebody else's fleet, with no tag at all, is passed over."""
    stranger = annexes.fleet(None)
    run(annexes.event(annexes.whole()))
    left = cloud.contents()
    assert [stranger] == [fleet["SpotFleetRequestId"] for fleet in left.fleets]
    assert left.rules == ()


def test_fleets_beyond_the_first_page_end_too(
    cloud: LocalCloud, annexes: Annexes, run: Run
) -> None:
    """DescribeSpotFleetRequests is read to its last page."""
    annex_id = annexes.whole(1)
    for _ in range(4):
        annexes.fleet(annex_id)
    cloud.page_size(2)
    report = run(annexes.event(annex_id))
    assert report["fleets_cancelled"] == 5
    assert cloud.contents().empty


def test_instances_beyond_the_first_page_end_too(
    cloud: LocalCloud, annexes: Annexes, run: Run, function: Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DescribeInstances is read to its last page."""
    annex_id = str(uuid.uuid4())
    for _ in range(7):
        annexes.instances(annex_id, 1)
    monkeypatch.setattr(function, "_BIG_PAGES", {"PageSize": 5})
    report = run(annexes.event(annex_id))
    assert report["instances_ended"] == 7
    assert cloud.contents().empty


def test_instances_without_a_fleet_end(cloud: LocalCloud, annexes: Annexes, run: Run) -> None:
    """The annex's tag on an instance is enough."""
    annex_id = str(uuid.uuid4())
    annexes.instances(annex_id, 3)
    run(annexes.event(annex_id))
    assert cloud.contents().empty


def test_untagged_instances_of_the_fleet_end(cloud: LocalCloud, annexes: Annexes, run: Run) -> None:
    """A launch template without our tag does not let instances live on."""
    annex_id = str(uuid.uuid4())
    annexes.fleet(annex_id, 2, instance_tags=False)
    run(annexes.event(annex_id))
    assert cloud.contents().empty


def test_the_rule_stays_while_an_instance_is_left(
    cloud: LocalCloud, annexes: Annexes, run: Run
) -> None:
    """Instances that AWS has yet to end keep the rule, and are no failure."""
    annex_id = str(uuid.uuid4())
    annexes.rule(annex_id)
    fleet = annexes.fleet(annex_id, 2, instance_tags=False)
    cloud.client("ec2").cancel_spot_fleet_requests(
        SpotFleetRequestIds=[fleet], TerminateInstances=False
    )
    cloud.fail("TerminateInstances", "UnauthorizedOperation", status=403)
    report = run(annexes.event(annex_id))
    assert (report["left"], report["failures"], len(cloud.contents().rules)) == (2, [], 1)


def test_an_extension_in_the_tags_is_honoured(
    cloud: LocalCloud, annexes: Annexes, run: Run
) -> None:
    """The newest of the rule's input and the tags counts."""
    annex_id = str(uuid.uuid4())
    annexes.fleet(annex_id, 1, expires=str(LATER + 100))
    report = run(annexes.event(annex_id))
    assert (report["expired"], len(cloud.contents().fleets)) == (False, 1)


@pytest.mark.parametrize("text", ["soon", "-1", "1e99", "9" * 200, "٣" * 12])
def test_a_tag_that_is_no_time_changes_nothing(
    cloud: LocalCloud, annexes: Annexes, run: Run, text: str
) -> None:
    """What cannot be read as a time neither extends a lease nor stops the function."""
    annex_id = str(uuid.uuid4())
    annexes.fleet(annex_id, 1, expires=text)
    run(annexes.event(annex_id))
    assert cloud.contents().empty


def test_the_rule_of_an_annex_that_is_gone_is_removed(
    cloud: LocalCloud, annexes: Annexes, run: Run
) -> None:
    """With nothing left to end, the rule does not stay for ever."""
    annex_id = str(uuid.uuid4())
    annexes.rule(annex_id)
    run(annexes.event(annex_id))
    assert cloud.contents().empty


def test_a_second_run_changes_nothing(annexes: Annexes, run: Run) -> None:
    """A run after the end finds nothing, not even a rule, and is content."""
    event = annexes.event(annexes.whole())
    run(event)
    report = run(event)
    assert (report["failures"], report["left"]) == ([], 0)


def test_the_configuration_object_is_deleted(cloud: LocalCloud, annexes: Annexes, run: Run) -> None:
    """The object that the event names is deleted, its neighbour is not."""
    s3 = cloud.client("s3", looks=True)
    s3.create_bucket(Bucket="annex-configurations")
    for key in ("one", "one.old"):
        s3.put_object(Bucket="annex-configurations", Key=key, Body=b"secret")
    annex_id = annexes.whole()
    run(annexes.event(annex_id, S3BucketName="annex-configurations", S3Key="one"))
    left = s3.list_objects_v2(Bucket="annex-configurations")["Contents"]
    assert [one["Key"] for one in left] == ["one.old"]


def test_an_object_that_is_gone_is_no_failure(
    cloud: LocalCloud, annexes: Annexes, run: Run
) -> None:
    """Nor is a bucket that is gone."""
    report = run(annexes.event(annexes.whole(), S3BucketName="no-such-bucket", S3Key="one"))
    assert (report["failures"], cloud.contents().empty) == ([], True)


def test_one_unknown_instance_does_not_save_the_others(
    cloud: LocalCloud, annexes: Annexes, run: Run
) -> None:
    """A call that fails whole on one id is split until the others have ended."""
    annex_id = str(uuid.uuid4())
    annexes.instances(annex_id, 5)
    cloud.fail("TerminateInstances", "InvalidInstanceID.NotFound", times=3)
    report = run(annexes.event(annex_id))
    ended = [len(seen.parameters["InstanceIds"]) for seen in cloud.requests("TerminateInstances")]
    # Five fail, then two, then one alone, which is given up; one and three end.
    assert ended == [5, 2, 1, 1, 3]
    assert (report["instances_ended"], report["left"], report["failures"]) == (4, 1, [])


def test_out_of_time_leaves_the_rest_to_the_next_run(
    cloud: LocalCloud, annexes: Annexes, run: Run
) -> None:
    """No instance is begun without time to finish, and the rule stays."""
    annex_id = str(uuid.uuid4())
    annexes.rule(annex_id)
    annexes.instances(annex_id, 2)
    hurried = types.SimpleNamespace(get_remaining_time_in_millis=lambda: 5_000)
    report = run(annexes.event(annex_id), context=hurried)
    assert (report["instances_ended"], report["left"], len(cloud.contents().rules)) == (0, 2, 1)
    run(annexes.event(annex_id))
    assert cloud.contents().empty


def test_the_log_is_json_lines(
    annexes: Annexes, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every line is a JSON object with a level, a message and the annex."""
    annex_id = annexes.whole()
    run(annexes.event(annex_id))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1]["message"] == "done"
    assert {annex_id} == {line["annex"] for line in lines}
    assert all({"level", "message"} <= set(line) for line in lines)
