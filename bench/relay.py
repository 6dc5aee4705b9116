"""A network with latency: a TCP relay on the loopback interface, in a process of its own.

What a byte of a new connection would meet on a network whose round trip takes R:

- the handshake: the client may send R after it began to connect. The loopback's own handshake
  takes no time, so what it sends sooner is held until then;
- then each piece of data, in either direction, arrives R/2 after it was sent. Pieces are under way
  together: one never waits for another but to keep its place. So does the end of the data.

With a certificate it is what stands before a service to speak TLS: callers speak TLS with it, and
it plainly with the server. It adds latency to what is in the TLS then, not to the handshakes; for
that, another relay stands before it.

Bandwidth, loss and TCP's slow start are not imitated; requests and answers here are a few
kilobytes, which fit into the first flight of packets.
"""

import argparse
import asyncio
import contextlib
import os
import ssl
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from localcloud.closing import Closing

__all__ = ["Relay", "main"]

_ROOT = Path(__file__).resolve().parents[1]
_CHUNK = 64 * 1024
_PATIENCE = 10


async def _carry(
    source: asyncio.StreamReader, goal: asyncio.StreamWriter, delay: float, opened: float
) -> None:
    """Carry data one way, `delay` seconds late, and none as if sent before `opened`."""
    loop = asyncio.get_running_loop()
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def arrive() -> None:
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(due - loop.time())
            if not data:
                break
            goal.write(data)
            await goal.drain()
        if goal.can_write_eof():
            goal.write_eof()
        else:
            goal.close()  # TLS ends both ways at once

    async def leave() -> None:
        data = b"..."
        while data:
            try:
                data = await source.read(_CHUNK)
            except ConnectionError:
                data = b""
            under_way.put_nowait((max(loop.time(), opened) + delay, data))

    # A side that broke off is told by the end of the data.
    with contextlib.suppress(ConnectionError):
        await asyncio.gather(leave(), arrive())


async def _serve(port: int, round_trip: float, tls: ssl.SSLContext | None) -> None:
    """Relay to a port of the loopback interface, until the standard input ends."""
    loop = asyncio.get_running_loop()

    async def lead(visitor: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        opened = loop.time() + round_trip
        server, forth = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(
            _carry(visitor, forth, round_trip / 2, opened),
            _carry(server, back, round_trip / 2, opened),
        )
        for writer in (forth, back):
            writer.close()

    listening = await asyncio.start_server(lead, "127.0.0.1", 0, backlog=1024, ssl=tls)
    sys.stdout.write(f"{listening.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    loop.add_reader(0, lambda: None if os.read(0, 1) else ended.set())
    await ended.wait()
    os._exit(0)  # what is under way breaks off, as when a network goes


def main(argv: Sequence[str] | None = None) -> int:
    """Relay until the standard input ends; print the port first."""
    parser = argparse.ArgumentParser(prog="python -m bench.relay", description=__doc__)
    parser.add_argument("-to", type=int, required=True, help="port on the loopback interface")
    parser.add_argument("-round-trip", type=float, required=True, help="milliseconds")
    parser.add_argument("-certificate", help="PEM file with key and chain, to be shown in TLS")
    options = parser.parse_args(argv)
    tls = None
    if options.certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.certificate)
    asyncio.run(_serve(options.to, options.round_trip / 1000, tls))
    return 0


class Relay(Closing):
    """A relay's process; use it as a context manager."""

    def __init__(self, port: int, round_trip: float = 0, certificate: Path | None = None) -> None:
        """Start it.

        Args:
            port: The server's, on our 127.0.0.1.
            round_trip: Milliseconds.
            certificate: PEM file with key and chain: speak TLS with callers.

        Raises:
            RuntimeError: If it does not start.
        """
        command = ["-m", "bench.relay", "-to", str(port), "-round-trip", str(round_trip)]
        if certificate:
            command += ["-certificate", str(certificate)]
        self._process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_ROOT,
        )
        assert self._process.stdout is not None  # noqa: S101  (for mypy: a pipe was asked for)
        said = self._process.stdout.readline().strip()
        if not said:
            raise RuntimeError(f"the relay did not start: status {self._process.wait(_PATIENCE)}")
        self.port = int(said)

    def close(self) -> None:
        """End it: it sees its standard input end."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait(_PATIENCE)


if __name__ == "__main__":
    sys.exit(main())
