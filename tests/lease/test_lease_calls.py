"""Each call that the function makes fails once: what can end ends, and the next run ends all."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from localcloud import LocalCloud
from tests.lease.conftest import BUCKET, EXPIRES, SWEEP, Annexes, Lambda

# What a failing call may keep: its own part, and the rule, which goes last. Fleets that are not
# seen keep their instances, since their tags may say that the lease runs on.
KEEPS = {
    "DescribeSpotFleetRequests": {"fleet", "fleet's instance", "object", "rule"},
    "DescribeInstances": {"instance", "rule"},
    "CancelSpotFleetRequests": {"fleet", "rule"},
    "TerminateInstances": {"instance", "rule"},
    "DeleteObject": {"object", "rule"},
    "ListRules": {"rule"},
    "ListTagsForResource": {"fleet", "fleet's instance", "instance", "object", "rule"},
    "ListTargetsByRule": {"fleet", "fleet's instance", "instance", "object", "rule"},
    "RemoveTargets": {"rule"},
    "DeleteRule": {"rule"},
}
Call = tuple[str, int]
"""An action, and how many calls of it come before."""


def build(annexes: Annexes, *, sweeps: bool) -> dict[str, Any]:
    """Make an annex that has one of everything; return the event that ends it."""
    annexes.cloud.reset()
    annex_id = str(uuid.uuid4())
    annexes.rule(annex_id)
    annexes.configuration(annex_id)
    annexes.fleet(annex_id, 1, expires=str(EXPIRES))
    annexes.instances(annex_id, 1, expires=str(EXPIRES))
    annexes.cloud.forget()
    key = f"config-{annex_id}.tar.gz"
    return SWEEP if sweeps else annexes.event(annex_id, S3BucketName=BUCKET, S3Key=key)


def left(annexes: Annexes) -> set[str]:
    """Return the kinds of things that are left."""
    found = annexes.cloud.contents()
    fleets = [
        {tag["Key"] for tag in one["Tags"]} & {"aws:ec2spot:fleet-request-id"}
        for one in found.instances
    ]
    kinds = {
        "fleet": bool(found.fleets),
        "fleet's instance": any(fleets),
        "instance": not all(fleets),
        "rule": bool(found.rules),
        "object": bool(annexes.objects()),
    }
    return {kind for kind, there in kinds.items() if there}


def calls(annexes: Annexes, lambda_: Lambda, *, sweeps: bool) -> Iterator[tuple[Call, Any]]:
    """Record a run, and give each of its calls with the event of an annex built anew."""
    lambda_.run(build(annexes, sweeps=sweeps))
    seen: list[str] = [one.action for one in annexes.cloud.requests()]
    assert set(KEEPS) - set(seen) <= ({"ListRules", "ListTagsForResource", "ListTargetsByRule"})
    for index, action in enumerate(seen):
        event = build(annexes, sweeps=sweeps)
        yield (action, seen[:index].count(action)), event


by_rule_and_sweep = pytest.mark.parametrize("sweeps", [False, True], ids=["rule", "sweep"])


@by_rule_and_sweep
def test_each_call_may_be_refused(
    cloud: LocalCloud, annexes: Annexes, lambda_: Lambda, *, sweeps: bool
) -> None:
    """What else can end has ended, Lambda is told, and the next run ends the rest."""
    for (action, skip), event in calls(annexes, lambda_, sweeps=sweeps):
        cloud.fail(action, "AccessDenied", status=403, skip=skip)
        result = lambda_.run(event)
        assert [] == cloud.faults(), (action, skip)
        # A refusal to end some instances is got round by ending them in smaller parts.
        told = "LeaseNotEndedError" in result.error
        assert told or (action, set()) == ("TerminateInstances", left(annexes)), (action, skip)
        assert left(annexes) <= KEEPS[action], (action, skip)
        assert lambda_.run(event).failure == "", (action, skip)
        assert set() == left(annexes), (action, skip)


@by_rule_and_sweep
@pytest.mark.parametrize("when", ["before", "after"])
def test_each_answer_may_be_lost(
    cloud: LocalCloud, annexes: Annexes, lambda_: Lambda, when: str, *, sweeps: bool
) -> None:
    """A connection that breaks, before AWS has acted or after, is tried again at once."""
    for (action, skip), event in calls(annexes, lambda_, sweeps=sweeps):
        cloud.lose(action, when=when, skip=skip)
        result = lambda_.run(event)
        assert ([], "") == (cloud.faults(), result.failure), (action, skip)
        assert set() == left(annexes), (action, skip)


@by_rule_and_sweep
def test_a_service_that_is_down_keeps_only_its_own(
    cloud: LocalCloud, annexes: Annexes, lambda_: Lambda, *, sweeps: bool
) -> None:
    """S3 or EventBridge alone away: machines end all the same."""
    for service in ("s3", "events"):
        event = build(annexes, sweeps=sweeps)
        cloud.fail("*", "AccessDenied", status=403, times=99, service=service)
        assert lambda_.run(event).failure, service
        assert left(annexes) <= {"object", "rule"}, service
        cloud.calm()
        assert lambda_.run(event).failure == "", service
        assert set() == left(annexes), service


def test_ec2_that_is_down_keeps_all(cloud: LocalCloud, annexes: Annexes, lambda_: Lambda) -> None:
    """Rule and object stay, so that the next run finds its way."""
    event = build(annexes, sweeps=False)
    cloud.fail("*", "AccessDenied", status=403, times=99, service="ec2")
    assert lambda_.run(event).failure
    assert {"fleet", "fleet's instance", "instance", "rule"} <= left(annexes)


@pytest.mark.parametrize("code", ["OperationNotPermitted", "UnauthorizedOperation"])
def test_an_instance_that_may_not_be_ended_keeps_no_other(
    cloud: LocalCloud, annexes: Annexes, lambda_: Lambda, code: str
) -> None:
    """TerminateInstances fails whole where one is refused; the others end by themselves."""
    annexes.instances(str(uuid.uuid4()), 5, expires=str(EXPIRES))
    # All five are refused, then the two of them that hold the one, then the one alone.
    cloud.fail("TerminateInstances", code, status=403, times=3)
    assert "end instances" in lambda_.run(SWEEP).error
    assert len(cloud.contents().instances) == 1
    assert lambda_.run(SWEEP).failure == ""
    assert cloud.contents().empty
