"""One failing part never keeps the others from ending, and the next run takes up the rest."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htcondor_annex import tags
from htcondor_annex.annex import Identity, Lease
from htcondor_annex.lease import rule
from localcloud import LocalCloud
from tests.lease.conftest import EXPIRES, Annexes, Module, Run

BUCKET = "annex-configurations"
ID = "5f0c4b3e-6f52-4b8e-9d35-0f1d2c3b4a59"


def make_whole(cloud: LocalCloud, annexes: Annexes) -> dict[str, Any]:
    """Make an annex with fleet, further instances, object and rule; return its event."""
    s3 = cloud.client("s3", looks=True)
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="configuration", Body=b"secret")
    annex_id = annexes.whole(1)
    annexes.instances(annex_id, 1)
    return annexes.event(annex_id, S3BucketName=BUCKET, S3Key="configuration")


def what_is_left(cloud: LocalCloud) -> set[str]:
    """Return the kinds of things that are left."""
    left = cloud.contents()
    objects = cloud.client("s3", looks=True).list_objects_v2(Bucket=BUCKET)
    kinds = {
        "fleet": left.fleets,
        "instances": left.instances,
        "rule": left.rules,
        "target": [target for some in left.targets.values() for target in some],
        "object": objects.get("Contents", []),
    }
    return {kind for kind, some in kinds.items() if some}


@pytest.mark.parametrize(
    ("action", "left"),
    [
        # A fleet that cannot be seen may have a later end: what it launched waits for a while.
        ("DescribeSpotFleetRequests", {"fleet", "instances", "object", "rule", "target"}),
        ("CancelSpotFleetRequests", {"fleet", "rule", "target"}),
        ("DescribeInstances", {"instances", "rule", "target"}),
        ("TerminateInstances", {"instances", "rule", "target"}),
        ("DeleteObject", {"object", "rule", "target"}),
        ("RemoveTargets", {"rule", "target"}),
        ("DeleteRule", {"rule"}),
    ],
)
def test_a_failing_call_keeps_only_its_own_part(
    annexes: Annexes, run: Run, function: Module, action: str, left: set[str]
) -> None:
    """All else ends; Lambda is told of the failure; the next run finishes."""
    cloud = annexes.cloud
    event = make_whole(cloud, annexes)
    cloud.fail(action, "AccessDenied", status=403, times=9)
    with pytest.raises(function.LeaseNotEndedError):
        run(event)
    assert left == what_is_left(cloud)
    cloud.calm()
    run(event)
    assert set() == what_is_left(cloud)


def test_with_no_fleet_to_be_seen_its_instances_end_a_little_later(
    annexes: Annexes, run: Run, function: Module
) -> None:
    """No extension takes longer than the grace: then the tags that can be seen are enough."""
    event = make_whole(annexes.cloud, annexes)
    annexes.cloud.fail("DescribeSpotFleetRequests", "AccessDenied", status=403, times=9)
    with pytest.raises(function.LeaseNotEndedError):
        run(event, now=EXPIRES + function.GRACE + 1)
    assert {"fleet", "rule", "target"} == what_is_left(annexes.cloud)


def test_everything_failing_leaves_everything_and_the_rule(
    cloud: LocalCloud, annexes: Annexes, run: Run, function: Module
) -> None:
    """With AWS refusing all, the rule that brings the function back stays."""
    event = make_whole(cloud, annexes)
    cloud.fail("*", "AccessDenied", status=403, times=99)
    with pytest.raises(function.LeaseNotEndedError, match="look for fleets"):
        run(event)
    assert {"fleet", "instances", "rule", "target", "object"} == what_is_left(cloud)


def test_an_answer_that_is_lost_is_asked_for_again(
    cloud: LocalCloud, annexes: Annexes, run: Run
) -> None:
    """A broken connection after AWS has acted ends nothing twice and leaves nothing."""
    event = make_whole(cloud, annexes)
    cloud.lose("CancelSpotFleetRequests", when="after")
    assert run(event)["failures"] == []
    assert set() == what_is_left(cloud)


def test_throttling_is_waited_out(cloud: LocalCloud, annexes: Annexes, run: Run) -> None:
    """AWS's throttling is no failure."""
    event = make_whole(cloud, annexes)
    cloud.fail("TerminateInstances", "RequestLimitExceeded", status=503)
    assert run(event)["failures"] == []
    assert set() == what_is_left(cloud)


GOOD = {"AnnexID": ID, "LeaseExpiration": EXPIRES, "RuleName": f"htcondor-annex-{ID}"}
BAD: dict[str, Any] = {
    "nothing": None,
    "a text": "event",
    "a list": [GOOD],
    "an empty object": {},
    "no id": {**GOOD, "AnnexID": None},
    "an id in capitals": {**GOOD, "AnnexID": ID.upper()},
    "a wildcard for an id": {**GOOD, "AnnexID": "*", "RuleName": "htcondor-annex-*"},
    "an id and a line end": {**GOOD, "AnnexID": f"{ID}\n", "RuleName": f"htcondor-annex-{ID}\n"},
    "no expiration": {key: value for key, value in GOOD.items() if key != "LeaseExpiration"},
    "an expiration in a text": {**GOOD, "LeaseExpiration": str(EXPIRES)},
    "an expiration with a fraction": {**GOOD, "LeaseExpiration": 1.5},
    "a truth for an expiration": {**GOOD, "LeaseExpiration": True},
    "an expiration before all time": {**GOOD, "LeaseExpiration": -1},
    "no rule": {**GOOD, "RuleName": None},
    "another annex's rule": {**GOOD, "RuleName": f"htcondor-annex-{ID[:-1]}0"},
    "a bucket without a key": {**GOOD, "S3BucketName": BUCKET},
    "a key without a bucket": {**GOOD, "S3Key": "key"},
    "no name of a bucket": {**GOOD, "S3BucketName": "../x", "S3Key": "key"},
    "an empty key": {**GOOD, "S3BucketName": BUCKET, "S3Key": ""},
    "a key too long": {**GOOD, "S3BucketName": BUCKET, "S3Key": "k" * 1025},
}


@pytest.mark.parametrize("event", BAD.values(), ids=BAD)
def test_a_bad_event_is_logged_and_ends_nothing(
    cloud: LocalCloud, run: Run, capsys: pytest.CaptureFixture[str], event: object
) -> None:
    """AWS is not even asked."""
    assert run(event) is None
    line = json.loads(capsys.readouterr().out)
    assert (line["level"], cloud.requests()) == ("ERROR", [])
    assert line["message"].startswith("bad event, nothing done: ")


def test_the_log_of_a_bad_event_holds_none_of_its_values(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """An event may hold anything, even a secret."""
    run({**GOOD, "RuleName": "hunter2-is-my-password"})
    assert "hunter2" not in capsys.readouterr().out


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
_NAMES = st.sampled_from([*GOOD, "S3BucketName", "S3Key"])


@given(changes=st.dictionaries(_NAMES, _JSON))
def test_no_event_breaks_the_door(function: Module, changes: dict[str, Any]) -> None:
    """Whatever an event holds, it is read or refused."""
    try:
        lease = function.read_event({**GOOD, **changes})
    except function.BadEventError:
        return
    assert lease.annex_id == ID


def instance(function: Module, name: str, state: str = "running", **tags: str) -> Any:  # noqa: ANN401
    """Return an instance as the function reads it."""
    listed = [{"Key": key.replace("__", ":"), "Value": value} for key, value in tags.items()]
    listed = [{**tag, "Key": tag["Key"].replace("_", "-")} for tag in listed]
    return function.read_instance(
        {"InstanceId": name, "State": {"Name": state}, **({"Tags": listed} if listed else {})}
    )


def test_another_annexs_tag_outweighs_the_fleet(function: Module) -> None:
    """An instance that carries another id is not ours, whatever fleet it is of."""
    fleet = function.Thing("sfr-1", ID, None, live=True)
    other = instance(
        function, "i-1", htcondor__annex_id="other", aws__ec2spot__fleet_request_id="sfr-1"
    )
    annexes = function.gather([fleet], [other], ID)
    assert {ID: []} == {name: annex.instances for name, annex in annexes.items()}


def test_instances_that_a_filter_should_have_kept_out_are_left(function: Module) -> None:
    """The handler checks tags and states itself: not every EC2 filters as it should."""
    others = [
        instance(function, "i-1"),
        instance(function, "i-2", "terminated", htcondor__annex_id=ID),
    ]
    seen = [one for one in others if one is not None]
    assert [{}, {}] == [function.gather([], seen, only) for only in (ID, None)]


def test_the_function_and_the_daemon_mean_the_same_tags(function: Module) -> None:
    """The function stands alone and repeats names: they must stay the daemon's."""
    names = (tags.ANNEX_ID, tags.LEASE_EXPIRES, rule.rule_name(ID))
    assert names == (function.ID_TAG, function.EXPIRES_TAG, function.RULE_PREFIX + ID)


def test_the_function_reads_what_the_daemon_writes(function: Module) -> None:
    """The input of the daemon's own target is a good event."""
    arn = "arn:aws:lambda:us-east-1:123456789012:function:lease"
    target = rule.put_targets_parameters(Identity(ID, "name", "another-uuid"), Lease(EXPIRES, arn))[
        "Targets"
    ][0]
    lease = function.read_event(json.loads(target["Input"]))
    assert (ID, EXPIRES, target["Id"]) == (lease.annex_id, lease.expires, lease.rule)


@pytest.mark.usefixtures("cloud")
def test_a_client_is_made_once_and_waits(function: Module) -> None:
    """Clients are shared by the runs of a process, with time limits and standard retries."""
    config = function.client("ec2").meta.config
    assert (config.connect_timeout, config.retries["mode"]) == (5, "standard")
    assert function.client("ec2") is function.client("ec2")
