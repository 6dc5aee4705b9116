"""The tool's end of the local door: one HTTP request over the daemon's Unix socket.

Written out, because `http.client` brings the email and ssl packages along: a fifth of the time from
the tool's start to the ID (docs/decisions/0008-tool-http.md).
"""

import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

from htcondor_annex.errors import AnnexError, DaemonUnreachableError, ExitStatus, ReplyError

__all__ = ["BrokenOffError", "RemoteError", "SendError", "ask", "exchange"]

_CONNECT_SECONDS = 5.0
_AGAIN_SECONDS = 0.05
_COMEBACK_INTERVAL = 0.25
_REPLY_SECONDS = 900.0  # far more than the daemon may take: every call of it has a time-out
_COMEBACK_SECONDS = 60.0  # condor_master starts a daemon that ended after 10 s, then 11, 13 ...
_BUSY = "BusyError"
_LEAVING = "ShuttingDownError"
_MAX_LINE = 16 * 1024 * 1024
_MAX_HEAD = 8190
_MOST_HEADERS = 64
_HEAD = (
    "{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    "Content-Length: {length}\r\n\r\n"
)


class SendError(AnnexError):
    """The request could not be sent whole."""

    code = "SendError"
    exit_status = ExitStatus.SEND
    retryable = True


class BrokenOffError(ReplyError):
    """The connection ended before the answer did: the daemon has gone, or is being restarted."""


class RemoteError(AnnexError):
    """An error as the daemon told it."""

    def __init__(self, wire: Mapping[str, Any]) -> None:
        """Take the wire form of `errors.AnnexError`."""
        super().__init__(
            str(wire.get("message", "the daemon refused")),
            problems=[str(problem) for problem in wire.get("problems", [])],
            advice=str(wire.get("advice", "")),
        )
        self.told = str(wire.get("code", ""))
        self.retryable = bool(wire.get("retryable"))
        self.aws_may_have_acted = bool(wire.get("aws_may_have_acted"))
        try:
            self.status = ExitStatus(wire.get("exit_status", ExitStatus.REPLY))
        except ValueError:
            self.status = ExitStatus.REPLY


def _line(data: bytes) -> dict[str, Any]:
    try:
        event = json.loads(data)
    except ValueError as error:
        raise ReplyError("the daemon's answer is not JSON") from error
    if not isinstance(event, dict):
        raise ReplyError("the daemon's answer is no JSON object")
    return event


def _connect(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_CONNECT_SECONDS)
    end = time.monotonic() + _CONNECT_SECONDS
    try:
        while True:
            try:
                connection.connect(path)
                break
            except BlockingIOError:  # more callers wait than the kernel keeps waiting
                if time.monotonic() > end:
                    raise
                time.sleep(_AGAIN_SECONDS)
    except OSError as error:
        connection.close()
        raise DaemonUnreachableError(
            f"no condor_annexd answers at {path}: {error.strerror or error}",
            advice="Is it running? `condor_status -subsystem annexd` shows it; "
            "its log is ANNEXD_LOG. ANNEXD_SOCKET says where the tool looks.",
        ) from error
    connection.settimeout(_REPLY_SECONDS)
    return connection


def _skip_head(answer: BinaryIO) -> None:
    """Read the status line and the headers; what counts is in the body.

    Raises:
        ReplyError: If they are none.
    """
    status = answer.readline(_MAX_HEAD)
    if not status:
        raise BrokenOffError("the daemon's answer broke off before it began")
    if not status.startswith(b"HTTP/1."):
        raise ReplyError("the daemon's answer is no HTTP")
    for _ in range(_MOST_HEADERS):
        line = answer.readline(_MAX_HEAD)
        if line in {b"\r\n", b"\n"}:
            return
        if not line.endswith(b"\n"):
            raise BrokenOffError("the daemon's answer broke off in its head")
    raise ReplyError(
        f"the daemon's answer has too many headers: {status.decode('latin-1').strip()}"
    )


def exchange(
    path: str, method: str, target: str, document: Mapping[str, Any] | None
) -> Iterator[dict[str, Any]]:
    """Send one request and yield what happens: the objects described in `wire`.

    The request is HTTP/1.0, so that the answer is the body's lines until the daemon closes.

    Args:
        path: The daemon's socket.
        method: Such as `POST`.
        target: The path of the request.
        document: Its body, or None.

    Raises:
        DaemonUnreachableError: If nobody answers there.
        SendError: If the request could not be sent.
        BrokenOffError: If the answer breaks off.
        ReplyError: If it makes no sense.
        RemoteError: As the daemon told it.
    """
    body = b"" if document is None else json.dumps(document).encode()
    head = _HEAD.format(method=method, path=target, length=len(body)).encode("ascii")
    with _connect(path) as connection, connection.makefile("rb") as answer:
        try:
            connection.sendall(head + body)
        except OSError as error:
            raise SendError(f"the request could not be sent: {error}") from error
        try:
            _skip_head(answer)
            while line := answer.readline(_MAX_LINE):
                event = _line(line)
                if isinstance(event.get("error"), dict):
                    raise RemoteError(event["error"])
                yield event
        except OSError as error:
            raise BrokenOffError(f"the daemon's answer broke off: {error}") from error


def ask(
    path: str,
    method: str,
    target: str,
    document: Mapping[str, Any] | None,
    say: Callable[[Mapping[str, Any]], None],
) -> dict[str, Any]:
    """Send a request, again if the daemon goes away meanwhile, and return its last event.

    Sending it again is safe: a new annex is asked for with a request token, by which the daemon
    knows what it has been asked; changing a lease and ending an annex may be repeated.

    Args:
        path: The daemon's socket.
        method: Such as `POST`.
        target: The path of the request.
        document: Its body, or None.
        say: Hears every event but the last.

    Raises:
        AnnexError: As `exchange`, when there was no answer within a minute.
    """
    end, said = 0.0, ""
    while True:
        try:
            for event in exchange(path, method, target, document):
                if "annex" in event or "annexes" in event:
                    return event
                say(event)
            raise BrokenOffError(  # noqa: TRY301  (it is handled like one that is heard of below)
                "the daemon's answer ended too early",
                advice="It may still be at work: `condor_annex status` tells.",
            )
        except (BrokenOffError, SendError, DaemonUnreachableError, RemoteError) as error:
            never_there = isinstance(error, DaemonUnreachableError) and not end
            # A daemon on its way out may have taken up what was asked before; the next one tells.
            passing = {_BUSY, _LEAVING} if end else {_BUSY}
            refused = isinstance(error, RemoteError) and error.told not in passing
            if never_there or refused or (end and time.monotonic() > end):
                raise
            end = end or time.monotonic() + _COMEBACK_SECONDS
            if said != error.message:
                said = error.message
                say({"remark": f"{said}; asking again for {_COMEBACK_SECONDS:.0f} s"})
        time.sleep(_COMEBACK_INTERVAL)
