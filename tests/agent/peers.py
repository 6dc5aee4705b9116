"""The other side of a connection, behaving as no server should."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def peer(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that reads one request of each connection and then does as it is told."""
    listener = socket.create_server(("127.0.0.1", 0))

    def talk(connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(65536)
                behave(connection)
            except OSError:
                return  # the agent had enough

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # the test is over
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        # Closing alone does not wake a thread that is in accept.
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def reply(status: str, body: bytes = b"", *headers: str) -> Callable[[socket.socket], None]:
    """Answer so, with a right length unless a header says another."""
    lengths = () if any("Content-Length" in header for header in headers) else (
        f"Content-Length: {len(body)}",
    )  # fmt: skip
    head = "\r\n".join([f"HTTP/1.1 {status}", *lengths, *headers, "Connection: close", "", ""])
    return lambda connection: connection.sendall(head.encode() + body)


def hang(connection: socket.socket) -> None:
    """Say nothing until the other side has gone."""
    connection.recv(1)


def trickle(connection: socket.socket) -> None:
    """A byte now and then, for ever."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def trickle_headers(connection: socket.socket) -> None:
    """The same, before there is a body."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def flood(connection: socket.socket) -> None:
    """An answer without an end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65536)
