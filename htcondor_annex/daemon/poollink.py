"""The link to the pool: what talks to the collector and to condor_master, in its own process.

The bindings keep Python's interpreter lock while they wait for the network (20 seconds for a
collector that accepts and never answers), so a thread would stop the daemon with it. This small
process is told what to say in JSON messages, says it, and reports how that went.
"""

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import Iterable, Mapping
from typing import Any

from htcondor_annex import condor
from htcondor_annex.daemon.helpers import fork_helper

__all__ = ["PoolLink"]

_log = logging.getLogger(__name__)
_MAX_MESSAGE = 64 * 1024
_MAX_ADS = 32 * 1024
_MOST_WITHDRAWN = 100
_HINT = " (is it reachable, may this user advertise, are the bindings no newer than the pool?)"


def _say(message: Mapping[str, Any]) -> None:
    """Say one thing to the pool; blocking."""
    match message["op"]:
        case "advertise":
            condor.advertise(message["ads"])
        case "invalidate":
            for mytype, attribute, value in message["which"]:
                condor.invalidate(mytype, attribute, value)
        case "alive":
            condor.send_alive(message["pid"], message["timeout"])
        case "reconfig":
            condor.reload_config()


def _serve(channel: socket.socket) -> None:
    while request := channel.recv(_MAX_MESSAGE):
        message = json.loads(request)
        error = ""
        try:
            _say(message)
        except condor.CondorError as failure:
            error = str(failure) or type(failure).__name__
        with contextlib.suppress(BrokenPipeError):
            channel.send(json.dumps({"op": message["op"], "error": error[:1000]}).encode())


class PoolLink:
    """The daemon's end: messages go one at a time, and nobody waits for them but the last.

    Ads wait by their names, a newer one in place of an older, and go in parts that fit a message. A
    collector that cannot be reached is said once, and once more when it is back.
    """

    def __init__(self, channel: socket.socket, pid: int) -> None:
        """Hold the channel and the process id."""
        self._channel = channel
        self.pid = pid
        self._waiting: dict[str, Mapping[str, Any]] = {}
        self._ads: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._withdrawn: dict[tuple[str, str, str], None] = {}
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._failed: set[str] = set()
        self._ending = False

    @classmethod
    def start(cls) -> "PoolLink":
        """Fork the link; to be called before any thread or event loop exists."""
        ours, pid = fork_helper(_serve)
        ours.settimeout(0)  # for the event loop
        return cls(ours, pid)

    def send(self, op: str, **message: Any) -> None:  # noqa: ANN401  (JSON)
        """Say something when the link is free; a newer message of a kind replaces an older."""
        self._waiting[op] = {"op": op, **message}
        self._idle.clear()
        self._wake.set()

    def advertise(self, ads: Iterable[Mapping[str, Any]]) -> None:
        """Send ads when the link is free."""
        for ad in ads:
            self._ads[ad["MyType"], ad["Name"]] = ad
        self._idle.clear()
        self._wake.set()

    def withdraw(self, mytype: str, attribute: str, value: str) -> None:
        """Withdraw the ads of a type with this value in an attribute, after those that wait."""
        if attribute == "Name":
            self._ads.pop((mytype, value), None)
        self._withdrawn[mytype, attribute, value] = None
        self._idle.clear()
        self._wake.set()

    def _next(self) -> bytes | None:
        """Return the next message, or None when there is none."""
        if self._waiting:
            return json.dumps(self._waiting.pop(next(iter(self._waiting)))).encode()
        if self._ads:
            taken: list[Mapping[str, Any]] = []
            size = 0
            for key, ad in list(self._ads.items()):
                size += len(json.dumps(ad))
                if taken and size > _MAX_ADS:
                    break
                taken.append(self._ads.pop(key))
            return json.dumps({"op": "advertise", "ads": taken}).encode()
        if self._withdrawn:
            some = list(self._withdrawn)[:_MOST_WITHDRAWN]
            for which in some:
                del self._withdrawn[which]
            return json.dumps({"op": "invalidate", "which": some}).encode()
        return None

    async def run(self) -> None:
        """Carry messages, until cancelled or the link's process ends."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            while (message := self._next()) is not None:
                await loop.sock_sendall(self._channel, message)
                answer = await loop.sock_recv(self._channel, _MAX_MESSAGE)
                if not answer:
                    _log.error(
                        "the link to the pool has ended: the pool no longer sees this daemon"
                    )
                    return
                self._note(json.loads(answer))
            self._wake.clear()
            self._idle.set()

    def _note(self, answer: Mapping[str, str]) -> None:
        op, error = answer["op"], answer["error"]
        if error and op not in self._failed:
            self._failed.add(op)
            # At a pool-wide stop the collector may be gone first.
            level = logging.INFO if self._ending else logging.WARNING
            hint = "" if self._ending else _HINT
            _log.log(
                level, "the pool did not take '%s': %s; work goes on without it%s", op, error, hint
            )
        elif not error and op in self._failed:
            self._failed.discard(op)
            _log.info("the pool takes '%s' again", op)

    async def drain(self, seconds: float) -> None:
        """Wait until the last things are said, at most so many seconds."""
        self._ending = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()

    def close(self) -> None:
        """End the link: it sees its channel close after the message under way."""
        self._channel.close()
