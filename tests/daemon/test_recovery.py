"""Nothing is lost when the daemon is killed: it goes on from its journal."""

import json
import signal
import stat
import subprocess
import time

import pytest

from localcloud import LocalCloud
from tests.support import SECRET_KEY, Annexd, console_config, wait_for

ACTIONS = ("GetFunction", "GetPolicy", "PutRule", "PutTargets", "RequestSpotFleet")


def _whole(cloud: LocalCloud) -> bool:
    """Whether exactly one annex stands: one fleet, one rule, one target."""
    contents = cloud.contents()
    targets = [target for found in contents.targets.values() for target in found]
    return (len(contents.fleets), len(contents.rules), len(targets)) == (1, 1, 1)


def _kill_during(annexd: Annexd, cloud: LocalCloud, action: str, *arguments: str) -> None:
    """Ask for an annex, and kill the daemon while AWS works at one call of it."""
    cloud.latency(400, action)
    config = annexd.directory / "config.json"
    config.write_text(json.dumps(console_config()))
    command = annexd.tool_command(*arguments, str(config))
    with subprocess.Popen(command, env=annexd.environment, stderr=subprocess.DEVNULL) as tool:
        wait_for(lambda: cloud.requests(action), action)
        annexd.stop(signal.SIGKILL)
        tool.kill()  # or it would ask the next daemon
    cloud.latency(0, action)


@pytest.mark.parametrize("action", ACTIONS)
def test_a_daemon_killed_during_a_call_goes_on(
    own_annexd: Annexd, cloud: LocalCloud, action: str
) -> None:
    """Killed while AWS works at a call, and started again, it makes one annex and no second."""
    own_annexd.start()
    _kill_during(own_annexd, cloud, action)
    own_annexd.start()
    wait_for(lambda: ": active as" in own_annexd.said(), "active annex")
    assert own_annexd.stop() == 0
    assert _whole(cloud)


def test_a_retry_after_a_crash_sends_the_same(own_annexd: Annexd, cloud: LocalCloud) -> None:
    """Before and after the crash AWS is sent the same token and the same parameters."""
    own_annexd.start()
    _kill_during(own_annexd, cloud, "RequestSpotFleet")
    time.sleep(1.1)  # what is computed from the time would differ
    own_annexd.start()
    wait_for(lambda: ": active as" in own_annexd.said(), "active annex")
    first, second = cloud.requests("RequestSpotFleet")
    assert first.parameters == second.parameters


def test_a_refusal_after_a_crash_leaves_nothing(own_annexd: Annexd, cloud: LocalCloud) -> None:
    """Taken up again and refused, all that may have been made before is undone."""
    own_annexd.start()
    _kill_during(own_annexd, cloud, "RequestSpotFleet")
    wait_for(lambda: cloud.contents().fleets, "fleet of the killed daemon")
    cloud.fail("RequestSpotFleet", "UnauthorizedOperation", status=403)
    own_annexd.start()
    wait_for(lambda: "nothing of it is left" in own_annexd.said(), "end of the annex")
    assert cloud.contents().empty


def test_a_lease_that_ended_while_the_daemon_was_down(
    own_annexd: Annexd, cloud: LocalCloud
) -> None:
    """Half made and its lease over, the annex is ended, and the daemon lives."""
    own_annexd.start()
    _kill_during(own_annexd, cloud, "RequestSpotFleet", "-lease-duration", "2")
    wait_for(lambda: cloud.contents().fleets, "fleet of the killed daemon")
    time.sleep(2)
    own_annexd.start()
    wait_for(lambda: cloud.contents().empty, "end of the annex")
    assert own_annexd.stop() == 0


def test_an_active_annex_outlives_the_daemon(own_annexd: Annexd, cloud: LocalCloud) -> None:
    """After a kill the next daemon knows the annex: its name is taken, its lease is ended."""
    own_annexd.start()
    own_annexd.ask(console_config(), "-annex-name", "kept", "-lease-duration", "10")
    own_annexd.stop(signal.SIGKILL)
    own_annexd.start()
    again = own_annexd.ask(console_config(), "-annex-name", "kept")
    assert "you have an annex named 'kept' already" in again.err
    wait_for(lambda: cloud.contents().empty, "end of the lease")


def test_the_daemon_ends_a_lease_on_time(annexd: Annexd, cloud: LocalCloud) -> None:
    """When the lease is over the daemon itself ends everything, and the name is free again."""
    annexd.ask(console_config(), "-annex-name", "short", "-lease-duration", "2")
    assert not cloud.contents().empty
    wait_for(lambda: cloud.contents().empty, "end of the lease")
    wait_for(
        lambda: annexd.ask(console_config(), "-annex-name", "short").status == 0, "the name's end"
    )


def test_an_annex_waits_for_its_keys(own_annexd: Annexd, cloud: LocalCloud) -> None:
    """A key file that has gone is waited for, named in the log; when it is back, all goes on."""
    own_annexd.start()
    _kill_during(own_annexd, cloud, "PutTargets")
    own_annexd.secret_key.unlink()
    own_annexd.start()
    wait_for(lambda: f"waits: the key file {own_annexd.secret_key}" in own_annexd.said(), "remark")
    own_annexd.write_key("secret", SECRET_KEY)
    wait_for(lambda: _whole(cloud), "annex")


def test_the_journal_holds_no_secret_and_is_closed_to_others(
    own_annexd: Annexd, cloud: LocalCloud
) -> None:
    """The journal has everything of the annex but the keys, and nobody else may read it."""
    own_annexd.start()
    fleet = own_annexd.ask(console_config()).out.strip()
    journal = own_annexd.directory / "annexd.journal"
    text = journal.read_text()
    assert (fleet in text, SECRET_KEY in text) == (True, False)
    assert stat.S_IMODE(journal.stat().st_mode) == 0o600
    assert _whole(cloud)


def _start_fails(annexd: Annexd) -> tuple[int, str]:
    with pytest.raises(AssertionError):
        annexd.start()
    assert annexd.process is not None
    return annexd.process.wait(), annexd.said()


def test_a_damaged_journal_stops_the_daemon(own_annexd: Annexd) -> None:
    """Damage is told with file and line, nothing is changed, and the status is 1."""
    journal = own_annexd.directory / "annexd.journal"
    journal.write_bytes(b"107 1 CreationTimestamp 1\n105 \n103 oops\n106 \n")
    before = journal.read_bytes()
    status, said = _start_fails(own_annexd)
    assert (status, journal.read_bytes()) == (1, before)
    assert f"the journal {journal} is damaged: line 3" in said


def test_an_unfinished_transaction_is_dropped_with_a_remark(own_annexd: Annexd) -> None:
    """What a crash left at the end of the journal is dropped, and said."""
    journal = own_annexd.directory / "annexd.journal"
    own_annexd.start()
    own_annexd.ask(console_config(), "-annex-name", "kept")
    own_annexd.stop(signal.SIGKILL)
    with journal.open("ab") as file:
        file.write(b"105 \n102 half")
    own_annexd.start()
    assert "the last 13 bytes were never committed" in own_annexd.said()
    again = own_annexd.ask(console_config(), "-annex-name", "kept")
    assert "you have an annex named 'kept' already" in again.err
