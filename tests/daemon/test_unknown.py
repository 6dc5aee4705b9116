"""Unknown outcomes: AWS may have acted, and does not tell."""

import json
import signal
import subprocess

import pytest

from localcloud import LocalCloud
from tests.support import Annexd, Ended, console_config, wait_for

_LOOKED = "request spot fleet: looked for"
_LONG = {"ANNEXD_RETRY_TIME": "1", "ANNEXD_CONFIRM_TIME": "600"}


@pytest.fixture
def annexd(own_annexd: Annexd) -> Annexd:
    """A daemon that tries again for a second, and believes no absence for ten minutes."""
    own_annexd.configure({**own_annexd.knobs, **_LONG})
    own_annexd.start()
    return own_annexd


def _lose_a_fleet(annexd: Annexd, cloud: LocalCloud, *, stay: bool = False) -> Ended:
    """Ask for an annex whose fleet AWS makes, does not tell of and hides, until it is looked for.

    Whoever asks stays to hear that it is not yet undone (half a minute), or leaves.
    """
    cloud.hide(600)
    cloud.lose("RequestSpotFleet", when="after", times=99)
    config = annexd.directory / "config.json"
    config.write_text(json.dumps(console_config()))
    command = annexd.tool_command("-annex-name", "hidden", str(config))
    with subprocess.Popen(
        command, env=annexd.environment, stderr=subprocess.PIPE, text=True
    ) as tool:
        wait_for(lambda: _LOOKED in annexd.said(), "look for it")
        if not stay:
            tool.kill()
        _, err = tool.communicate(timeout=60)
    return Ended(tool.returncode, "", err)


def test_a_fleet_that_aws_does_not_show_yet_is_waited_for(
    annexd: Annexd, cloud: LocalCloud
) -> None:
    """Made with no answer and hidden, the fleet is looked for until it shows, and cancelled."""
    ended = _lose_a_fleet(annexd, cloud, stay=True)
    assert ended.status == 5
    assert "Not all is undone yet" in ended.err
    assert annexd.status("hidden")["state"] == "rolling back"
    assert len(cloud.contents().fleets) == 1
    cloud.calm()
    wait_for(lambda: cloud.contents().empty, "end of the fleet")
    wait_for(lambda: annexd.status("hidden")["state"] == "failed", "end of the annex")


def test_a_rule_guards_what_is_looked_for(annexd: Annexd, cloud: LocalCloud) -> None:
    """As long as it is not certain that there is no fleet, rule and target stay."""
    _lose_a_fleet(annexd, cloud)
    assert (len(cloud.contents().rules), len(cloud.contents().targets)) == (1, 1)


def test_a_look_goes_on_after_a_crash(annexd: Annexd, cloud: LocalCloud) -> None:
    """Killed while it looks, the next daemon looks on, and finds."""
    _lose_a_fleet(annexd, cloud)
    looks = annexd.said().count(_LOOKED)
    annexd.stop(signal.SIGKILL)
    annexd.start()
    wait_for(lambda: annexd.said().count(_LOOKED) > looks, "look for it")
    assert len(cloud.contents().fleets) == 1
    cloud.calm()
    wait_for(lambda: cloud.contents().empty, "end of the fleet")


def test_an_unanswered_request_is_settled_with_the_same_token(
    own_annexd: Annexd, cloud: LocalCloud
) -> None:
    """AWS acts and does not answer, then answers: one fleet, and the tool has its id."""
    own_annexd.start()
    cloud.lose("RequestSpotFleet", when="after", times=6)
    ended = own_annexd.ask(console_config())
    (fleet,) = cloud.contents().fleets
    assert (ended.status, ended.out.strip()) == (0, fleet["SpotFleetRequestId"])
    sent = [seen.parameters for seen in cloud.requests("RequestSpotFleet")]
    assert len(sent) == 7
    assert all(one == sent[0] for one in sent)


def test_a_fleet_is_tagged_when_it_shows(own_annexd: Annexd, cloud: LocalCloud) -> None:
    """A lease may be changed before AWS shows the fleet: that is tried until it does."""
    own_annexd.start()
    cloud.hide(3)
    assert own_annexd.ask(console_config(), "-annex-name", "fresh").status == 0
    ended = own_annexd.plain("-annex-name", "fresh", "-lease-duration", "5000")
    assert ended.status == 0, ended.err


def _ask_through_a_crash(annexd: Annexd, cloud: LocalCloud, action: str) -> Ended:
    """Ask for an annex, kill the daemon during a call of it, and start the next."""
    config = annexd.directory / "config.json"
    config.write_text(json.dumps(console_config()))
    cloud.latency(600, action)
    with subprocess.Popen(
        annexd.tool_command(str(config)),
        env=annexd.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as tool:
        wait_for(lambda: cloud.requests(action), action)
        annexd.stop(signal.SIGKILL)
        annexd.start()
        out, err = tool.communicate(timeout=60)
    return Ended(tool.returncode, out, err)


def test_the_tool_outlives_the_daemon(own_annexd: Annexd, cloud: LocalCloud) -> None:
    """The daemon is killed while the tool waits: the tool asks the next one, and has the id."""
    own_annexd.start()
    ended = _ask_through_a_crash(own_annexd, cloud, "RequestSpotFleet")
    (fleet,) = cloud.contents().fleets
    assert (ended.status, ended.out.strip()) == (0, fleet["SpotFleetRequestId"])
    assert "asking again" in ended.err


def test_the_tool_hears_of_a_failure_it_missed(own_annexd: Annexd, cloud: LocalCloud) -> None:
    """The annex fails under the next daemon: the tool that asks again is told so."""
    own_annexd.start()
    cloud.fail("RequestSpotFleet", "InvalidSpotFleetRequestConfig", message="no such image")
    ended = _ask_through_a_crash(own_annexd, cloud, "PutTargets")
    assert (ended.status, cloud.contents().empty) == (5, True)
    assert "no such image" in ended.err


def test_a_tool_without_a_daemon_says_so_at_once(own_annexd: Annexd) -> None:
    """Where no daemon ever answered, nothing is waited for."""
    ended = own_annexd.ask(console_config())
    assert (ended.status, "no condor_annexd answers" in ended.err) == (3, True)
