"""The local cloud as a process: how it starts, is shared, and ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from localcloud import LocalCloud

ROOT = Path(__file__).resolve().parents[2]


def test_another_process_can_control_it(cloud: LocalCloud) -> None:
    """A handle made from the endpoint alone sees the same cloud, and leaves it running."""
    key, secret = cloud.credentials
    with LocalCloud.at(cloud.endpoint, access_keys={key: secret}) as other:
        other.client("events").put_rule(Name="rule", ScheduleExpression="rate(5 minutes)")
    assert [rule["Name"] for rule in cloud.contents().rules] == ["rule"]


def test_its_environment_sends_boto3_there(cloud: LocalCloud) -> None:
    """A program that knows nothing of the local cloud finds it."""
    program = "import boto3; boto3.client('events').put_rule(Name='rule', EventPattern='{}')"
    subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **cloud.environment()}, check=True
    )
    assert [rule["Name"] for rule in cloud.contents().rules] == ["rule"]


def test_without_keys_it_takes_any() -> None:
    """Two clouds share nothing, and one that was told no keys asks for none."""
    with LocalCloud() as one, LocalCloud() as two:
        one.client("events").put_rule(Name="rule", ScheduleExpression="rate(5 minutes)")
        assert (len(one.contents().rules), len(two.contents().rules)) == (1, 0)


def test_a_stopped_cloud_answers_no_more() -> None:
    """The endpoint is down, and stopping again is no error."""
    cloud = LocalCloud()
    address = urlsplit(cloud.endpoint)
    cloud.stop()
    cloud.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((str(address.hostname), int(address.port or 0)), 5)


def test_it_ends_with_the_process_that_started_it() -> None:
    """A test run that is killed leaves nothing behind."""
    program = "import time; from localcloud import LocalCloud\n"
    program += "print(LocalCloud().pid, flush=True); time.sleep(60)"
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    end = time.monotonic() + 30
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < end, "the local cloud lives on"
        time.sleep(0.05)


def test_a_taken_port_is_told(cloud: LocalCloud) -> None:
    """With the port, and why."""
    port = int(urlsplit(cloud.endpoint).port or 0)
    with pytest.raises(RuntimeError, match=f"cannot listen on port {port}"):
        LocalCloud(port=port)


def test_connections_are_kept(cloud: LocalCloud) -> None:
    """Many requests go through one connection, as they do on AWS."""
    address = urlsplit(cloud.endpoint)
    connection = HTTPConnection(str(address.hostname), address.port, timeout=30)
    connection.connect()
    first = connection.sock
    for _ in range(3):
        connection.request("GET", "/_localcloud/ping")
        assert connection.getresponse().read() == b'"pong"'
    assert connection.sock is first
    connection.close()


def test_a_body_in_chunks_is_read(cloud: LocalCloud) -> None:
    """A client need not know the length of what it sends."""
    address = urlsplit(cloud.endpoint)
    connection = HTTPConnection(str(address.hostname), address.port, timeout=30)
    parts = iter([b'{"action": "PutRule", ', b'"code": "Slow"}'])
    connection.request("POST", "/_localcloud/faults", body=parts, encode_chunked=True)
    assert connection.getresponse().status == 200
    connection.close()
    assert [fault["action"] for fault in cloud.faults()] == ["PutRule"]


def test_an_unknown_control_is_refused(cloud: LocalCloud) -> None:
    """With what was asked for."""
    with pytest.raises(ValueError, match="no GET /_localcloud/weather"):
        cloud._control("GET", "weather")
