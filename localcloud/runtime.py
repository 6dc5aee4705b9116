"""One execution environment of AWS Lambda: a process in which a function's events run.

The function's code is unpacked into a directory of its own, and run by AWS's own runtime client
for Python (`awslambdaric`) in the environment that Lambda gives it. As on AWS the process stays
for further events; one that takes too long is killed. After the Lambda Developer Guide,
"Understanding the Lambda execution environment lifecycle" and "Defined runtime environment
variables". Not modelled: the memory's limit (what was used is noted), and Lambda's own Python,
whose place the interpreter takes that runs this.
"""

import base64
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from localcloud.bootstrap import CLOCK
from localcloud.closing import Closing
from localcloud.lambdaapi import Event, Outcome, RuntimeApi

__all__ = ["Credentials", "Function", "Result", "Runtime", "zipped"]

_BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
_START_SECONDS = 60.0
_LOG_TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Credentials:
    """A role's temporary credentials."""

    key: str
    secret: str
    token: str


@dataclass(frozen=True, slots=True)
class Function:
    """A Lambda function.

    Attributes:
        arn: Its ARN.
        code: A ZIP archive; `of_text` makes it of a source.
        handler: Such as `index.handler`.
        timeout: Seconds.
        memory: Megabytes.
        variables: Its environment's.
        role: The ARN of its role; may be empty.
        runtime: Such as `python3.13`.
    """

    arn: str
    code: bytes
    handler: str
    timeout: float = 3.0
    memory: int = 128
    variables: Mapping[str, str] = field(default_factory=dict, hash=False)
    role: str = ""
    runtime: str = "python3.13"

    @classmethod
    def of_text(cls, arn: str, source: str, handler: str, timeout: float, **more: Any) -> Self:  # noqa: ANN401
        """Return the function of one file, as CloudFormation's inlined source makes it."""
        name = handler.partition(".")[0]
        return cls(arn, zipped({f"{name}.py": source}), handler, timeout, **more)

    @property
    def name(self) -> str:
        """Its name."""
        return self.arn.split(":")[6]

    @property
    def region(self) -> str:
        """Its Region."""
        return self.arn.split(":")[3]


def zipped(files: Mapping[str, str]) -> bytes:
    """Return a ZIP archive of texts by their names."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        for name, text in files.items():
            packed.writestr(name, text)
    return archive.getvalue()


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one event.

    Attributes:
        request_id: AWS's id of the invocation.
        payload: JSON: what the handler returned, or the error's `errorType` and `errorMessage`.
        failure: X-Amz-Function-Error; empty if the handler returned.
        log: What the function wrote.
        seconds: That it took.
        memory: The most that its process has ever used, in megabytes.
        limit: The function's memory in megabytes.
    """

    request_id: str
    payload: bytes
    failure: str
    log: str
    seconds: float
    memory: int
    limit: int

    @property
    def value(self) -> Any:  # noqa: ANN401  (JSON)
        """The payload as JSON has it."""
        return json.loads(self.payload)

    @property
    def error(self) -> str:
        """The error's type and message; empty if the handler returned."""
        if not self.failure:
            return ""
        said = self.value
        return ": ".join(said[part] for part in ("errorType", "errorMessage") if said.get(part))

    @property
    def tail(self) -> str:
        """X-Amz-Log-Result: the last 4 KiB of the log with Lambda's own lines, in base64."""
        mine = f"RequestId: {self.request_id}"
        report = (
            f"REPORT {mine}\tDuration: {self.seconds * 1000:.2f} ms\t"
            f"Memory Size: {self.limit} MB\tMax Memory Used: {self.memory} MB"
        )
        whole = f"START {mine} Version: $LATEST\n{self.log}END {mine}\n{report}\n"
        return base64.b64encode(whole.encode()[-_LOG_TAIL_BYTES:]).decode()


class Runtime(Closing):
    """A process of a function; it starts with its first event."""

    def __init__(
        self, function: Function, credentials: Credentials, around: Mapping[str, str]
    ) -> None:
        """Unpack the function.

        Args:
            function: What to run.
            credentials: Its role's.
            around: Further variables, which no function may change; they lead to its AWS.

        Raises:
            zipfile.BadZipFile: If its code is no archive.
        """
        self._function = function
        self._ahead, self._still = 0.0, 0.0
        self._api = RuntimeApi(self._now)
        self._home = tempfile.TemporaryDirectory(prefix="lambda-")
        root = Path(self._home.name)
        task = root / "task"
        with zipfile.ZipFile(io.BytesIO(function.code)) as packed:
            packed.extractall(task)
        self._clock = root / "clock"
        self._set_clock(0.0, 0.0)
        self._log = root / "log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  (our own program)
                [sys.executable, "-I", str(_BOOTSTRAP), str(self._clock), function.handler],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=task,
                env={**self._environment(credentials, task), **around},
                start_new_session=True,
            )
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def warm(self) -> bool:
        """Whether it can take a further event."""
        return self._process.poll() is None

    def invoke(
        self,
        event: bytes,
        *,
        clock_offset: float = 0.0,
        at: float = 0.0,
        timeout: float | None = None,
    ) -> Result:
        """Run one event, and wait for it.

        Args:
            event: JSON.
            clock_offset: Seconds by which the function's clock is ahead.
            at: Epoch seconds at which its clock stands still; 0 lets it run.
            timeout: Seconds; None is the function's own.
        """
        self._set_clock(clock_offset, at)
        limit = self._function.timeout if timeout is None else timeout
        wanted = Event(str(uuid.uuid4()), self._function.arn, event, limit, _trace())
        start = self._log.stat().st_size
        outcome = self._api.run(wanted, _START_SECONDS)
        memory = self._memory()
        if outcome.kind not in ("response", "error"):
            self._kill()
        log = self._log.read_bytes()[start:].decode(errors="replace")
        return Result(
            wanted.request_id,
            _payload(outcome, wanted),
            "" if outcome.kind == "response" else "Unhandled",
            log,
            outcome.seconds,
            memory,
            self._function.memory,
        )

    def close(self) -> None:
        """End the process, and remove what it had."""
        self._kill()
        self._api.close()
        self._home.cleanup()

    def _environment(self, credentials: Credentials, task: Path) -> dict[str, str]:
        """Return what Lambda puts into a function's environment."""
        function = self._function
        return {
            **function.variables,
            "AWS_ACCESS_KEY_ID": credentials.key,
            "AWS_SECRET_ACCESS_KEY": credentials.secret,
            "AWS_SESSION_TOKEN": credentials.token,
            "AWS_DEFAULT_REGION": function.region,
            "AWS_REGION": function.region,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime}",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": f"2026/01/01/[$LATEST]{uuid.uuid4().hex}",
            "AWS_LAMBDA_RUNTIME_API": self._api.address,
            "LAMBDA_RUNTIME_DIR": str(_BOOTSTRAP.parent),
            "LAMBDA_TASK_ROOT": str(task),
            "LANG": "en_US.UTF-8",
            "PATH": os.defpath,
            "TZ": ":UTC",
            "_HANDLER": function.handler,
        }

    def _now(self) -> float:
        return self._still or time.time() + self._ahead

    def _set_clock(self, ahead: float, still: float) -> None:
        self._ahead, self._still = ahead, still
        with self._clock.open("r+b" if self._clock.exists() else "wb") as file:
            file.write(CLOCK.pack(ahead, still))

    def _memory(self) -> int:
        """Return the most memory that the process has used, in megabytes (proc(5), VmHWM)."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return 0
        kilobytes = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(kilobytes[0]) // 1024 if kilobytes else 0  # a process that ended has none

    def _watch(self) -> None:
        """Tell the API when the process ends."""
        status = self._process.wait()
        how = f"exit status {status}" if status >= 0 else f"signal: {signal.strsignal(-status)}"
        self._api.ended(how)

    def _kill(self) -> None:
        if self._process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()


def _payload(outcome: Outcome, event: Event) -> bytes:
    """Return what Lambda answers."""
    if outcome.kind in ("response", "error", "init/error"):
        return outcome.body
    mine = f"RequestId: {event.request_id} Error: "
    if outcome.kind == "timeout":
        said = {
            "errorType": "Sandbox.Timedout",
            "errorMessage": f"{mine}Task timed out after {event.timeout:.2f} seconds",
        }
    else:
        how = outcome.body.decode()
        said = {
            "errorType": "Runtime.ExitError",
            "errorMessage": f"{mine}Runtime exited with error: {how}",
        }
    return json.dumps(said).encode()


def _trace() -> str:
    """Return an X-Ray trace header (X-Ray Developer Guide, "Tracing header")."""
    return f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]};Sampled=0"
