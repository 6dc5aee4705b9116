"""The tool's end of the local door, against daemons that answer badly."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from htcondor_annex.errors import AnnexError, ReplyError
from htcondor_annex.tool.client import RemoteError, exchange

OK = b"HTTP/1.0 200 OK\r\nContent-Type: application/jsonl\r\n\r\n"


@contextmanager
def _daemon(directory: Path, answer: bytes) -> Iterator[str]:
    """Serve one caller with these bytes, whatever he asks."""
    path = str(directory / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            caller, _ = listener.accept()
            with caller:
                caller.recv(65536)
                caller.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield path
        thread.join()


def _ask(directory: Path, answer: bytes) -> list[dict[str, object]]:
    with _daemon(directory, answer) as path:
        return list(exchange(path, "POST", "/v1/annexes", {"config": {}}))


def test_events_come_line_by_line(tmp_path: Path) -> None:
    """Each line of the body is one event."""
    assert [{"remark": "a"}, {"annex": {}}] == _ask(
        tmp_path, OK + b'{"remark": "a"}\n{"annex": {}}\n'
    )


def test_an_error_is_raised_as_the_daemon_told_it(tmp_path: Path) -> None:
    """An error's message and advice arrive, whatever the HTTP status."""
    answer = b'HTTP/1.0 400 Bad\r\n\r\n{"error": {"message": "no", "exit_status": 2}}'
    with pytest.raises(RemoteError, match="no") as caught:
        _ask(tmp_path, answer)
    assert caught.value.status == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.0 200 OK\r\n",
        b"HTTP/1.0 200 OK\r\nA: b",
        b"HTTP/1.0 200 OK\r\n" + b"A: b\r\n" * 100,
        OK + b"not json\n",
        OK + b"[]\n",
    ],
    ids=["nothing", "no http", "no end of head", "torn header", "many headers", "text", "list"],
)
def test_answers_that_make_no_sense(tmp_path: Path, answer: bytes) -> None:
    """What is no answer of a daemon is said as such, and may have acted."""
    with pytest.raises(ReplyError) as caught:
        _ask(tmp_path, answer)
    assert caught.value.aws_may_have_acted


def test_an_error_from_the_future(tmp_path: Path) -> None:
    """An exit status that this tool does not know becomes that of a bad reply."""
    with pytest.raises(AnnexError) as caught:
        _ask(tmp_path, OK + b'{"error": {"message": "no", "exit_status": 77}}\n')
    assert isinstance(caught.value, RemoteError)
    assert caught.value.status == 5
