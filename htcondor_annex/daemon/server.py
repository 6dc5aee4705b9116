"""The local door: HTTP with JSON on a Unix socket, version 1 of the API (see `wire`).

Who calls is known from the kernel (SO_PEERCRED). Nothing a caller sends, or fails to send, holds
the daemon: bodies, headers, connections and times have limits.
"""

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from htcondor_annex import strictjson
from htcondor_annex.annex import Annex, Owner
from htcondor_annex.daemon.keyreader import user_name
from htcondor_annex.daemon.service import Service, Tell
from htcondor_annex.errors import AccessRefusedError, AnnexError, BusyError, KnobError, RequestError
from htcondor_annex.forms import annex_to_wire, duration_from_wire, request_from_wire
from htcondor_annex.wire import ANNEXES_PATH, MAX_BODY

__all__ = ["SocketHeldError", "claim_socket", "serve"]

_log = logging.getLogger(__name__)

MAX_CONNECTIONS = 512
_BACKLOG = 1024  # a caller beyond it is told EAGAIN by the kernel, and tries again
_ACCEPTED_AT_ONCE = 8
REQUEST_SECONDS = 10.0
"""A request must be there, whole, this long after its connection."""
_BUSY_SECONDS = 1.0
_MAX_LINE = 8190
_MAX_PATH = 107  # sockaddr_un.sun_path, unix(7)

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class SocketHeldError(KnobError):
    """Another annexd serves this socket."""


def claim_socket(path: str) -> tuple[socket.socket, int]:
    """Bind the daemon's socket, for every local user to connect to.

    Returns:
        The listening socket, and the descriptor of a lock to keep open: it tells a living daemon's
        socket from one left over.

    Raises:
        SocketHeldError: If another daemon serves it.
        KnobError: If it cannot be made.
    """
    if len(os.fsencode(path)) > _MAX_PATH:
        raise KnobError(
            f"ANNEXD_SOCKET: {path} is longer than {_MAX_PATH} bytes, the kernel's limit"
        )
    try:
        lock = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise SocketHeldError(f"another annexd serves {path}") from error
        Path(path).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(
            0o111
        )  # connecting needs write permission; who may do what is asked later
        try:
            listener.bind(path)
        finally:
            os.umask(before)
    except OSError as error:
        raise KnobError(
            f"ANNEXD_SOCKET: {path} cannot be made: {error.strerror}",
            advice="Its directory must exist and be writable for the user annexd runs as.",
        ) from error
    listener.settimeout(0)  # for the event loop
    return listener, lock


def _caller(request: web.Request) -> Owner:
    transport = request.transport
    peer = None if transport is None else transport.get_extra_info("socket")
    if peer is None:
        raise AccessRefusedError("the caller has gone")
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return Owner(uid=uid, name=user_name(uid))


def _json_line(event: Mapping[str, Any]) -> bytes:
    return json.dumps(event).encode() + b"\n"


class _Api:
    """The handlers."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def create(self, request: web.Request) -> web.StreamResponse:
        owner = _caller(request)
        asked = request_from_wire(await _document(request))
        return await self._tell(request, lambda tell: self._service.create(owner, asked, tell))

    async def change(self, request: web.Request) -> web.StreamResponse:
        owner, name = _caller(request), request.match_info["name"]
        duration = duration_from_wire(await _document(request))
        return await self._tell(
            request, lambda tell: self._service.update_lease(owner, name, duration, tell)
        )

    async def end(self, request: web.Request) -> web.StreamResponse:
        owner, name = _caller(request), request.match_info["name"]
        return await self._tell(request, lambda tell: self._service.end(owner, name, tell))

    async def annexes(self, request: web.Request) -> web.StreamResponse:
        found = self._service.annexes_of(_caller(request), request.query.get("name"))
        return web.json_response({"annexes": [annex_to_wire(*pair) for pair in found]})

    async def _tell(
        self, request: web.Request, do: Callable[[Tell], Coroutine[Any, Any, Annex]]
    ) -> web.StreamResponse:
        """Do something, and stream what happens as JSON lines."""
        events: asyncio.Queue[Mapping[str, Any] | None] = asyncio.Queue()
        work = asyncio.create_task(do(events.put_nowait))
        work.add_done_callback(lambda _: events.put_nowait(None))
        first = await events.get()
        if first is None:  # refused before anything was begun
            error_or_none = work.exception()
            if isinstance(error_or_none, AnnexError):
                raise error_or_none
        response = web.StreamResponse(headers={"Content-Type": "application/jsonl"})
        response.force_close()
        # A caller who leaves is no reason to stop: the annex is promised.
        with contextlib.suppress(ConnectionResetError):
            await response.prepare(request)
            while first is not None:
                await response.write(_json_line(first))
                first = await events.get()
            await response.write(_json_line(self._outcome(work)))
            await response.write_eof()
        return response

    @staticmethod
    def _outcome(work: "asyncio.Task[Any]") -> Mapping[str, Any]:
        error = work.exception()
        if error is None:
            return {"annex": annex_to_wire(work.result())}
        return {"error": _as_annex_error(error).to_wire()}


async def _document(request: web.Request) -> Any:  # noqa: ANN401  (JSON, not yet checked)
    try:
        return strictjson.loads(await request.read())
    except strictjson.JsonError as error:
        raise RequestError(f"the request is not JSON: {error}") from error


def _as_annex_error(error: BaseException) -> AnnexError:
    if isinstance(error, AnnexError):
        return error
    _log.error("a defect: %r", error, exc_info=error)
    return AnnexError(
        f"annexd failed: {type(error).__name__}", advice="This is a defect; its log tells more."
    )


@web.middleware
async def _errors(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Answer every error in the wire's form."""
    try:
        response = await handler(request)
    except web.HTTPRequestEntityTooLarge:
        too_large = RequestError(f"the request is larger than {MAX_BODY} bytes")
        response = web.json_response({"error": too_large.to_wire()}, status=413)
    except web.HTTPException as error:
        wrong = RequestError(f"{request.method} {request.path[:200]}: {error.reason}")
        response = web.json_response({"error": wrong.to_wire()}, status=error.status)
    except AnnexError as error:
        response = web.json_response({"error": error.to_wire()}, status=error.http_status)
    except Exception as error:  # noqa: BLE001  (the last resort: logged with its trace, and answered)
        defect = _as_annex_error(error)
        response = web.json_response({"error": defect.to_wire()}, status=defect.http_status)
    response.force_close()
    return response


class _Busy(asyncio.Protocol):
    """Answers a connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        error = BusyError(f"annexd has {MAX_CONNECTIONS} callers", advice="Try again in a moment.")
        body = _json_line({"error": error.to_wire()})
        head = f"HTTP/1.1 503 Service Unavailable\r\nContent-Length: {len(body)}\r\n"
        if isinstance(transport, asyncio.WriteTransport):
            transport.write(head.encode() + b"Connection: close\r\n\r\n" + body)
            # Closed while the caller still sends, he would see a broken pipe and no answer.
            asyncio.get_running_loop().call_later(_BUSY_SECONDS, transport.abort)


async def serve(listener: socket.socket, service: Service) -> Callable[[], Awaitable[None]]:
    """Serve the API on a socket that is bound.

    Returns:
        What stops serving: new callers are refused at once, those being answered are answered.
    """
    arrived: set[asyncio.BaseProtocol] = set()

    @web.middleware
    async def whole(request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Have the body whole before the handler runs, and tell the timer so."""
        await request.read()
        arrived.add(request.protocol)
        try:
            return await handler(request)
        finally:
            arrived.discard(request.protocol)

    api = _Api(service)
    app = web.Application(middlewares=[_errors, whole], client_max_size=MAX_BODY)
    app.router.add_post(ANNEXES_PATH, api.create)
    app.router.add_get(ANNEXES_PATH, api.annexes)
    app.router.add_patch(ANNEXES_PATH + "/{name}", api.change)
    app.router.add_delete(ANNEXES_PATH + "/{name}", api.end)
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        max_line_size=_MAX_LINE,
        max_field_size=_MAX_LINE,
        shutdown_timeout=5.0,
    )
    await runner.setup()
    http = runner.server
    if http is None:
        raise RuntimeError("aiohttp's runner has no server")
    loop = asyncio.get_running_loop()

    def accept() -> asyncio.BaseProtocol:
        if len(http.connections) >= MAX_CONNECTIONS:
            return _Busy()
        protocol = http()
        loop.call_later(REQUEST_SECONDS, expire, protocol)
        return protocol

    def expire(protocol: web.RequestHandler) -> None:
        if protocol not in arrived and protocol.transport is not None:
            protocol.transport.abort()

    # asyncio accepts a whole backlog in one go, before it counts: a small one keeps the limit.
    door = await loop.create_unix_server(accept, sock=listener, backlog=_ACCEPTED_AT_ONCE)
    listener.listen(_BACKLOG)

    async def stop() -> None:
        door.close()
        await runner.cleanup()

    return stop
