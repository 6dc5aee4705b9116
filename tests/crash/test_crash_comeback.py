"""A tool that lost its daemon is told by the next one what became of its question."""

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from htcondor_annex.errors import ShuttingDownError
from htcondor_annex.tool.client import RemoteError, ask

_HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: application/jsonl\r\n\r\n"
_MADE: dict[str, Any] = {"annex": {"name": "made"}}
_LEAVING: dict[str, Any] = {"error": ShuttingDownError("annexd is shutting down").to_wire()}


@contextmanager
def _daemons(directory: Path, answers: Sequence[dict[str, Any] | None]) -> Iterator[str]:
    """Give one caller after the other his answer; None breaks the connection off."""
    path = str(directory / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            for answer in answers:
                caller, _ = listener.accept()
                with caller:
                    caller.recv(65536)
                    if answer is not None:
                        caller.sendall(_HEAD + json.dumps(answer).encode() + b"\n")

        thread = threading.Thread(target=serve)
        thread.start()
        yield path
        thread.join()


def test_a_daemon_on_its_way_out_is_asked_past(tmp_path: Path) -> None:
    """What it may have taken up before it broke off, only the next one can tell."""
    with _daemons(tmp_path, [None, _LEAVING, _MADE]) as path:
        assert _MADE == ask(path, "POST", "/", {}, lambda _: None)


def test_a_daemon_on_its_way_out_refuses_what_is_new(tmp_path: Path) -> None:
    """Asked for the first time, it has taken up nothing, and says so."""
    with _daemons(tmp_path, [_LEAVING]) as path, pytest.raises(RemoteError) as told:
        ask(path, "POST", "/", {}, lambda _: None)
    assert "ShuttingDownError" == told.value.told
