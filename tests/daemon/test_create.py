"""From condor_annex to a leased Spot Fleet, through real processes."""

import json
import subprocess
import time
from typing import Any

import pytest

from localcloud import LocalCloud
from tests.support import FUNCTION_ARN, SECRET_KEY, Annexd, console_config, wait_for

STEPS = ("GetFunction", "GetPolicy", "PutRule", "PutTargets", "RequestSpotFleet")


def _sent(cloud: LocalCloud) -> dict[str, Any]:
    (seen,) = cloud.requests("RequestSpotFleet")
    config: dict[str, Any] = seen.parameters["SpotFleetRequestConfig"]
    return config


def test_success_prints_the_id_alone(annexd: Annexd, cloud: LocalCloud) -> None:
    """The Spot Fleet request ID is the only thing on standard output."""
    ended = annexd.ask(console_config())
    (fleet,) = cloud.contents().fleets
    assert (ended.status, ended.out) == (0, fleet["SpotFleetRequestId"] + "\n")


def test_progress_is_told_step_by_step(annexd: Annexd) -> None:
    """Standard error names every step that was done."""
    err = annexd.ask(console_config()).err
    done = [line.split(":")[0] for line in err.splitlines() if ": done" in line]
    expected = [
        "Check lease function",
        "Check lease permission",
        "Put rule",
        "Put targets",
        "Request spot fleet",
    ]
    assert sorted(done) == sorted(expected)
    assert done[-1] == expected[-1]


def test_success_leaves_one_fleet_one_rule_one_target(annexd: Annexd, cloud: LocalCloud) -> None:
    """The cloud holds exactly one of each, the rule enabled, the target with the given ARN."""
    annexd.ask(console_config(), "-lease-duration", "1000")
    contents = cloud.contents()
    (rule,) = contents.rules
    assert (len(contents.fleets), rule["ScheduleExpression"], rule["State"]) == (
        1,
        "rate(5 minutes)",
        "ENABLED",
    )
    (target,) = contents.targets[rule["Name"]]
    event = json.loads(target["Input"])
    assert target["Arn"] == FUNCTION_ARN
    assert rule["Name"] == event["RuleName"] == f"htcondor-annex-{event['AnnexID']}"
    assert 990 < event["LeaseExpiration"] - time.time() <= 1000


def test_the_lease_stands_before_the_capacity(annexd: Annexd, cloud: LocalCloud) -> None:
    """RequestSpotFleet is the last call, after every other has been answered."""
    annexd.ask(console_config())
    actions = [seen.action for seen in cloud.requests()]
    assert sorted(actions) == sorted(STEPS)
    assert actions[-1] == "RequestSpotFleet"
    assert actions.index("PutRule") < actions.index("PutTargets")


def test_everything_carries_the_annex_tags(annexd: Annexd, cloud: LocalCloud) -> None:
    """Fleet, instances and rule carry the four tags with the same values."""
    annexd.ask(console_config(), "-annex-name", "MyAnnex_1")
    sent = _sent(cloud)
    (rule,) = cloud.requests("PutRule")
    wanted = {tag["Key"]: tag["Value"] for tag in rule.parameters["Tags"]}
    (request,) = sent["TagSpecifications"]
    (instance,) = sent["LaunchSpecifications"][0]["TagSpecifications"]
    assert wanted["htcondor:annex-name"] == "MyAnnex_1"
    assert sorted(wanted) == [
        "htcondor:annex-id",
        "htcondor:annex-name",
        "htcondor:annexd",
        "htcondor:lease-expires",
    ]
    assert {tag["Key"]: tag["Value"] for tag in request["Tags"]} == wanted
    assert {tag["Key"]: tag["Value"] for tag in instance["Tags"]} == wanted
    assert (request["ResourceType"], instance["ResourceType"]) == ("spot-fleet-request", "instance")
    assert sent["ClientToken"] == wanted["htcondor:annex-id"]


def test_count_overrides_the_target_capacity(annexd: Annexd, cloud: LocalCloud) -> None:
    """-count N asks for N units, whatever the file says."""
    annexd.ask(console_config(TargetCapacity=50), "-count", "3")
    assert str(_sent(cloud)["TargetCapacity"]) == "3"


def test_validity_of_the_file_is_left_out(annexd: Annexd, cloud: LocalCloud) -> None:
    """ValidFrom and ValidUntil in the file are not sent, and a remark says so."""
    config = console_config(ValidFrom="2016-07-01T00:00:00Z", ValidUntil="2016-08-01T00:00:00Z")
    ended = annexd.ask(config)
    assert ended.status == 0
    assert "ValidFrom in the file is left out: use -valid-from to set it." in ended.err
    assert "ValidFrom" not in _sent(cloud)
    assert not _sent(cloud)["ValidUntil"].startswith("2016")


def test_flags_set_the_validity(annexd: Annexd, cloud: LocalCloud) -> None:
    """-valid-from and -valid-until reach AWS as given."""
    ended = annexd.ask(
        console_config(),
        "-valid-from=2037-01-01T00:00:00Z",
        "-valid-until",
        "2037-01-02",
        "-lease-duration",
        "60",
    )
    sent = _sent(cloud)
    assert ended.status == 0, ended.err
    assert (sent["ValidFrom"][:19], sent["ValidUntil"][:19]) == (
        "2037-01-01T00:00:00",
        "2037-01-02T00:00:00",
    )


def test_aws_itself_ends_the_fleet_in_the_end(annexd: Annexd, cloud: LocalCloud) -> None:
    """Without flags ValidUntil is ANNEX_MAX_LEASE from now, and instances end with it."""
    annexd.ask(console_config())
    sent = _sent(cloud)
    week = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 7 * 24 * 3600))
    assert sent["ValidUntil"][:10] == week
    assert str(sent["TerminateInstancesWithExpiration"]).lower() == "true"


def test_knobs_stand_for_flags(own_annexd: Annexd, cloud: LocalCloud) -> None:
    """Keys, ARN and duration come from the configuration where the flags say nothing."""
    own_annexd.configure(
        {
            **own_annexd.knobs,
            "ANNEX_DEFAULT_ACCESS_KEY_FILE": str(own_annexd.access_key),
            "ANNEX_DEFAULT_SECRET_KEY_FILE": str(own_annexd.secret_key),
            "ANNEX_DEFAULT_SFR_LEASE_FUNCTION_ARN": FUNCTION_ARN,
            "ANNEX_DEFAULT_LEASE_DURATION": "10 * 60",
        }
    )
    own_annexd.start()
    ended = own_annexd.ask(console_config(), keys=False, arn=None)
    assert ended.status == 0, ended.err
    ((target,),) = cloud.contents().targets.values()
    assert 590 < json.loads(target["Input"])["LeaseExpiration"] - time.time() <= 600


def test_two_annexes_stand_side_by_side(annexd: Annexd, cloud: LocalCloud) -> None:
    """A second request makes a second annex, and leaves the first alone."""
    statuses = [annexd.ask(console_config()).status for _ in range(2)]
    contents = cloud.contents()
    assert (statuses, len(contents.fleets), len(contents.rules)) == ([0, 0], 2, 2)


def test_a_name_in_use_is_refused(annexd: Annexd, cloud: LocalCloud) -> None:
    """The name of a living annex cannot be given twice."""
    annexd.ask(console_config(), "-annex-name", "twice")
    ended = annexd.ask(console_config(), "-annex-name", "twice")
    assert (ended.status, len(cloud.contents().fleets)) == (1, 1)
    assert "you have an annex named 'twice' already" in ended.err


@pytest.mark.parametrize("step", STEPS)
def test_failure_at_any_step_leaves_nothing(step: str, annexd: Annexd, cloud: LocalCloud) -> None:
    """Whichever call AWS refuses, all is undone, and the tool says what AWS said."""
    cloud.fail(step, "UnauthorizedOperation", status=403, message="not for you")
    ended = annexd.ask(console_config())
    assert (ended.status, ended.out, cloud.contents().empty) == (5, "", True)
    assert f"AWS refused {step}: UnauthorizedOperation: not for you" in ended.err


def test_what_was_undone_is_told(annexd: Annexd, cloud: LocalCloud) -> None:
    """After a failure the tool names each step that was undone, in reverse."""
    cloud.fail("RequestSpotFleet", "MaxSpotInstanceCountExceeded", message="too many")
    err = annexd.ask(console_config()).err
    undone = [line.split(":")[0] for line in err.splitlines() if ": undone" in line]
    assert undone == ["Put targets", "Put rule"]


def test_an_undo_that_fails_is_repeated(annexd: Annexd, cloud: LocalCloud) -> None:
    """AWS failing while we undo keeps nothing alive."""
    cloud.fail("RequestSpotFleet", "InvalidSpotFleetRequestConfig", message="no such image")
    cloud.fail("RemoveTargets", "AccessDeniedException", times=1)
    cloud.fail("DeleteRule", "AccessDeniedException", times=1)
    ended = annexd.ask(console_config())
    assert (ended.status, cloud.contents().empty) == (5, True)


def test_a_fleet_of_unknown_outcome_is_found_and_cancelled(
    annexd: Annexd, cloud: LocalCloud
) -> None:
    """AWS makes the fleet but answers 500 to every try: it is found by its tag and cancelled."""
    cloud.fail("RequestSpotFleet", "InternalError", status=500, when="after", times=99)
    ended = annexd.ask(console_config())
    cloud.calm()
    assert (ended.status, cloud.contents().empty) == (5, True)
    assert "AWS may have acted" in ended.err


def test_a_lost_answer_makes_no_second_fleet(annexd: Annexd, cloud: LocalCloud) -> None:
    """The connection breaks after AWS acted: the same token gives the same fleet."""
    cloud.lose("RequestSpotFleet", when="after")
    ended = annexd.ask(console_config())
    (fleet,) = cloud.contents().fleets
    assert (ended.status, ended.out.strip()) == (0, fleet["SpotFleetRequestId"])


def test_a_fleet_made_by_a_try_that_was_lost_is_found(annexd: Annexd, cloud: LocalCloud) -> None:
    """The first try acts and its answer is lost, the second is refused: nothing is left."""
    cloud.lose("RequestSpotFleet", when="after")
    cloud.fail("RequestSpotFleet", "InvalidSpotFleetRequestConfig", message="now refused")
    ended = annexd.ask(console_config())
    assert len(cloud.requests("RequestSpotFleet")) == 2
    assert (ended.status, cloud.contents().empty) == (5, True)


def test_throttling_is_waited_out(annexd: Annexd, cloud: LocalCloud) -> None:
    """A throttled call is repeated and the annex made."""
    cloud.fail("PutRule", "ThrottlingException", times=2)
    cloud.fail("RequestSpotFleet", "RequestLimitExceeded", status=503, times=2)
    assert annexd.ask(console_config()).status == 0


def test_the_secret_is_in_no_log(annexd: Annexd, cloud: LocalCloud) -> None:
    """Neither the daemon's log nor the tool's output shows the secret key."""
    cloud.fail("RequestSpotFleet", "AuthFailure", message="no")
    ended = annexd.ask(console_config(), "-debug")
    assert SECRET_KEY not in annexd.said() + ended.err + ended.out


def test_a_caller_who_leaves_loses_nothing(annexd: Annexd, cloud: LocalCloud) -> None:
    """The tool is killed before the end: the annex is made all the same."""
    cloud.latency(300)
    config = annexd.directory / "config.json"
    config.write_text(json.dumps(console_config()))
    command = annexd.tool_command(str(config))
    with subprocess.Popen(command, env=annexd.environment, stderr=subprocess.DEVNULL) as tool:
        wait_for(cloud.requests, "call to AWS")
        tool.kill()
    cloud.latency(0)
    wait_for(lambda: cloud.contents().fleets, "fleet")
