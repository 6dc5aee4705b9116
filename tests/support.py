"""What several tests need: a daemon as a real process, the tool, a lease function in the cloud."""

import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from htcondor_annex.tool.client import exchange
from localcloud import LocalCloud

ROOT = Path(__file__).resolve().parents[1]
ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
REGION = "us-east-1"
ACCOUNT = "123456789012"
FUNCTION_ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:annex-lease"
SWEEP_RULE = "the-sweep"
_PATIENCE = 30.0
_SERVES = ") serves "
_T = TypeVar("_T")


def wait_for(look: Callable[[], _T], what: str, patience: float = _PATIENCE) -> _T:
    """Return the first true value that `look` gives; fail when there is none in time."""
    end = time.monotonic() + patience
    while True:
        if found := look():
            return found
        assert time.monotonic() < end, f"no {what} within {patience} s"
        time.sleep(0.02)


def make_lease_function(cloud: LocalCloud, *, allowed: bool = True, region: str = REGION) -> str:
    """Put a function of the tests' ARN into the cloud, and return the ARN.

    Args:
        cloud: Where.
        allowed: Whether EventBridge may run it for annexes' rules.
        region: Where; the ARN has it.
    """
    role = cloud.client("iam", looks=True).create_role(
        RoleName=f"lease-{region}", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17"})
    )
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("index.py", "def handler(event, context):\n    return None\n")
    cloud.client("lambda", region=region, looks=True).create_function(
        FunctionName="annex-lease",
        Runtime="python3.13",
        Role=role["Role"]["Arn"],
        Handler="index.handler",
        Code={"ZipFile": archive.getvalue()},
    )
    if allowed:
        allow(cloud, region=region)
    return FUNCTION_ARN.replace(REGION, region)


def allow(
    cloud: LocalCloud,
    rule: str = "htcondor-annex-*",
    *,
    account: str = ACCOUNT,
    principal: str = "events.amazonaws.com",
    region: str = REGION,
) -> None:
    """Let the tests' lease function be run for some rules, as its stack's template does."""
    cloud.client("lambda", region=region, looks=True).add_permission(
        FunctionName=FUNCTION_ARN.replace(REGION, region),
        StatementId=f"run-{rule.rstrip('*')}",
        Action="lambda:InvokeFunction",
        Principal=principal,
        SourceArn=f"arn:aws:events:{region}:{ACCOUNT}:rule/{rule}",
        SourceAccount=account,
    )


def make_sweep(
    cloud: LocalCloud,
    *,
    schedule: str = "rate(5 minutes)",
    state: str = "ENABLED",
    told: object = MappingProxyType({"Sweep": True}),
    allowed: bool = True,
) -> None:
    """Put the rule of a sweep by the tests' lease function into the cloud."""
    events = cloud.client("events", looks=True)
    events.put_rule(Name=SWEEP_RULE, ScheduleExpression=schedule, State=state)
    text = json.dumps(dict(told) if isinstance(told, Mapping) else told)
    target = {"Id": "sweep", "Arn": FUNCTION_ARN, "Input": text}
    events.put_targets(Rule=SWEEP_RULE, Targets=[target])
    if allowed:
        allow(cloud, SWEEP_RULE)


def console_config(**changes: Any) -> dict[str, Any]:  # noqa: ANN401  (JSON)
    """Return a small Spot Fleet configuration, with changes; None takes a field away."""
    config: dict[str, Any] = {
        "IamFleetRole": "arn:aws:iam::123456789012:role/aws-ec2-spot-fleet-tagging-role",
        "AllocationStrategy": "lowestPrice",
        "TargetCapacity": 2,
        "LaunchSpecifications": [{"ImageId": "ami-12345678", "InstanceType": "m5.large"}],
    }
    config.update(changes)
    return {name: value for name, value in config.items() if value is not None}


class Annexd:
    """A condor_annexd that runs on its own, in a directory of its own."""

    def __init__(self, directory: Path, endpoint: str, knobs: Mapping[str, str]) -> None:
        """Write its configuration, and the caller's key files."""
        self.directory = directory
        self.socket = directory / "annexd.sock"
        self.log = directory / "terminal"
        self.process: subprocess.Popen[bytes] | None = None
        self.configure(
            {
                "LOG": str(directory),
                "LOCK": str(directory),
                "SPOOL": str(directory),
                "ANNEX_DEFAULT_EC2_URL": endpoint,
                "ANNEX_DEFAULT_CWE_URL": endpoint,
                "ANNEX_DEFAULT_LAMBDA_URL": endpoint,
                # Short waits; looks of its own only where a test is about them.
                "ANNEXD_RETRY_TIME": "8",
                "ANNEXD_CONFIRM_TIME": "2",
                "ANNEXD_POLL_INTERVAL": "3600",
                "ANNEXD_RECONCILE_INTERVAL": "3600",
                **knobs,
            }
        )
        self.access_key = self.write_key("access", ACCESS_KEY)
        self.secret_key = self.write_key("secret", SECRET_KEY)

    def configure(self, knobs: Mapping[str, str]) -> None:
        """Write the configuration anew."""
        self.knobs = dict(knobs)
        lines = [f"{name} = {value}\n" for name, value in self.knobs.items()]
        (self.directory / "condor_config").write_text("".join(lines))

    @property
    def environment(self) -> dict[str, str]:
        """What the daemon and the tool are started with."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        return {
            **kept,
            "CONDOR_CONFIG": str(self.directory / "condor_config"),
            # A machine may have no user to become; the pool's tests see root given up.
            **({"CONDOR_IDS": "0.0"} if os.geteuid() == 0 else {}),
        }

    def write_key(self, name: str, content: str, mode: int = 0o600) -> Path:
        """Write a key file."""
        path = self.directory / name
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w") as file:
            file.write(content + "\n")
        path.chmod(mode)
        return path

    def start(self) -> None:
        """Start it, and wait until it serves."""
        served = self.log.read_text().count(_SERVES) if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "htcondor_annex.daemon.main", "-f", "-t"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                cwd=self.directory,
            )
        wait_for(lambda: self._serves(served), "serving daemon")

    def _serves(self, before: int) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.said()
        return self.said().count(_SERVES) > before

    def said(self) -> str:
        """Return its log."""
        return self.log.read_text()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it, and return its exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(_PATIENCE)

    def tool_command(self, *arguments: str) -> list[str]:
        """Return the tool's command line with the usual keys and function."""
        given = ["-access", str(self.access_key), "-secret", str(self.secret_key)]
        given += ["-lease-function-arn", FUNCTION_ARN, *arguments]
        return [sys.executable, "-m", "htcondor_annex.tool.main", *given]

    def tool(
        self, *arguments: str, stdin: bytes = b"", keys: bool = True, arn: str | None = FUNCTION_ARN
    ) -> "Ended":
        """Run condor_annex."""
        given = [*arguments]
        if keys:
            given[:0] = ["-access", str(self.access_key), "-secret", str(self.secret_key)]
        if arn is not None:
            given[:0] = ["-lease-function-arn", arn]
        return run([sys.executable, "-m", "htcondor_annex.tool.main", *given], self, stdin)

    def plain(self, *arguments: str) -> "Ended":
        """Run condor_annex with nothing but these arguments."""
        return self.tool(*arguments, keys=False, arn=None)

    def status(self, name: str) -> dict[str, Any]:
        """Return what the daemon tells the caller of one annex of his; empty if there is none."""
        event = exchange(str(self.socket), "GET", f"/v1/annexes?name={name}", None)
        annexes = next(event)["annexes"]
        return dict(annexes[0]) if annexes else {}

    def ask(self, config: Mapping[str, Any], *arguments: str, **how: Any) -> "Ended":  # noqa: ANN401
        """Run condor_annex with a configuration on its standard input."""
        return self.tool(*arguments, "-", stdin=json.dumps(config).encode(), **how)


class Ended:
    """A program that has ended: its status and what it said."""

    def __init__(self, status: int, out: str, err: str) -> None:
        """Hold them."""
        self.status = status
        self.out = out
        self.err = err


def run(command: Sequence[str], annexd: Annexd, stdin: bytes = b"") -> Ended:
    """Run a program in a daemon's environment."""
    done = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        env=annexd.environment,
        timeout=120,
        check=False,
        cwd=annexd.directory,
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())
