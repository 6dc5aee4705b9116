"""The local cloud's own process: moto, the layer in front of it, and the way to control both.

Control is HTTP under /_localcloud/, JSON in and out, so that any process may use it; see
`localcloud.cloud.LocalCloud`, its client. It listens on the loopback interface alone.
"""

import argparse
import json
import os
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from moto.backends import get_backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from localcloud import conform, wire
from localcloud.faults import Fault, Layer, StartResponse, WSGIApp
from localcloud.httpd import Server
from localcloud.shared import CONTROL
from localcloud.weather import Weather

__all__ = ["Control", "main", "make"]

_SERVICES = ("ec2", "events", "awslambda", "iam", "s3", "cloudformation", "sts", "logs")
_MAX_CONTROL_BYTES = 1 << 20


class Control:
    """Routes /_localcloud/ to the layer and the rest through it."""

    def __init__(self, moto: WSGIApp, layer: Layer) -> None:
        """Stand in front of the layer.

        Args:
            moto: For emptying the cloud.
            layer: What control is about.
        """
        self._moto = moto
        self._layer = layer
        self._routes: dict[tuple[str, str], Callable[[Any], Any]] = {
            ("GET", "ping"): lambda _: "pong",
            ("GET", "requests"): lambda _: layer.seen(),
            ("DELETE", "requests"): lambda _: layer.forget(),
            ("GET", "faults"): lambda _: layer.faults(),
            ("POST", "faults"): lambda given: layer.add(Fault(**given)),
            ("DELETE", "faults"): lambda _: self._calm(),
            ("POST", "weather"): lambda given: layer.set_weather(Weather(**given)),
            ("POST", "latency"): lambda given: layer.set_latency(**given),
            ("POST", "access-keys"): layer.set_keys,
            ("POST", "capacity"): self._set("most", "delay", "step"),
            ("POST", "hide"): self._set(hide="seconds"),
            ("POST", "slow-end"): self._set(slow_end="seconds"),
            ("POST", "page-size"): self._set(page_size="size"),
            ("POST", "forget-ended"): lambda _: layer.alone(conform.forget_ended),
            ("POST", "reset"): lambda _: self._reset(),
        }

    def _set(self, *same: str, **names: str) -> Callable[[Any], None]:
        """Return what sets settings of the world, by what they are called in the request."""
        names |= dict(zip(same, same, strict=True))

        def change(given: Any) -> None:  # noqa: ANN401  (JSON)
            settings = {name: given[asked] for name, asked in names.items()}
            self._layer.alone(lambda: conform.set_world(**settings))

        return change

    def _calm(self) -> None:
        self._layer.clear()
        self._layer.alone(conform.calm)

    def _reset(self) -> None:
        self._layer.clear()
        self._layer.alone(self._empty)
        self._layer.forget()

    def _empty(self) -> None:
        conform.reset()
        for name in _SERVICES:
            get_backend(name).reset()  # type: ignore[call-overload]  # a name of moto's own list

    def __call__(self, environ: wire.Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (WSGI)."""
        path = environ.get("PATH_INFO", "")
        if not path.startswith(CONTROL):
            if path.startswith("/moto-api/"):
                return self._moto(environ, start_response)
            return self._layer(environ, start_response)
        route = self._routes.get((environ["REQUEST_METHOD"], path.removeprefix(CONTROL)))
        raw = environ["wsgi.input"].read(_MAX_CONTROL_BYTES)
        try:
            if route is None:
                raise LookupError(f"no {environ['REQUEST_METHOD']} {path}")  # noqa: TRY301
            answer, status = route(json.loads(raw or b"{}")), "200 OK"
        except (LookupError, TypeError, ValueError) as error:
            answer, status = {"error": str(error)}, "400 Bad Request"
        body = json.dumps(answer).encode()
        start_response(
            status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        )
        return [body]


def make(port: int = 0) -> Server:
    """Return the server, listening on the loopback interface.

    Args:
        port: 0 for any free one.

    Raises:
        OSError: If the port is taken.
    """
    conform.install()
    for name in _SERVICES:
        # Loaded now rather than in the first call, which would be slow.
        get_backend(name)  # type: ignore[call-overload]  # a name of moto's own list
    moto = DomainDispatcherApplication(create_backend_app)
    return Server(port, Control(moto, Layer(moto)))


def _end_with_parent() -> None:
    """End this process when its standard input closes, as it does when the parent is gone."""
    while os.read(0, 4096):
        pass
    os._exit(0)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until stopped; print the endpoint first.

    Args:
        argv: Arguments; None takes those of the process.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m localcloud", description=__doc__)
    parser.add_argument("-port", type=int, default=0, help="port to listen on; default any")
    parser.add_argument(
        "-until-eof", action="store_true", help="end when the standard input closes"
    )
    options = parser.parse_args(argv)
    # moto answers for AWS; real credentials of the user's must never matter here.
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    # Thousands of images that nobody asks for would cost 200 ms at every reset.
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
    try:
        server = make(options.port)
    except OSError as error:
        sys.stderr.write(f"localcloud: cannot listen on port {options.port}: {error.strerror}\n")
        return 1
    if options.until_eof:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        return 0
    finally:
        server.server_close()
    return 0
