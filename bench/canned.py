"""An AWS that answers the five calls of an annex with fixed documents, some time after each came.

A process of its own. It keeps nothing, checks nothing and takes next to no CPU time, so that what
is measured against it is the caller: moto behind the local cloud answers one call at a time, and
takes some milliseconds of CPU for each.

The documents have the forms of AWS's API references; every fleet gets an id of its own.
"""

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path

from localcloud.closing import Closing

__all__ = ["FUNCTION", "Canned", "main"]

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:annex-lease"
"""The lease function that is there."""
_ROOT = Path(__file__).resolve().parents[1]
_PATIENCE = 10
_SEEN = "/seen"
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
# Where each protocol of AWS's has the action: in a header, in the body, in the path.
_TARGET = re.compile(rb"\r\nx-amz-target: *AWSEvents\.(\w+)", re.IGNORECASE)
_ACTION = re.compile(rb"(?:^|&)Action=(\w+)")
_FUNCTION = re.compile(rb"GET /2015-03-31/functions/[^/\s]+(/policy)? ")
_PERMISSION = {
    "Effect": "Allow",
    "Principal": {"Service": "events.amazonaws.com"},
    "Action": "lambda:InvokeFunction",
    "Resource": FUNCTION,
    "Condition": {
        "ArnLike": {"AWS:SourceArn": "arn:aws:events:us-east-1:123456789012:rule/htcondor-annex-*"},
        "StringEquals": {"AWS:SourceAccount": "123456789012"},
    },
}
_FLEET = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<RequestSpotFleetResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
    "<requestId>{request}</requestId><spotFleetRequestId>sfr-{fleet}</spotFleetRequestId>"
    "</RequestSpotFleetResponse>"
)


def _fleet() -> str:
    return _FLEET.format(request=uuid.uuid4(), fleet=uuid.uuid4())


_ANSWERS: Mapping[str, Callable[[], str]] = {
    "GetFunction": lambda: json.dumps(
        {"Configuration": {"FunctionArn": FUNCTION, "State": "Active"}}
    ),
    "GetPolicy": lambda: json.dumps({"Policy": json.dumps({"Statement": [_PERMISSION]})}),
    "PutRule": lambda: json.dumps({"RuleArn": "arn:aws:events:us-east-1:123456789012:rule/one"}),
    "PutTargets": lambda: json.dumps({"FailedEntryCount": 0, "FailedEntries": []}),
    "RequestSpotFleet": _fleet,
}


def _action(head: bytes, body: bytes) -> str:
    """Return what a request asks for; empty if it is none of the five calls."""
    found = _TARGET.search(head) or _ACTION.search(body)
    if found:
        return found[1].decode()
    function = _FUNCTION.match(head)
    return "" if function is None else "GetPolicy" if function[1] else "GetFunction"


class _Caller(asyncio.Protocol):
    """One connection; its requests come one after the other, each after the last one's answer."""

    def __init__(self, latency: float, seen: Counter[str]) -> None:
        self._latency = latency
        self._seen = seen
        self._data = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, rest = self._data.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if end and len(rest) >= size:
            self._data = rest[size:]
            self._answer(head, rest[:size])

    def _answer(self, head: bytes, body: bytes) -> None:
        wait, status = self._latency, HTTPStatus.OK
        if head.startswith(b"GET %s " % _SEEN.encode()):
            wait, text = 0.0, json.dumps(self._seen)
        elif make := _ANSWERS.get(action := _action(head, body)):
            self._seen[action] += 1
            text = make()
        else:
            self._seen["unknown"] += 1
            status, text = HTTPStatus.BAD_REQUEST, "{}"
        answer = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Length: {len(text)}\r\n\r\n"
        asyncio.get_running_loop().call_later(wait, self._send, (answer + text).encode())

    def _send(self, answer: bytes) -> None:
        if self._transport is not None:
            self._transport.write(answer)


async def _serve(latency: float) -> None:
    loop = asyncio.get_running_loop()
    seen: Counter[str] = Counter()
    listening = await loop.create_server(
        lambda: _Caller(latency, seen), "127.0.0.1", 0, backlog=1024
    )
    sys.stdout.write(f"{listening.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    loop.add_reader(0, lambda: None if os.read(0, 1) else ended.set())
    await ended.wait()
    os._exit(0)


def main(argv: Sequence[str] | None = None) -> int:
    """Answer until the standard input ends; print the port first."""
    parser = argparse.ArgumentParser(prog="python -m bench.canned", description=__doc__)
    parser.add_argument("-latency", type=float, required=True, help="milliseconds")
    options = parser.parse_args(argv)
    asyncio.run(_serve(options.latency / 1000))
    return 0


class Canned(Closing):
    """Such a process; use it as a context manager."""

    def __init__(self, latency: float) -> None:
        """Start it.

        Args:
            latency: From each call's arrival to its answer, milliseconds.

        Raises:
            RuntimeError: If it does not start.
        """
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.canned", "-latency", str(latency)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_ROOT,
        )
        assert self._process.stdout is not None  # noqa: S101  (for mypy: a pipe was asked for)
        said = self._process.stdout.readline().strip()
        if not said:
            raise RuntimeError(
                f"the canned AWS did not start: status {self._process.wait(_PATIENCE)}"
            )
        self.endpoint = f"http://127.0.0.1:{int(said)}"

    def seen(self) -> Counter[str]:
        """Return how often each action has been asked for."""
        with urllib.request.urlopen(self.endpoint + _SEEN, timeout=_PATIENCE) as answer:  # noqa: S310  (our own)
            return Counter(json.loads(answer.read()))

    def close(self) -> None:
        """End it: it sees its standard input end."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait(_PATIENCE)


if __name__ == "__main__":
    sys.exit(main())
