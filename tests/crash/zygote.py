"""Starts daemons and tools fast: each is forked from a process that has imported everything.

What is forked is a process of its own: pid, file descriptors, environment, threads and fate. What
it shares with the others is what no run changes: Python's modules and botocore's models, read from
files. HTCondor's bindings are left out, because they read the configuration when they are
imported: each process imports them itself. The zygote opens no socket but its own channel, which
its children close, and has one thread.
"""

import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from localcloud.closing import Closing
from tests.crash.points import Crash

__all__ = ["Process", "Zygote"]

_ROOT = Path(__file__).resolve().parents[2]
_MAX_MESSAGE = 64 * 1024
_PATIENCE = 60.0
# Those that are imported late, and with them all that they import.
_MODULES = (
    "htcondor_annex.daemon.annexd",
    "htcondor_annex.daemon.main",
    "htcondor_annex.times",
    "htcondor_annex.tool.client",
    "htcondor_annex.tool.main",
)
_EMPTY: Mapping[str, str] = MappingProxyType({})
_DEFECT = 71


@dataclass(slots=True)
class Process:
    """A process that the zygote forked.

    Attributes:
        pid: Its process id, not used again before `wait` has returned.
        status: As `subprocess` has it: negative is the signal that ended it; None while it runs.
    """

    zygote: "Zygote"
    pid: int
    status: int | None = None
    _end: int = field(init=False)

    def __post_init__(self) -> None:
        """Hold what shows its end without asking the zygote (pidfd_open(2))."""
        self._end = os.pidfd_open(self.pid)

    def poll(self) -> int | None:
        """Return its status, None while it runs."""
        if self.status is None and select.select([self._end], [], [], 0)[0]:
            os.close(self._end)
            self.status = int(self.zygote.ask("reap", pid=self.pid)["status"])
        return self.status

    def wait(self, patience: float = _PATIENCE) -> int:
        """Wait for its end, and return its status."""
        end = time.monotonic() + patience
        while (status := self.poll()) is None:
            if time.monotonic() > end:
                raise TimeoutError(f"process {self.pid} has not ended within {patience} s")
            time.sleep(0.003)
        return status

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send it a signal, if it still runs; it is ours until it is reaped."""
        if self.poll() is None:
            os.kill(self.pid, number)


class Zygote(Closing):
    """The process that forks; use it as a context manager, and from one thread."""

    def __init__(self, configuration: Path | None = None) -> None:
        """Start it.

        Args:
            configuration: All that it starts has this one (CONDOR_CONFIG), and so may have the
                bindings from it; None lets each process import them.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.crash.zygote", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                cwd=_ROOT,
                env={**os.environ, "CONDOR_CONFIG": str(configuration or "")},
            )
        self._channel = ours
        self._channel.settimeout(_PATIENCE)
        self.ask("ready")

    def ask(self, op: str, **given: Any) -> dict[str, Any]:  # noqa: ANN401  (JSON)
        """Have it do something, and return its answer."""
        self._channel.send(json.dumps({"op": op, **given}).encode())
        answer = self._channel.recv(_MAX_MESSAGE)
        if not answer:
            raise RuntimeError("the zygote has ended")
        found: dict[str, Any] = json.loads(answer)
        return found

    def start(
        self,
        program: str,
        argv: Sequence[str],
        *,
        directory: Path,
        environment: Mapping[str, str] = _EMPTY,
        out: Path,
        err: Path,
        crash: Crash | None = None,
    ) -> Process:
        """Start a program.

        Args:
            program: A key of `PROGRAMS`.
            argv: Its arguments.
            directory: Where it works.
            environment: Its own, the whole of it.
            out: A file that its standard output is added to.
            err: The same for its standard error.
            crash: Where it is to die.
        """
        answer = self.ask(
            "start",
            program=program,
            argv=list(argv),
            directory=str(directory),
            environment=dict(environment),
            out=str(out),
            err=str(err),
            crash=None if crash is None else crash.to_wire(),
        )
        return Process(self, answer["pid"])

    def close(self) -> None:
        """End it; again is no error."""
        self._channel.close()
        self._process.wait(_PATIENCE)


# -- the other side ------------------------------------------------------------------------------


def _daemon(argv: Sequence[str]) -> int:
    from htcondor_annex.daemon.main import main  # noqa: PLC0415  (the zygote's side alone)

    return main(argv)


def _tool(argv: Sequence[str]) -> int:
    from htcondor_annex.tool.main import main  # noqa: PLC0415  (as above)

    return main(argv)


PROGRAMS: Mapping[str, Callable[[Sequence[str]], int]] = MappingProxyType(
    {"condor_annexd": _daemon, "condor_annex": _tool}
)


def _share_models() -> None:
    """Load AWS's models once, and let every child have them."""
    from htcondor_annex.annex import Endpoints  # noqa: PLC0415  (as above)
    from htcondor_annex.aws import models  # noqa: PLC0415  (as above)
    from htcondor_annex.aws.clients import Clients  # noqa: PLC0415  (as above)

    loader = models._LeanFileLoader
    load_file = loader.load_file
    loaded: dict[str, Any] = {}

    def load_once(self: Any, file_path: str) -> Any:  # noqa: ANN401  (botocore is untyped)
        if file_path not in loaded:
            loaded[file_path] = load_file(self, file_path)
        return loaded[file_path]

    loader.load_file = load_once  # type: ignore[method-assign]  # the very purpose
    clients = Clients(1, 1)
    clients.spot_fleet_shape()
    clients.partitions()
    clients.warm(Endpoints("us-east-1", *["http://127.0.0.1:9"] * 3))


def _import_all() -> None:
    """Import what the daemon and the tool import, now or later, but for the bindings."""
    for name in _MODULES:
        importlib.import_module(name)
    _share_models()
    if {"htcondor2", "htcondor"} & set(sys.modules):
        raise RuntimeError("the bindings must be imported by each process itself")


def _become(given: Mapping[str, Any]) -> None:
    """Be the process that was asked for."""
    for descriptor, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, given["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        (2, given["err"], os.O_WRONLY | os.O_CREAT | os.O_APPEND),
    ):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.chdir(given["directory"])
    os.environ.clear()
    os.environ.update(given["environment"])
    if given["crash"] is not None:
        from tests.crash import points  # noqa: PLC0415  (as above)

        points.install(Crash(**given["crash"]))


def _run(given: Mapping[str, Any]) -> None:
    status = _DEFECT
    try:
        _become(given)
        status = PROGRAMS[given["program"]](given["argv"])
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        if status == _DEFECT:
            sys.excepthook(*sys.exc_info())
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _start(channel: socket.socket, given: Mapping[str, Any]) -> int:
    pid = os.fork()
    if pid == 0:
        channel.close()
        _run(given)
    return pid


def _serve(channel: socket.socket) -> None:
    """Do as asked until the other end closes; then nothing that was started may run on."""
    running: set[int] = set()
    while request := channel.recv(_MAX_MESSAGE):
        given = json.loads(request)
        answer: dict[str, Any] = {}
        match given.pop("op"):
            case "start":
                answer["pid"] = _start(channel, given)
                running.add(answer["pid"])
            case "reap":
                done, status = os.waitpid(given["pid"], 0)  # it has ended
                answer["status"] = os.waitstatus_to_exitcode(status)
                running.discard(done)
        channel.send(json.dumps(answer).encode())
    for pid in running:
        os.kill(pid, signal.SIGKILL)


def _main(descriptor: int) -> None:
    _import_all()
    if os.environ["CONDOR_CONFIG"]:
        from htcondor_annex import condor  # noqa: PLC0415  (as above)

        condor.version()
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=descriptor) as channel:
        _serve(channel)


if __name__ == "__main__":
    _main(int(sys.argv[1]))
