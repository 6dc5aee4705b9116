"""An instance's metadata service: IMDSv2, as one instance sees it, on the loopback.

    from localcloud.imds import MetadataService, RoleCredentials

    with MetadataService("annex-role", RoleCredentials(key, secret, token)) as metadata:
        environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = metadata.endpoint

Source: EC2 User Guide, "Use the Instance Metadata Service to access instance metadata" and
"Instance metadata categories". What is not here answers 404, as it does there.
"""

import contextlib
import json
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import unquote

from localcloud.closing import Closing

__all__ = ["MetadataService", "RoleCredentials"]

LONGEST_TTL = 21600
"""Seconds; AWS's own limit for a token."""

LIFE = timedelta(hours=6)
"""How long a role's keys are said to last."""

_Request = socket.socket | tuple[bytes, socket.socket]
"""What socketserver may hand to a server; a stream's is always the first."""

ACCOUNT = "123456789012"
"""moto's default account."""


def _in_six_hours() -> datetime:
    return datetime.now(UTC) + LIFE


@dataclass(frozen=True)
class RoleCredentials:
    """The temporary keys of a role, as STS gives them.

    Attributes:
        access_key: Its id.
        secret_key: Not shown.
        token: The session token; not shown.
        expiration: When they end, UTC.
    """

    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(repr=False)
    expiration: datetime = field(default_factory=_in_six_hours)


class MetadataService(Closing):
    """Serves one instance's metadata in threads, from `start` to `stop` or as a context manager.

    Args:
        role_name: Name of the instance's role; None for an instance without one.
        credentials: The role's keys; None for a role whose keys are not there yet.
        instance_id: Id of the instance.
        region: Where it runs.
        tags: Its tags, visible here as with InstanceMetadataTags enabled; None as with disabled.
        user_data: Its user data; None for none.
        port: Where to listen on 127.0.0.1; 0 for any free port.
        public_ipv4: Its public address; None for none.
        account: The twelve digits of the AWS account.
    """

    def __init__(
        self,
        role_name: str | None,
        credentials: RoleCredentials | None,
        instance_id: str = "i-0123456789abcdef0",
        region: str = "us-east-1",
        *,
        tags: Mapping[str, str] | None = None,
        user_data: bytes | None = None,
        port: int = 0,
        public_ipv4: str | None = None,
        account: str = ACCOUNT,
    ) -> None:
        """Bind the port; nothing is served before `start`."""
        self.requests: list[str] = []
        """What was asked for so far: method and path, in order."""
        self._role_name = role_name
        self._credentials = credentials
        self._instance_id = instance_id
        self._region = region
        self._tags = tags
        self._user_data = user_data
        self._public_ipv4 = public_ipv4
        self._account = account
        self._tokens: dict[str, float] = {}
        self._lock = threading.Lock()
        service = self

        class Handler(_Handler):
            metadata = service

        self._server = _Server(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    @property
    def endpoint(self) -> str:
        """The value for AWS_EC2_METADATA_SERVICE_ENDPOINT."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> Self:
        """Begin to serve."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Serve no longer, and close the port."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.hang_up()
        self._server.server_close()

    close = stop

    def __enter__(self) -> Self:
        """Begin to serve."""
        return self.start()

    def forget_tokens(self) -> None:
        """End all tokens at once, as their time to live would."""
        with self._lock:
            self._tokens.clear()

    def new_token(self, ttl: int) -> str:
        """A token that lasts `ttl` seconds."""
        token = secrets.token_urlsafe(42)
        with self._lock:
            self._tokens[token] = time.monotonic() + ttl
        return token

    def knows(self, token: str) -> bool:
        """Whether a token is one of ours and has not ended."""
        with self._lock:
            return self._tokens.get(token, 0.0) > time.monotonic()

    def note(self, method: str, path: str) -> None:
        """Remember what was asked for."""
        with self._lock:
            self.requests.append(f"{method} {path}")

    def answer(self, path: str) -> bytes | None:
        """What is at a path below /latest/; None if there is nothing."""
        if path == "user-data":
            return self._user_data
        if path == "dynamic/instance-identity/document":
            return _json(accountId=self._account, instanceId=self._instance_id, region=self._region)
        prefix, _, rest = path.partition("/")
        return self._meta_data(rest) if prefix == "meta-data" else None

    def _meta_data(self, path: str) -> bytes | None:
        texts = {
            "instance-id": self._instance_id,
            "placement/region": self._region,
            "public-ipv4": self._public_ipv4,
        }
        if path in texts:
            text = texts[path]
            return None if text is None else text.encode()
        if path.startswith("iam/"):
            return self._iam(path.removeprefix("iam/").rstrip("/"))
        if path.rstrip("/") == "tags/instance":
            return None if self._tags is None else "\n".join(sorted(self._tags)).encode()
        tag = (self._tags or {}).get(unquote(path.removeprefix("tags/instance/")))
        return tag.encode() if tag is not None and path.startswith("tags/instance/") else None

    def _iam(self, path: str) -> bytes | None:
        if self._role_name is None:
            return None
        if path == "security-credentials":
            return self._role_name.encode()
        now = datetime.now(UTC)
        if path == "info":
            profile = f"arn:aws:iam::{self._account}:instance-profile/{self._role_name}"
            return _json(Code="Success", LastUpdated=_time(now), InstanceProfileArn=profile)
        if path != f"security-credentials/{self._role_name}":
            return None
        if self._credentials is None:
            return _json(Code="AssumeRoleUnauthorizedAccess", LastUpdated=_time(now))
        return _json(
            Code="Success",
            LastUpdated=_time(now),
            Type="AWS-HMAC",
            AccessKeyId=self._credentials.access_key,
            SecretAccessKey=self._credentials.secret_key,
            Token=self._credentials.token,
            Expiration=_time(self._credentials.expiration),
        )


class _Server(ThreadingHTTPServer):
    """Knows its open connections, so that none is served once it has stopped."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        """Bind the port."""
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, handler)

    def process_request(self, request: _Request, client_address: object) -> None:
        """Remember the connection, and serve it in a thread."""
        if isinstance(request, socket.socket):
            with self._lock:
                self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: _Request) -> None:
        """The connection is over."""
        if isinstance(request, socket.socket):
            with self._lock:
                self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End every connection; their threads then end by themselves."""
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):  # the other side was quicker
                    connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """One connection; the service is set by the class that is made for it."""

    metadata: MetadataService
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_PUT(self) -> None:
        """Give a token."""
        self.metadata.note("PUT", self.path)
        wanted = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if self.path != "/latest/api/token":
            self._reply(HTTPStatus.NOT_FOUND)
        elif "X-Forwarded-For" in self.headers:
            self._reply(HTTPStatus.FORBIDDEN)
        elif not (wanted.isascii() and wanted.isdigit() and 1 <= int(wanted) <= LONGEST_TTL):
            self._reply(HTTPStatus.BAD_REQUEST)
        else:
            self._reply(HTTPStatus.OK, self.metadata.new_token(int(wanted)).encode())

    def do_GET(self) -> None:
        """Give what is at a path, to whoever has a token."""
        self.metadata.note("GET", self.path)
        if not self.metadata.knows(self.headers.get("X-aws-ec2-metadata-token", "")):
            self._reply(HTTPStatus.UNAUTHORIZED)
            return
        found = None
        if self.path.startswith("/latest/"):
            found = self.metadata.answer(self.path.removeprefix("/latest/"))
        if found is None:
            self._reply(HTTPStatus.NOT_FOUND)
        else:
            self._reply(HTTPStatus.OK, found)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing: paths hold role names, and the caller has `requests`."""

    def _reply(self, status: HTTPStatus, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _json(**values: str) -> bytes:
    return json.dumps(values, indent=2).encode()


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
