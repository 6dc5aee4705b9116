"""`condor_annex off` and `status`: ending an annex now, and what is told of annexes."""

import json
import subprocess
import time

import pytest

from localcloud import LocalCloud
from tests.support import Annexd, console_config, wait_for


def test_off_ends_an_annex_and_leaves_nothing(annexd: Annexd, cloud: LocalCloud) -> None:
    """Fleet, instances, target and rule are gone when the tool returns."""
    annexd.ask(console_config(), "-annex-name", "over")
    ended = annexd.plain("off", "-annex-name", "over")
    assert (ended.status, cloud.contents().empty) == (0, True), ended.err
    assert ended.out.startswith("Annex over (")
    assert ended.out.endswith(") has ended.\n")


def test_off_ends_one_annex_alone(annexd: Annexd, cloud: LocalCloud) -> None:
    """A name that begins like another's is another annex."""
    for name in ("pre", "pre-2", "pr"):
        annexd.ask(console_config(), "-annex-name", name)
    annexd.plain("off", "-annex-name", "pre")
    left = {
        tag["Value"]
        for fleet in cloud.contents().fleets
        for tag in fleet["Tags"]
        if tag["Key"] == "htcondor:annex-name"
    }
    assert left == {"pre-2", "pr"}


def test_off_by_id(annexd: Annexd, cloud: LocalCloud) -> None:
    """An annex may be named by its id as well."""
    annexd.ask(console_config(), "-annex-name", "by-id")
    annexd.plain("off", "-annex-name", annexd.status("by-id")["id"])
    assert cloud.contents().empty


def test_off_asked_again_tells_that_it_has_ended(annexd: Annexd) -> None:
    """What has ended already is no error: it is as wanted."""
    annexd.ask(console_config(), "-annex-name", "twice-off")
    annexd.plain("off", "-annex-name", "twice-off")
    again = annexd.plain("off", "-annex-name", "twice-off")
    assert (again.status, "Note: it had ended already, at " in again.err) == (0, True)


def test_off_of_what_never_was(annexd: Annexd) -> None:
    """An unknown name is an error with status 1."""
    ended = annexd.plain("off", "-annex-name", "never")
    assert (ended.status, "you have no annex named 'never'" in ended.err) == (1, True)


def test_off_needs_a_name(annexd: Annexd) -> None:
    """`off` alone ends nothing."""
    ended = annexd.plain("off")
    assert (ended.status, "off needs -annex-name" in ended.err) == (1, True)


def test_off_with_flags_of_another_command(annexd: Annexd) -> None:
    """A flag that means nothing here is refused, not left unheard."""
    ended = annexd.plain("off", "-annex-name", "x", "-count", "3")
    assert (ended.status, "-count goes with config.json alone" in ended.err) == (1, True)


def test_off_while_the_annex_is_being_made(annexd: Annexd, cloud: LocalCloud) -> None:
    """Called off half way, nothing of it is left, and both tools are told."""
    cloud.latency(500, "PutTargets")
    config = annexd.directory / "config.json"
    config.write_text(json.dumps(console_config()))
    command = annexd.tool_command("-annex-name", "called-off", str(config))
    with subprocess.Popen(
        command, env=annexd.environment, stderr=subprocess.PIPE, text=True
    ) as maker:
        wait_for(lambda: cloud.requests("PutTargets"), "PutTargets")
        ended = annexd.plain("off", "-annex-name", "called-off")
        cloud.latency(0, "PutTargets")
        _, said = maker.communicate(timeout=60)
    assert (ended.status, maker.returncode, cloud.contents().empty) == (0, 5, True)
    assert "called off: ended by" in said
    assert annexd.status("called-off")["state"] == "failed"


def test_off_during_an_update_of_the_lease(annexd: Annexd, cloud: LocalCloud) -> None:
    """An update that AWS throttles does not hold up the end."""
    annexd.ask(console_config(), "-annex-name", "no-update")
    cloud.fail("PutTargets", "ThrottlingException", times=1000)
    command = annexd.tool_command("-annex-name", "no-update", "-lease-duration", "500")
    with subprocess.Popen(command, env=annexd.environment, stderr=subprocess.DEVNULL) as updater:
        wait_for(lambda: len(cloud.requests("PutTargets")) > 1, "update")
        ended = annexd.plain("off", "-annex-name", "no-update")
        updater.wait(60)
    assert (ended.status, updater.returncode, cloud.contents().empty) == (0, 5, True)


def test_off_waits_until_the_instances_have_gone(annexd: Annexd, cloud: LocalCloud) -> None:
    """Someone cancelled the fleet and let its instances run: they are ended all the same."""
    fleet = annexd.ask(console_config(), "-annex-name", "let-run").out.strip()
    ec2 = cloud.client("ec2", looks=True)
    ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=[fleet], TerminateInstances=False)
    assert cloud.contents().instances
    assert annexd.plain("off", "-annex-name", "let-run").status == 0
    assert cloud.contents().empty


def test_off_goes_on_while_aws_refuses(annexd: Annexd, cloud: LocalCloud) -> None:
    """Refused, throttled or failing, the end is tried again until it is done."""
    annexd.ask(console_config(), "-annex-name", "stubborn")
    cloud.fail("CancelSpotFleetRequests", "UnauthorizedOperation", status=403, times=2)
    cloud.fail("DescribeInstances", "InternalError", status=500, times=5)
    cloud.fail("RemoveTargets", "ThrottlingException", times=5)
    ended = annexd.plain("off", "-annex-name", "stubborn")
    assert (ended.status, cloud.contents().empty) == (0, True)
    assert "Request spot fleet: undo failed" in ended.err


def test_status_lists_the_living(annexd: Annexd) -> None:
    """A line an annex: name, state, lease, fleet and id."""
    fleet = annexd.ask(console_config(), "-annex-name", "listed").out.strip()
    shown = annexd.plain("status")
    annex = annexd.status("listed")
    (line,) = [line for line in shown.out.splitlines() if line.startswith("listed ")]
    end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(annex["lease_expires"]))
    assert shown.status == 0
    assert [word for word in line.split() if word != "-"] == [
        "listed",
        "active",
        end,
        fleet,
        annex["id"],
    ]


def test_status_of_one_that_failed_tells_why(annexd: Annexd, cloud: LocalCloud) -> None:
    """What has failed is told of by its name, with the reason."""
    cloud.fail("RequestSpotFleet", "MaxSpotInstanceCountExceeded", message="too many")
    annexd.ask(console_config(), "-annex-name", "unlucky")
    shown = annexd.plain("status", "-annex-name", "unlucky")
    assert (shown.status, " failed " in shown.out) == (0, True)
    assert "unlucky: last error: AWS refused RequestSpotFleet" in shown.out


def test_status_of_nobody(annexd: Annexd) -> None:
    """An unknown name is an error with status 1."""
    shown = annexd.plain("status", "-annex-name", "nobody-at-all")
    assert (shown.status, "you have no annex named" in shown.err) == (1, True)


@pytest.mark.parametrize("command", ["off", "status"])
def test_a_name_that_can_be_none(annexd: Annexd, command: str) -> None:
    """What cannot be an annex's name is not sent."""
    ended = annexd.plain(command, "-annex-name", "../x?y")
    assert (ended.status, "no annex can be named '../x?y'" in ended.err) == (1, True)
