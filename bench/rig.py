"""What is measured: the project as its users install it, and a daemon of it."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from localcloud import LocalCloud
from localcloud.pool import built_wheel

__all__ = [
    "CONFIG",
    "KEYS",
    "Asked",
    "Daemon",
    "Installed",
    "cloud_port",
    "installed",
    "own_environment",
]

CONFIG = Path(__file__).resolve().parents[1] / "templates" / "config.json"
"""The configuration that is asked for: the project's own example."""
KEYS = ("AKIAIOSFODNN7EXAMPLE", "bench/of/no/account/whatsoever/EXAMPLEKEY")
"""An access key id and its secret, which open nothing."""
_PATIENCE = 30.0
_INSTALL_SECONDS = 600


def own_environment() -> dict[str, str]:
    """Return this process's environment without what would change what is measured."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "PYTHON", "_CONDOR_")) and name != "CONDOR_CONFIG"
    }


def cloud_port(cloud: LocalCloud) -> int:
    """Return the port that a local cloud listens on."""
    port = urlsplit(cloud.endpoint).port
    if port is None:
        raise RuntimeError(f"{cloud.endpoint} names no port")
    return port


class Installed:
    """A virtual environment that has the project's wheel, and shares nothing with ours."""

    def __init__(self, directory: Path, wheel: Path) -> None:
        """Name its programs, and the wheel."""
        self.wheel = wheel
        self.python = str(directory / "bin" / "python")
        self.tool = str(directory / "bin" / "condor_annex")
        self.daemon = str(directory / "bin" / "condor_annexd")


@contextmanager
def installed() -> Iterator[Installed]:
    """Build the project's wheel, and install it with all that tool and daemon need."""
    with tempfile.TemporaryDirectory(prefix="annex-bench-") as name:
        directory = Path(name)
        wheel = built_wheel(directory / "wheel")
        subprocess.run([sys.executable, "-m", "venv", directory / "venv"], check=True)
        made = Installed(directory / "venv", wheel)
        subprocess.run(
            [made.python, "-m", "pip", "install", "-qq", f"{wheel}[tool,daemon]"],
            check=True,
            timeout=_INSTALL_SECONDS,
            env=own_environment(),
        )
        yield made


class Asked:
    """What one run of condor_annex came to.

    Attributes:
        began: When the process was started, epoch seconds.
        seconds: From then until the Spot Fleet ID was there.
        fleet: That ID.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Run it.

        Raises:
            RuntimeError: If it fails, with what it said.
        """
        with tempfile.TemporaryFile() as errors:
            self.began = time.time()
            started = time.perf_counter()
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                cwd="/",
            )
            assert process.stdout is not None  # noqa: S101  (for mypy: a pipe was asked for)
            self.fleet = process.stdout.readline().decode().strip()
            self.seconds = time.perf_counter() - started
            process.stdout.close()
            if process.wait(_PATIENCE) or not self.fleet.startswith("sfr-"):
                errors.seek(0)
                raise RuntimeError(f"condor_annex failed: {errors.read().decode()}")


class Daemon:
    """A condor_annexd on its own, in a directory of its own; use it as a context manager."""

    def __init__(
        self,
        program: Installed,
        endpoint: str,
        function: str,
        knobs: Mapping[str, str] | None = None,
    ) -> None:
        """Start it, and wait until it takes callers; `socket` is where it does.

        Args:
            program: What to start.
            endpoint: Where it reaches the local cloud, which takes any keys.
            function: The lease function's ARN.
            knobs: In place of the bench's own.

        Raises:
            RuntimeError: If it does not start, with what it said.
        """
        self._program = program
        self._place = tempfile.TemporaryDirectory(prefix="annex-bench-")
        directory = Path(self._place.name)
        self.socket = str(directory / "annexd.sock")
        self._log = directory / "terminal"
        settings = {
            **dict.fromkeys(("LOG", "LOCK", "SPOOL"), str(directory)),
            **{f"ANNEX_DEFAULT_{name}_URL": endpoint for name in ("EC2", "CWE", "LAMBDA")},
            "ANNEX_DEFAULT_ACCESS_KEY_FILE": str(directory / "access-key"),
            "ANNEX_DEFAULT_SECRET_KEY_FILE": str(directory / "secret-key"),
            "ANNEX_DEFAULT_SFR_LEASE_FUNCTION_ARN": function,
            # What is measured here is not how the daemon looks after its annexes.
            "ANNEXD_POLL_INTERVAL": "3600",
            "ANNEXD_RECONCILE_INTERVAL": "3600",
            **(knobs or {}),
        }
        text = "".join(f"{name} = {value}\n" for name, value in settings.items())
        (directory / "condor_config").write_text(text)
        for name, key in zip(("access-key", "secret-key"), KEYS, strict=True):
            descriptor = os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(key)
        self.environment = {
            **own_environment(),
            "CONDOR_CONFIG": str(directory / "condor_config"),
            # Run as root on a machine that may have no user condor to become.
            **({"CONDOR_IDS": "0.0"} if os.geteuid() == 0 else {}),
        }
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [program.daemon, "-f", "-t"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                cwd=directory,
            )
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + _PATIENCE
        while not self._takes_callers():
            if self._process.poll() is not None or time.monotonic() > end:
                said = self._log.read_text()
                self._stop()
                raise RuntimeError(f"condor_annexd did not start: {said}")
            time.sleep(0.02)

    def _takes_callers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as caller:
            try:
                caller.connect(self.socket)
            except OSError:
                return False
        return True

    @property
    def pid(self) -> int:
        """Its main process."""
        return self._process.pid

    def ask(self) -> Asked:
        """Run condor_annex on the example, with everything else from the knobs."""
        return Asked([self._program.tool, str(CONFIG)], self.environment)

    def _stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(_PATIENCE)
        self._place.cleanup()

    def __enter__(self) -> Self:
        """Return this daemon."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it."""
        self._stop()
