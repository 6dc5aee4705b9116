"""The daemon's life: start, signals, the pool that is not there, the end."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from localcloud import LocalCloud
from tests.support import Annexd, console_config, run, wait_for


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_signals_end_it(own_annexd: Annexd, number: signal.Signals) -> None:
    """SIGTERM, SIGINT and SIGQUIT end the daemon with status 0, and take its socket away."""
    own_annexd.start()
    assert (own_annexd.stop(number), own_annexd.socket.exists()) == (0, False)


def test_it_unblocks_the_signals_that_master_blocks(own_annexd: Annexd) -> None:
    """Started with its signals blocked, as under condor_master, it still ends when told."""
    blocked = {signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    try:
        own_annexd.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert own_annexd.stop() == 0


def test_helpers_end_with_it(own_annexd: Annexd) -> None:
    """Killed outright, the daemon leaves neither key reader nor pool link behind."""
    own_annexd.start()
    assert own_annexd.process is not None
    pid = own_annexd.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    helpers = [int(child) for child in children.split()]
    own_annexd.stop(signal.SIGKILL)
    assert helpers
    wait_for(lambda: not any(_lives(helper) for helper in helpers), "end of the helpers")


def _lives(pid: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return False
    return fields.rpartition(")")[2].split()[0] != "Z"


def test_sigterm_lets_the_step_end_and_undoes(own_annexd: Annexd, cloud: LocalCloud) -> None:
    """Told to end half way, the daemon finishes the step, undoes it, and tells the tool."""
    own_annexd.start()
    cloud.latency(700, "PutRule")
    command = own_annexd.tool_command("-")
    with subprocess.Popen(
        command,
        env=own_annexd.environment,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as tool:
        assert tool.stdin is not None
        tool.stdin.write(str(console_config()).replace("'", '"'))
        tool.stdin.close()
        wait_for(lambda: cloud.requests("PutRule"), "PutRule")
        status = own_annexd.stop()
        assert tool.stderr is not None
        said = tool.stderr.read()
        tool.wait()
    assert (status, tool.returncode, cloud.contents().empty) == (0, 5, True)
    assert "annexd is shutting down" in said


def test_sighup_changes_an_endpoint(own_annexd: Annexd, cloud: LocalCloud) -> None:
    """After SIGHUP the next request goes to the new endpoint."""
    own_annexd.configure({**own_annexd.knobs, "ANNEX_DEFAULT_EC2_URL": "http://127.0.0.1:9"})
    own_annexd.start()
    before = own_annexd.ask(console_config()).status
    own_annexd.configure({**own_annexd.knobs, "ANNEX_DEFAULT_EC2_URL": cloud.endpoint})
    own_annexd.send(signal.SIGHUP)
    wait_for(lambda: "reconfigured" in own_annexd.said(), "reconfiguration")
    assert (before, own_annexd.ask(console_config()).status) == (5, 0)


def test_sighup_with_a_bad_knob_changes_nothing(own_annexd: Annexd) -> None:
    """A knob that cannot be used is logged by name; the daemon goes on as it was."""
    own_annexd.start()
    own_annexd.configure({**own_annexd.knobs, "ANNEX_MAX_LEASE": "a week"})
    own_annexd.send(signal.SIGHUP)
    wait_for(lambda: "ANNEX_MAX_LEASE" in own_annexd.said(), "remark on the knob")
    own_annexd.configure({k: v for k, v in own_annexd.knobs.items() if k != "ANNEX_MAX_LEASE"})
    assert own_annexd.ask(console_config()).status == 0


def _start_fails(annexd: Annexd) -> tuple[int, str]:
    command = [sys.executable, "-m", "htcondor_annex.daemon.main", "-f", "-t"]
    ended = run(command, annexd)
    return ended.status, ended.err


def test_bad_knobs_are_all_named_at_start(own_annexd: Annexd) -> None:
    """Every knob that cannot be used is named, with what is wrong; the status is 1."""
    own_annexd.configure(
        {
            **own_annexd.knobs,
            "ANNEX_MAX_LEASE": "0",
            "ANNEXD_THREADS": "many",
            "ANNEXD_SOCKET": "annexd.sock",
        }
    )
    status, said = _start_fails(own_annexd)
    assert status == 1
    assert "ANNEX_MAX_LEASE: 0 is less than 1" in said
    assert "ANNEXD_THREADS: 'many'" in said
    assert "ANNEXD_SOCKET: 'annexd.sock' is no absolute path" in said


def test_a_log_that_cannot_be_written(own_annexd: Annexd) -> None:
    """The log's path and the reason are told on the terminal, with status 1."""
    own_annexd.configure({**own_annexd.knobs, "ANNEXD_LOG": "/nowhere/AnnexdLog"})
    command = [sys.executable, "-m", "htcondor_annex.daemon.main", "-f"]
    ended = run(command, own_annexd)
    assert ended.status == 1
    assert "ANNEXD_LOG: /nowhere/AnnexdLog cannot be written: No such file" in ended.err


def test_it_logs_through_htcondor(own_annexd: Annexd) -> None:
    """Without -t, ANNEXD_LOG gets the lines, dated as HTCondor dates them."""
    log = own_annexd.directory / "AnnexdLog"
    own_annexd.configure({**own_annexd.knobs, "ANNEXD_LOG": str(log)})
    command = [sys.executable, "-m", "htcondor_annex.daemon.main", "-f"]
    own_annexd.process = subprocess.Popen(command, env=own_annexd.environment)
    wait_for(lambda: log.exists() and "serves" in log.read_text(), "log line")
    line = next(line for line in log.read_text().splitlines() if "serves" in line)
    assert time.strptime(line[:17], "%m/%d/%y %H:%M:%S").tm_year >= 2026


def test_it_goes_to_the_background(own_annexd: Annexd) -> None:
    """Without -f the command returns at once, and the daemon serves."""
    ended = run([sys.executable, "-m", "htcondor_annex.daemon.main"], own_annexd)
    log = own_annexd.directory / "AnnexdLog"
    wait_for(lambda: log.exists() and "serves" in log.read_text(), "daemon in the background")
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(own_annexd.socket))
        pid = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    os.kill(int.from_bytes(pid[:4], sys.byteorder), signal.SIGTERM)
    wait_for(lambda: not own_annexd.socket.exists(), "end of the daemon")
    assert ended.status == 0


def test_a_second_daemon_is_refused(own_annexd: Annexd) -> None:
    """A second daemon on one socket says so and ends with 99, which master does not restart."""
    own_annexd.start()
    other = own_annexd.directory / "other.journal"
    own_annexd.configure({**own_annexd.knobs, "ANNEXD_JOURNAL": str(other)})
    status, said = _start_fails(own_annexd)
    assert (status, f"another annexd serves {own_annexd.socket}" in said) == (99, True)
    assert own_annexd.ask(console_config()).status == 0


def test_a_second_daemon_on_the_journal_is_refused(own_annexd: Annexd) -> None:
    """A second daemon on one journal names the first and ends with 99."""
    own_annexd.start()
    assert own_annexd.process is not None
    own_annexd.configure(
        {**own_annexd.knobs, "ANNEXD_SOCKET": str(own_annexd.directory / "other.sock")}
    )
    status, said = _start_fails(own_annexd)
    assert status == 99
    assert f"is held by another annexd (process {own_annexd.process.pid})" in said


def test_a_socket_left_over_is_taken_over(own_annexd: Annexd) -> None:
    """After a kill the next daemon starts all the same."""
    own_annexd.start()
    own_annexd.stop(signal.SIGKILL)
    own_annexd.log.write_text("")
    own_annexd.start()
    assert own_annexd.ask(console_config()).status == 0


def test_every_user_may_connect(own_annexd: Annexd) -> None:
    """The socket is open to all local users: what each may do is decided by who calls."""
    own_annexd.start()
    assert stat.S_IMODE(own_annexd.socket.stat().st_mode) == 0o666


def test_a_socket_path_that_is_too_long(own_annexd: Annexd) -> None:
    """The kernel's limit on socket paths is named."""
    own_annexd.configure({**own_annexd.knobs, "ANNEXD_SOCKET": "/tmp/" + "x" * 120})  # noqa: S108
    status, said = _start_fails(own_annexd)
    assert (status, "longer than 107 bytes" in said) == (1, True)


def test_a_collector_that_never_answers_delays_nothing(own_annexd: Annexd) -> None:
    """With a collector that accepts and is silent, requests go on, and it is said once."""
    with socket.socket() as collector:
        collector.bind(("127.0.0.1", 0))
        collector.listen()
        own_annexd.configure(
            {
                **own_annexd.knobs,
                "COLLECTOR_HOST": f"127.0.0.1:{collector.getsockname()[1]}",
                "ANNEXD_UPDATE_INTERVAL": "1",
                "SEC_TCP_SESSION_TIMEOUT": "2",
            }
        )
        own_annexd.start()
        for _ in range(3):
            assert own_annexd.ask(console_config()).status == 0
        assert own_annexd.said().count("the pool did not take 'advertise'") <= 1


def test_a_collector_that_is_not_there_is_said_once(own_annexd: Annexd) -> None:
    """However often the ad cannot be sent, the log says it once."""
    own_annexd.configure(
        {**own_annexd.knobs, "COLLECTOR_HOST": "127.0.0.1:9", "ANNEXD_UPDATE_INTERVAL": "1"}
    )
    own_annexd.start()
    wait_for(lambda: "did not take 'advertise'" in own_annexd.said(), "remark")
    time.sleep(2.5)
    assert own_annexd.said().count("did not take 'advertise'") == 1


def test_mixed_regions_in_the_knobs_are_said_at_start(own_annexd: Annexd) -> None:
    """The daemon starts with knobs of different regions, and says what it will refuse."""
    own_annexd.configure(
        {**own_annexd.knobs, "ANNEX_DEFAULT_EC2_URL": "https://ec2.us-west-2.amazonaws.com"}
    )
    own_annexd.start()
    ended = own_annexd.ask(console_config())
    assert "endpoints are of different regions" in own_annexd.said()
    assert (ended.status, "EC2: us-west-2" in ended.err) == (1, True)


def test_the_region_of_other_hosts_is_a_knob(own_annexd: Annexd, cloud: LocalCloud) -> None:
    """Endpoints that are not AWS's own are in ANNEX_DEFAULT_AWS_REGION."""
    own_annexd.configure({**own_annexd.knobs, "ANNEX_DEFAULT_AWS_REGION": "eu-north-1"})
    own_annexd.start()
    ended = own_annexd.ask(
        console_config(), arn="arn:aws:lambda:eu-north-1:123456789012:function:none"
    )
    assert ended.status == 5
    assert {seen.region for seen in cloud.requests()} == {"eu-north-1"}
