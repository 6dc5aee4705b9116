"""A door: a port in a machine's network that leads to a server on our own loopback interface.

A machine of the lab has no way out. What it must reach, such as the local cloud, listens on our
loopback interface, where our own tests reach it too; a door makes it reachable for one machine,
under an address of that machine's choice. Nothing else sees it.
"""

import contextlib
import ctypes
import os
import socket
import threading

from localcloud.closing import Closing
from localcloud.pool.commands import PoolError
from localcloud.pool.node import Node

__all__ = ["Door"]

_NEWNET = 0x40000000  # CLONE_NEWNET, linux/sched.h
_CHUNK = 64 * 1024
_WAITING = 64


def _listen_in(pid: int, address: tuple[str, int]) -> socket.socket:
    """Return a socket that listens in the network of a process; where it was made is where it is.

    Raises:
        PoolError: If the network cannot be entered, or the address is taken there.
    """
    made: list[socket.socket] = []
    faults: list[OSError] = []

    def enter() -> None:
        try:
            namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            try:
                # This thread alone goes there, and ends there (setns(2)).
                if ctypes.CDLL(None, use_errno=True).setns(namespace, _NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            finally:
                os.close(namespace)
            made.append(socket.create_server(address, backlog=_WAITING))
        except OSError as error:
            faults.append(error)

    thread = threading.Thread(target=enter, name="door-enter")
    thread.start()
    thread.join()
    if faults:
        raise PoolError(f"no door can be made at {address}: {faults[0]}") from faults[0]
    return made[0]


def _carry(source: socket.socket, goal: socket.socket) -> None:
    """Carry bytes one way until the source ends, and say so on the other side."""
    with contextlib.suppress(OSError):  # either side may break off: the other is told by the end
        while data := source.recv(_CHUNK):
            goal.sendall(data)
    with contextlib.suppress(OSError):
        goal.shutdown(socket.SHUT_WR)


class Door(Closing):
    """An open door; use it as a context manager, or call `close`."""

    def __init__(self, node: Node, port: int, *, at: tuple[str, int] | None = None) -> None:
        """Open it.

        Args:
            node: The machine.
            port: The server's, on our 127.0.0.1.
            at: Where the machine finds it, on an address that becomes its own (such as that of
                an instance's metadata); None is the same port of its 127.0.0.1.

        Raises:
            PoolError: If the address is taken on the machine.
        """
        self._goal = ("127.0.0.1", port)
        address = at or self._goal
        if not address[0].startswith("127."):
            node.run("ip", "address", "replace", f"{address[0]}/32", "dev", "lo")
        self._listener = _listen_in(node.pid, address)
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        self._doorman = threading.Thread(target=self._serve, name="door", daemon=True)
        self._doorman.start()

    def close(self) -> None:
        """Close it, and break what goes through it; again is no error."""
        with contextlib.suppress(OSError):  # not connected, or closed already
            self._listener.shutdown(socket.SHUT_RDWR)
        self._doorman.join()
        self._listener.close()
        with self._guard:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        while True:
            try:
                visitor, _ = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._lead, args=(visitor,), daemon=True).start()

    def _lead(self, visitor: socket.socket) -> None:
        with visitor:
            try:
                server = socket.create_connection(self._goal)
            except OSError:
                return  # the server is down: the visitor sees its connection end
            with server:
                self._join(visitor, server)

    def _join(self, visitor: socket.socket, server: socket.socket) -> None:
        both = {visitor, server}
        for connection in both:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._guard:
            self._open |= both
        back = threading.Thread(target=_carry, args=(server, visitor), daemon=True)
        back.start()
        _carry(visitor, server)
        back.join()
        with self._guard:
            self._open -= both
