"""The layer in front of moto: it records, checks credentials, waits, fails, loses answers, kills.

This is the one place where the cloud misbehaves. What moto does not do as AWS does it is put
right in `localcloud/conform.py`, which never fails on purpose: what AWS itself may do at any time
(capacity that comes late, things that are not seen at once) is set in `localcloud/world.py`.
"""

import dataclasses
import io
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

from localcloud import signatures, wire
from localcloud.authority import authority
from localcloud.iampolicy import PolicyError
from localcloud.kills import Kills
from localcloud.shared import ACCESS_KEY, HIDE, ONLOOKER, SECRET_KEY
from localcloud.weather import Gust, Weather

__all__ = ["Fault", "Layer", "StartResponse", "WSGIApp"]

StartResponse = Callable[..., Any]
WSGIApp = Callable[[wire.Environ, StartResponse], Iterable[bytes]]
Own = Callable[[wire.Call, bytes], wire.Answer]
"""Answers a call, given its body, in moto's place."""
_T = TypeVar("_T")

WHEN = ("before", "after")


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with the next calls of one action.

    Attributes:
        action: Such as `RequestSpotFleet`; `*` is any.
        service: The signing name, such as `ec2`; empty is any.
        code: AWS's error code; empty loses the answer: the connection breaks.
        message: Goes with the code.
        status: HTTP status of the error.
        when: `before` moto acts, so that nothing is done, or `after` it.
        skip: So many calls pass first.
        times: So many calls fail then.
        kill: The process to end with SIGKILL; the answer is lost, whatever the code. 0 is none.
    """

    action: str
    service: str = ""
    code: str = ""
    message: str = "made to fail by the local cloud"
    status: int = 400
    when: str = "before"
    skip: int = 0
    times: int = 1
    kill: int = 0

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            ValueError: Naming the field that is wrong.
        """
        if self.when not in WHEN:
            raise ValueError(f"when is 'before' or 'after', not {self.when!r}")
        if self.status not in [one.value for one in HTTPStatus] or self.status < 300:  # noqa: PLR2004
            raise ValueError(f"status is an HTTP error status, not {self.status!r}")
        if self.skip < 0 or self.times < 1 or not self.action:
            raise ValueError("skip is at least 0, times at least 1, action not empty")
        if self.kill < 0:
            raise ValueError(f"kill is the id of a process, not {self.kill!r}")

    def meets(self, call: wire.Call) -> bool:
        """Whether this fault is about that call."""
        return self.action in ("*", call.action) and self.service in ("", call.service)

    @property
    def name(self) -> str:
        """What `Seen.met` shows: the code, `lost` or `killed`, and `after` if it was after."""
        what = "killed" if self.kill else self.code or "lost"
        return f"{what} after" if self.when == "after" else what


@dataclass(frozen=True, slots=True)
class _Met:
    """What meets one call: `wait` and `hide` in seconds, `name` as `Seen.met` shows it."""

    name: str = ""
    fault: Fault | None = None
    wait: float = 0.0
    hide: float = 0.0


def _of_weather(call: wire.Call, gust: Gust) -> _Met:
    if gust.kind in ("latency", "hidden"):
        return _Met(gust.kind, None, gust.wait, gust.hide)
    fault = Fault(
        call.action,
        code=gust.code,
        status=gust.status or 400,
        message="the weather of the local cloud",
        when="after" if gust.kind.endswith("-after") else "before",
    )
    return _Met(fault.name, fault)


class Layer:
    """A WSGI application around moto's."""

    def __init__(self, moto: WSGIApp, *, pause: Callable[[float], None] = time.sleep) -> None:
        """Stand in front of moto.

        Args:
            moto: The application that answers.
            pause: Waits for so many seconds.
        """
        self._moto = moto
        self._pause = pause
        self._state = threading.Lock()
        # moto is not made for threads. One call at a time also makes a client token safe: two
        # calls with the same one never run at once, as AWS has it.
        self._one_call = threading.Lock()
        self._faults: list[Fault] = []
        self._seen: list[dict[str, Any]] = []
        self._latency: dict[str, float] = {}
        self._keys: dict[str, str] = {}
        self._kills = Kills()
        self._weather: Weather | None = None
        self._own: dict[tuple[str, str], Own] = {}

    # -- control -------------------------------------------------------------------------------

    def add(self, fault: Fault) -> None:
        """Let calls fail from now on.

        Raises:
            ValueError: If the process that it would end cannot be held.
        """
        with self._state:
            if fault.kill:
                self._kills.hold(fault.kill)
            self._faults.append(fault)

    def faults(self) -> list[dict[str, Any]]:
        """Return the faults that still wait for their calls."""
        with self._state:
            return [dataclasses.asdict(fault) for fault in self._faults]

    def clear(self) -> None:
        """Fail and wait no more."""
        with self._state:
            self._faults.clear()
            self._latency.clear()
            self._kills.clear()
            self._weather = None

    def set_weather(self, weather: Weather) -> None:
        """Let calls meet random faults from now on; they are counted anew."""
        with self._state:
            self._weather = weather

    def set_latency(self, seconds: float, action: str = "*") -> None:
        """Let each request, or each call of one action, take so much longer."""
        with self._state:
            self._latency[action] = seconds

    def set_keys(self, keys: Mapping[str, str]) -> None:
        """Take these access keys (id to secret) only; none at all takes any."""
        with self._state:
            self._keys = dict(keys)

    def seen(self) -> list[dict[str, Any]]:
        """Return the calls so far, in the order in which they came."""
        with self._state:
            return [dict(entry) for entry in self._seen]

    def forget(self) -> None:
        """Forget the calls so far."""
        with self._state:
            self._seen.clear()

    def key(self) -> tuple[str, str]:
        """Return an access key id and its secret that are taken."""
        with self._state:
            return next(iter(self._keys.items()), (ACCESS_KEY, SECRET_KEY))

    def take(self, service: str, action: str, answer: Own) -> None:
        """Answer an action outside of moto, which other calls may enter meanwhile."""
        self._own[service, action] = answer

    def alone(self, work: Callable[[], _T]) -> _T:
        """Do something to moto while no call is in it; return what it gives."""
        with self._one_call:
            return work()

    # -- answering -----------------------------------------------------------------------------

    def __call__(self, environ: wire.Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (WSGI)."""
        body = environ["wsgi.input"].read()
        call = wire.read(environ, body)
        entry = {
            "service": call.service,
            "action": call.action,
            "region": call.region,
            "access_key": call.access_key,
            "parameters": call.parameters,
            "time": time.time(),
            "status": 0,
            "met": "",
        }
        onlooker = ONLOOKER in environ.get("HTTP_USER_AGENT", "")
        wait = 0.0
        with self._state:
            keys = self._keys
            if not onlooker:
                self._seen.append(entry)
                wait = self._latency.get(call.action, self._latency.get("*", 0.0))
        if wait:
            self._pause(wait)
        secret_of = authority.secret if authority.on else None
        answer = signatures.refusal(call, environ, body, keys, secret_of)
        if answer is None:
            met = _Met() if onlooker else self._meet(call)
            entry["met"] = met.name
            answer = self._answer(call, environ, body, met)
        with self._state:
            entry["status"] = answer.status if answer else 0
        if answer is None:
            return []  # with no start_response, our server breaks the connection off
        headers = list(answer.headers)
        if not any(name.lower() == "content-length" for name, _ in headers):
            headers.append(("Content-Length", str(len(answer.body))))
        start_response(answer.line, headers)
        return [answer.body]

    def _answer(
        self, call: wire.Call, environ: wire.Environ, body: bytes, met: "_Met"
    ) -> wire.Answer | None:
        """Return what to answer; None is no answer at all."""
        if met.wait:
            self._pause(met.wait)
        if met.hide:
            environ = {**environ, HIDE: str(met.hide)}
        fault = met.fault
        if fault is None:
            return self._ask(call, environ, body)
        if fault.when == "after":
            self._ask(call, environ, body)
        if fault.kill:
            self._kills.end(fault.kill)
            return None
        if not fault.code:
            return None
        return wire.error(call.protocol, fault.code, fault.message, fault.status)

    def _meet(self, call: wire.Call) -> "_Met":
        """Return what meets this call, and count it: a fault that was asked for, or the weather."""
        with self._state:
            gust = self._weather.meet(call) if self._weather else None
            fault = self._next(call)
        if fault is not None or gust is None:
            return _Met(fault.name if fault else "", fault)
        return _of_weather(call, gust)

    def _next(self, call: wire.Call) -> Fault | None:
        for index, fault in enumerate(self._faults):
            if not fault.meets(call):
                continue
            if fault.skip:
                self._faults[index] = dataclasses.replace(fault, skip=fault.skip - 1)
                continue
            if fault.times > 1:
                self._faults[index] = dataclasses.replace(fault, times=fault.times - 1)
            else:
                del self._faults[index]
            return fault
        return None

    def _ask(self, call: wire.Call, environ: wire.Environ, body: bytes) -> wire.Answer:
        """Return moto's answer, or AWS's refusal of whoever may not ask."""
        if not authority.on:
            return self._ask_moto(call, environ, body)
        with authority.answering(call) as who:
            try:
                refused = self.alone(lambda: authority.refusal(call, who))
            except PolicyError as error:
                return wire.error(call.protocol, "InternalError", f"localcloud: {error}", 500)
            return refused or self._ask_moto(call, environ, body)

    def _ask_moto(self, call: wire.Call, environ: wire.Environ, body: bytes) -> wire.Answer:
        own = self._own.get((call.service, call.action))
        if own is not None:
            return own(call, body)
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], *_: object) -> None:
            started.append((status, headers))

        inner = {**environ, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        try:
            with self._one_call:
                answer = b"".join(self._moto(inner, start_response))
        except NotImplementedError as error:
            return wire.error(call.protocol, "NotImplemented", f"moto: {error}", 501)
        except Exception as error:  # noqa: BLE001  (whatever moto trips over is AWS's 500)
            sys.stderr.write(f"moto failed in {call.service} {call.action}:\n")
            traceback.print_exc()
            return wire.error(call.protocol, "InternalError", f"moto: {error!r}", 500)
        status, headers = started[-1]
        return wire.Answer(int(status.split()[0]), tuple(headers), answer)
