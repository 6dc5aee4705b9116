"""The tool's end of the local door: one HTTP request over the daemon's Unix socket."""

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any

from htcondor_annex.errors import AnnexError, DaemonUnreachableError, ExitStatus, ReplyError
from htcondor_annex.wire import ANNEXES_PATH

__all__ = ["RemoteError", "SendError", "request_annex"]

_CONNECT_SECONDS = 5.0
_REPLY_SECONDS = 900.0  # far more than the daemon may take: every call of it has a time-out
_MAX_LINE = 1024 * 1024


class SendError(AnnexError):
    """The request could not be sent whole."""

    code = "SendError"
    exit_status = ExitStatus.SEND
    retryable = True


class RemoteError(AnnexError):
    """An error as the daemon told it."""

    def __init__(self, wire: Mapping[str, Any]) -> None:
        """Take the wire form of `errors.AnnexError`."""
        super().__init__(
            str(wire.get("message", "the daemon refused")),
            problems=[str(problem) for problem in wire.get("problems", [])],
            advice=str(wire.get("advice", "")),
        )
        self.retryable = bool(wire.get("retryable"))
        self.aws_may_have_acted = bool(wire.get("aws_may_have_acted"))
        try:
            self.status = ExitStatus(wire.get("exit_status", ExitStatus.REPLY))
        except ValueError:
            self.status = ExitStatus.REPLY


class _UnixConnection(http.client.HTTPConnection):
    """HTTP to a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_CONNECT_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect to the daemon's socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_CONNECT_SECONDS)
        self.sock.connect(self._path)
        self.sock.settimeout(_REPLY_SECONDS)


def _line(data: bytes) -> dict[str, Any]:
    try:
        event = json.loads(data)
    except ValueError as error:
        raise ReplyError("the daemon's answer is not JSON") from error
    if not isinstance(event, dict):
        raise ReplyError("the daemon's answer is no JSON object")
    return event


def request_annex(path: str, request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Ask for an annex and yield what happens: the objects described in `wire`.

    Args:
        path: The daemon's socket.
        request: The request object.

    Raises:
        DaemonUnreachableError: If nobody answers there.
        SendError: If the request could not be sent.
        ReplyError: If the answer breaks off.
        RemoteError: As the daemon told it.
    """
    connection = _UnixConnection(path)
    try:
        connection.connect()
    except OSError as error:
        raise DaemonUnreachableError(
            f"no condor_annexd answers at {path}: {error.strerror or error}",
            advice="Is it running? `condor_status -subsystem annexd` shows it; "
            "its log is ANNEXD_LOG. ANNEXD_SOCKET says where the tool looks.",
        ) from error
    try:
        body = json.dumps(request).encode()
        try:
            connection.request("POST", ANNEXES_PATH, body, {"Content-Type": "application/json"})
        except OSError as error:
            raise SendError(f"the request could not be sent: {error}") from error
        try:
            response = connection.getresponse()
            while line := response.readline(_MAX_LINE):
                event = _line(line)
                if isinstance(event.get("error"), dict):
                    raise RemoteError(event["error"])
                yield event
        except (OSError, http.client.HTTPException) as error:
            raise ReplyError(f"the daemon's answer broke off: {error}") from error
    finally:
        connection.close()
