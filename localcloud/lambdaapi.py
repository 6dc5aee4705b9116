"""AWS's Lambda Runtime API, which a function's process asks for its events.

After the Lambda Developer Guide, "Using the Lambda runtime API for custom runtimes": the process
asks for `next`, which waits until there is an event, and posts its `response` or its `error`; an
error before the first event goes to `init/error`. One API serves one process, one event at a time.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from localcloud.closing import Closing
from localcloud.faults import StartResponse
from localcloud.httpd import Server
from localcloud.wire import Environ

__all__ = ["Event", "Outcome", "RuntimeApi"]

_ROOT = "/2018-06-01/runtime/"


@dataclass(frozen=True, slots=True)
class Event:
    """What a function is to do.

    Attributes:
        request_id: AWS's id of the invocation.
        arn: The function's.
        body: JSON.
        timeout: Seconds that the function has for it, from when its process takes it.
        trace: For X-Ray.
    """

    request_id: str
    arn: str
    body: bytes
    timeout: float
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went.

    Attributes:
        kind: `response`; `error` of the handler; `init/error` before it; `exit` of the process;
            `timeout`.
        body: What was posted, JSON; for `exit`, how the process ended.
        seconds: From taking the event to the outcome.
    """

    kind: str
    body: bytes = b""
    seconds: float = 0.0


class RuntimeApi(Closing):
    """Serves the API on the loopback interface."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Listen on any free port.

        Args:
            clock: The function's; deadlines are by it.
        """
        self._clock = clock
        self._changed = threading.Condition()
        self._offered: Event | None = None
        self._taken: Event | None = None
        self._since = 0.0
        self._outcome: Outcome | None = None
        self._closed = False
        self._server = Server(0, self._serve)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        """For AWS_LAMBDA_RUNTIME_API."""
        return f"127.0.0.1:{self._server.server_port}"

    def run(self, event: Event, patience: float) -> Outcome:
        """Give the process an event, and wait for what it makes of it.

        Args:
            event: Its time begins when the process takes it.
            patience: Seconds that the process has for its start.
        """
        with self._changed:
            self._offered, self._taken = event, None
            self._changed.notify_all()
            started = self._changed.wait_for(lambda: self._taken or self._outcome, patience)
            if started and self._outcome is None:
                self._changed.wait_for(lambda: self._outcome, event.timeout)
            outcome = self._outcome or Outcome("timeout", seconds=event.timeout)
            # The end of a process is its last word; an answer is the answer to one event.
            if outcome.kind in ("response", "error"):
                self._outcome = None
            return outcome

    def ended(self, how: str) -> None:
        """Note that the process has ended, which matters if it has not said why."""
        self._say("exit", how.encode())

    def close(self) -> None:
        """Serve no more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        # Nobody waits for the server's thread to notice, which takes it half a second.
        threading.Thread(target=self._stop, daemon=True).start()

    def _stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _say(self, kind: str, body: bytes) -> None:
        with self._changed:
            if self._outcome is None:
                self._outcome = Outcome(kind, body, time.monotonic() - self._since)
                self._changed.notify_all()

    # -- the API ---------------------------------------------------------------------------------

    def _serve(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (WSGI)."""
        path = environ["PATH_INFO"].removeprefix(_ROOT)
        body = environ["wsgi.input"].read()
        if (environ["REQUEST_METHOD"], path) == ("GET", "invocation/next"):
            event = self._next()
            if event is None:
                return []  # with no start_response, our server breaks the connection off
            deadline = int((self._clock() + event.timeout) * 1000)
            headers = [
                ("Lambda-Runtime-Aws-Request-Id", event.request_id),
                ("Lambda-Runtime-Deadline-Ms", str(deadline)),
                ("Lambda-Runtime-Invoked-Function-Arn", event.arn),
                ("Lambda-Runtime-Trace-Id", event.trace),
            ]
            return _answer(start_response, "200 OK", event.body, headers)
        kind = path.rpartition("/")[2]
        if environ["REQUEST_METHOD"] != "POST" or path not in self._known():
            error = {"errorType": "InvalidRequestID", "errorMessage": "Invalid request ID"}
            return _answer(start_response, "400 Bad Request", json.dumps(error).encode())
        self._say("init/error" if path == "init/error" else kind, body)
        return _answer(start_response, "202 Accepted", b'{"status":"OK"}\n')

    def _known(self) -> set[str]:
        """Return what the process may post now."""
        with self._changed:
            if self._taken is None:
                return {"init/error"}
            return {f"invocation/{self._taken.request_id}/{kind}" for kind in ("response", "error")}

    def _next(self) -> Event | None:
        """Wait for the next event; None if the API closes."""
        with self._changed:
            self._changed.wait_for(lambda: self._offered or self._closed)
            event, self._offered = self._offered, None
            if self._closed or event is None:
                return None
            self._taken, self._since = event, time.monotonic()
            self._changed.notify_all()
            return event


def _answer(
    start_response: StartResponse,
    status: str,
    body: bytes,
    headers: Iterable[tuple[str, str]] = (),
) -> Iterable[bytes]:
    common = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response(status, [*common, *headers])
    return [body]
