"""The local door: what it takes, from whom, and what it does not wait for."""

import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from htcondor_annex.daemon.server import MAX_CONNECTIONS
from htcondor_annex.wire import ANNEXES_PATH, MAX_BODY
from tests.support import Annexd, console_config

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 and not os.environ.get("CI"), reason="becoming another user needs root"
)


@contextmanager
def _caller(annexd: Annexd) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(30)
        caller.connect(str(annexd.socket))
        yield caller


def _answer(annexd: Annexd, *parts: bytes) -> bytes:
    """Send something and return all that comes back until the daemon closes."""
    received = b""
    with _caller(annexd) as caller:
        try:
            for part in parts:
                caller.sendall(part)
            while data := caller.recv(65536):
                received += data
        except (BrokenPipeError, ConnectionResetError):
            pass  # the daemon refused before all was sent
    return received


def _post(body: bytes, path: str = ANNEXES_PATH) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def _message(answer: bytes) -> str:
    return str(json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"])


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "the request is not JSON: it is empty"),
        (b"{", "the request is not JSON: line 1"),
        (b"[]", "the request must be a JSON object"),
        (b"{}", "the request is wrong"),
        (b'{"config": 1}', "the request is wrong"),
        (b'{"config": {}, "count": true}', "the request is wrong"),
        (b'{"config": {}, "count": 1e400}', "the request is wrong"),
        (b'{"config": {}, "lease_duration": -1}', "the request is wrong"),
        (b'{"config": {}, "owner": "root"}', "the request is wrong"),
        (b'{"config": {}, "access_key_file": "a\\u0000b"}', "the request is wrong"),
    ],
)
def test_requests_that_are_none(annexd: Annexd, body: bytes, text: str) -> None:
    """A body that is no request is answered with 400 and what is wrong."""
    answer = _answer(annexd, _post(body))
    assert _status(answer) == 400
    assert _message(answer).startswith(text)


def test_a_body_over_the_limit(annexd: Annexd) -> None:
    """A body larger than the limit is refused with 413."""
    answer = _answer(annexd, _post(b"x" * (MAX_BODY + 1)))
    assert _status(answer) == 413


def test_headers_over_the_limit(annexd: Annexd) -> None:
    """A header line larger than the limit is refused."""
    head = b"POST /v1/annexes HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000 + b"\r\n\r\n"
    assert _status(_answer(annexd, head)) == 400


def test_what_is_no_http(annexd: Annexd) -> None:
    """Bytes that are no HTTP are refused."""
    assert _status(_answer(annexd, b"\x00\x01\x02\r\n\r\n")) == 400


@pytest.mark.parametrize(("path", "status"), [("/v2/annexes", 404), ("/", 404)])
def test_paths_that_are_none(annexd: Annexd, path: str, status: int) -> None:
    """Another version or path is not found."""
    assert _status(_answer(annexd, _post(b"{}", path))) == status


def test_a_method_that_is_none(annexd: Annexd) -> None:
    """Another method is not allowed."""
    assert _status(_answer(annexd, b"DELETE /v1/annexes HTTP/1.1\r\nHost: x\r\n\r\n")) == 405


def test_callers_who_are_silent_are_dropped(annexd: Annexd) -> None:
    """Connections without a whole request are closed, unanswered, after their time."""
    begun = [b"", b"POST /v1", _post(b"{}")[:-1]]
    with ThreadPoolExecutor() as threads:
        answers = list(threads.map(lambda part: _answer(annexd, part), begun))
    assert answers == [b"", b"", b""]


def test_too_many_connections(annexd: Annexd) -> None:
    """Beyond the limit the tool is told that the daemon is busy; it asks again until it is not."""
    idle = []
    try:
        for _ in range(MAX_CONNECTIONS + 8):
            caller = socket.socket(socket.AF_UNIX)
            caller.settimeout(10)
            caller.connect(str(annexd.socket))
            idle.append(caller)
        ended = annexd.ask(console_config())
    finally:
        for caller in idle:
            caller.close()
    assert f"annexd has {MAX_CONNECTIONS} callers" in ended.err
    assert ended.status == 0


def _list(annexd: Annexd, uid: int) -> list[dict[str, str]]:
    """Return the annexes that a user is shown: asked by a process of that user."""
    code = (
        "import os, socket, sys\n"
        f"os.setresuid({uid}, {uid}, {uid})\n"
        "caller = socket.socket(socket.AF_UNIX)\n"
        "caller.connect(sys.argv[1])\n"
        "caller.sendall(b'GET /v1/annexes HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')\n"
        "data = b''\n"
        "while part := caller.recv(65536): data += part\n"
        "sys.stdout.write(data.decode().partition('\\r\\n\\r\\n')[2])\n"
    )
    # The socket is connected as that user; its directory is open to all for this test.
    made = subprocess.run(
        [sys.executable, "-c", code, str(annexd.socket)],
        capture_output=True,
        check=True,
        timeout=30,
    )
    found: list[dict[str, str]] = json.loads(made.stdout)["annexes"]
    return found


@needs_root
def test_an_owner_sees_his_own_alone(annexd: Annexd) -> None:
    """The list of annexes holds the caller's own, by the kernel's word."""
    for directory in (annexd.directory, *annexd.directory.parents):
        if str(directory).startswith("/tmp/"):  # noqa: S108  (pytest's own directories)
            directory.chmod(directory.stat().st_mode | 0o055)
    annexd.ask(console_config(), "-annex-name", "mine-alone")
    mine = [annex["name"] for annex in _list(annexd, 0)]
    assert ("mine-alone" in mine, _list(annexd, 1)) == (True, [])


def test_the_caller_is_known_from_the_kernel(annexd: Annexd) -> None:
    """SO_PEERCRED of the daemon's socket names the process that serves it."""
    with _caller(annexd) as caller:
        data = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    assert annexd.process is not None
    assert struct.unpack("3i", data)[0] == annexd.process.pid
