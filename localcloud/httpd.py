"""A small HTTP server for a WSGI application that keeps connections open, as AWS does.

werkzeug's own closes each connection after one answer, so that a client that fails to share its
connections would never be noticed. The application must give the length of its answers.
"""

import io
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote_to_bytes, urlsplit

from localcloud.faults import WSGIApp

__all__ = ["Server"]

_MAX_BODY_BYTES = 64 * 1024 * 1024


class Server(ThreadingHTTPServer):
    """Serves one application on the loopback interface, a thread a connection."""

    daemon_threads = True
    request_queue_size = 1024
    allow_reuse_address = True

    def __init__(self, port: int, app: WSGIApp) -> None:
        """Listen.

        Args:
            port: 0 for any free one.
            app: What answers; if it never calls start_response, the connection is broken off.

        Raises:
            OSError: If the port is taken.
        """
        self.app = app
        super().__init__(("127.0.0.1", port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that went away; of all else, as usual."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # passed on


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    # Nagle's algorithm and a delayed acknowledgement cost a small answer 40 ms.
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *_: object) -> None:
        """Say nothing: the layer records what was asked."""

    def handle_expect_100(self) -> bool:
        """Ask for the body at once: S3's clients wait a second for being asked."""
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._chunks()
        length = int(self.headers.get("Content-Length") or 0)
        return self.rfile.read(min(length, _MAX_BODY_BYTES))

    def _chunks(self) -> bytes:
        """Read a body in chunks (RFC 9112, section 7.1)."""
        parts = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            parts.append(self.rfile.read(min(size, _MAX_BODY_BYTES)))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return b"".join(parts)

    def _environ(self, body: bytes) -> dict[str, object]:
        target = urlsplit(self.path)
        environ: dict[str, object] = {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(target.path).decode("latin-1"),
            "QUERY_STRING": target.query,
            "RAW_URI": self.path,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": str(self.server.server_port),
            "SERVER_PROTOCOL": self.request_version,
            "REMOTE_ADDR": self.client_address[0],
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in self.headers.items():
            key = name.upper().replace("-", "_")
            if key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
                environ[key] = value
            elif key != "TRANSFER_ENCODING":
                known = environ.get(f"HTTP_{key}")
                environ[f"HTTP_{key}"] = f"{known},{value}" if known else value
        environ["CONTENT_LENGTH"] = str(len(body))
        return environ

    def _answer(self) -> None:
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], *_: object) -> None:
            started.append((status, headers))

        body = b"".join(self.server.app(self._environ(self._body()), start_response))
        if not started:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        status, headers = started[-1]
        self.send_response(int(status.split()[0]))
        for name, value in headers:
            if name.lower() not in ("connection", "date", "server"):
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_OPTIONS = _answer  # noqa: N815
