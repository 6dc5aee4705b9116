"""The local cloud's own process: moto, the layer in front of it, and the way to control both.

Control is HTTP under /_localcloud/, JSON in and out, so that any process may use it; see
`localcloud.cloud.LocalCloud`, its client. It listens on the loopback interface alone.
"""

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from moto.backends import get_backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from localcloud import cfn, cfnwork, conform, functionstate, iamcallers, wire
from localcloud.authority import authority
from localcloud.faults import Fault, Layer, StartResponse, WSGIApp
from localcloud.functions import Functions, told
from localcloud.httpd import Server
from localcloud.runtime import Credentials, Function
from localcloud.shared import CONTROL
from localcloud.weather import Weather

__all__ = ["Control", "main", "make"]

_SERVICES = ("ec2", "events", "awslambda", "iam", "s3", "cloudformation", "sts", "logs")
_MAX_CONTROL_BYTES = 1 << 20
_TOKEN = "localcloud-session-token"  # noqa: S105  (opens nothing but the local cloud)


class Control:
    """Routes /_localcloud/ to the layer and the rest through it."""

    def __init__(self, moto: WSGIApp, layer: Layer, functions: Functions) -> None:
        """Stand in front of the layer.

        Args:
            moto: For emptying the cloud.
            layer: What control is about.
            functions: Run by rules and by hand.
        """
        self._moto = moto
        self._layer = layer
        self._functions = functions
        self._routes: dict[tuple[str, str], Callable[[Any], Any]] = {
            ("GET", "ping"): lambda _: "pong",
            ("GET", "requests"): lambda _: layer.seen(),
            ("DELETE", "requests"): lambda _: self._forget(),
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
            ("POST", "stack-pace"): self._set(stack_pace="seconds"),
            ("POST", "fail-resource"): lambda given: layer.alone(
                lambda: cfnwork.fail_resource(**given)
            ),
            ("POST", "forget-ended"): lambda _: layer.alone(conform.forget_ended),
            ("POST", "fire"): lambda given: functions.fire(**given),
            ("POST", "run"): self._run,
            ("POST", "function-state"): lambda given: layer.alone(
                lambda: functionstate.set_state(**given)
            ),
            ("GET", "decided"): lambda _: authority.decided(),
            ("POST", "enforce"): self._enforce,
            ("POST", "role-credentials"): self._role_credentials,
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

    def _run(self, given: Any) -> dict[str, Any]:  # noqa: ANN401  (JSON)
        """Run a function that is deployed nowhere; see `localcloud.rules.invoke`."""
        function = Function.of_text(**given["function"])
        event = json.dumps(given["event"]).encode()
        return told(self._functions.run(function, event, clock_offset=given["clock_offset"]))

    def _forget(self) -> None:
        self._layer.forget()
        authority.forget()

    def _enforce(self, given: Any) -> tuple[str, str]:  # noqa: ANN401  (JSON)
        made = self._layer.alone(lambda: iamcallers.make_user(given["user"], given["policy"]))
        self._hold(given["own"])
        return made

    def _role_credentials(self, given: Any) -> tuple[str, str, str]:  # noqa: ANN401  (JSON)
        key = self._layer.alone(lambda: iamcallers.assume(given["role_arn"]))
        self._hold(given["own"])
        return key.id, key.secret, key.token

    def _hold(self, own: Mapping[str, str]) -> None:
        """Let policies count from now on."""
        if not authority.on:
            self._functions.close()  # those that wait have the cloud's own credentials
        authority.start(own)

    def _reset(self) -> None:
        self._functions.close()
        authority.reset()
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


def make(port: int = 0) -> tuple[Server, Functions]:
    """Return the server, listening on the loopback interface, and what must be closed after it.

    Args:
        port: 0 for any free one.

    Raises:
        OSError: If the port is taken.
    """
    conform.install()
    for name in _SERVICES:
        # Loaded now rather than in the first call, which would be slow.
        get_backend(name)  # type: ignore[call-overload]  # a name of moto's own list
    moto = cfn.advancing(DomainDispatcherApplication(create_backend_app))
    layer = Layer(moto)
    functions = Functions(layer.alone, lambda role: _credentials(layer, role))
    layer.take("lambda", "Invoke", functions.answer)
    server = Server(port, Control(moto, layer, functions))
    functions.endpoint = f"http://127.0.0.1:{server.server_port}"
    return server, functions


def _credentials(layer: Layer, role: str) -> Credentials:
    """Return the credentials of a function: its role's, where it has one and policies count.

    Raises:
        ValueError: If there is no such role.
    """
    if not authority.on or not role:
        return Credentials(*layer.key(), _TOKEN)
    key = layer.alone(lambda: iamcallers.assume(role))
    return Credentials(key.id, key.secret, key.token)


def _end_with_parent() -> None:
    """End this process when its standard input closes, as it does when the parent is gone."""
    while os.read(0, 4096):
        pass
    signal.raise_signal(signal.SIGTERM)


def _end(*_: object) -> None:
    """End, and remove what functions have left."""
    raise KeyboardInterrupt


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
        server, functions = make(options.port)
    except OSError as error:
        sys.stderr.write(f"localcloud: cannot listen on port {options.port}: {error.strerror}\n")
        return 1
    signal.signal(signal.SIGTERM, _end)
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
        functions.close()
    return 0
