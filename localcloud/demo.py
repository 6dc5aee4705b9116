"""`make demo`: the life of an annex in the local cloud, told stage by stage.

Everything is real but AWS: the daemon, the tool, the instance's agent and the lease function run
as processes, and speak HTTP. No root, no AWS account and no HTCondor installation is needed.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from localcloud import LocalCloud, rules, stacks
from localcloud.imds import MetadataService, RoleCredentials

__all__ = ["main"]

_ROOT = Path(__file__).resolve().parents[1]
_LEASE = 15  # seconds
_BUCKET, _KEY = "annex-demo-bucket", "config-demo/50annex"
_OBJECT = b"""\
COLLECTOR_HOST = pool.example.org
AnnexName = "demo"
STARTD_ATTRS = $(STARTD_ATTRS) AnnexName
"""
_PATIENCE = 30.0


class _Story:
    """Tells each stage in a line with the time since the start."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def tell(self, text: str) -> None:
        """Print a stage."""
        print(f"[{time.monotonic() - self._began:5.1f} s] {text}", flush=True)  # noqa: T201  (a story)

    @staticmethod
    def show(text: str) -> None:
        """Print what a program said or what was found, indented."""
        for line in text.splitlines():
            print(f"            {line}", flush=True)  # noqa: T201  (a story)


def _own_environment() -> dict[str, str]:
    """Return this process's environment without AWS's variables."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}


def _run(command: Sequence[str], environment: Mapping[str, str]) -> tuple[str, str]:
    """Run one of the project's programs, which must succeed; return what it said."""
    done = subprocess.run(  # noqa: S603  (our own programs)
        [sys.executable, "-m", *command],
        env={**_own_environment(), "PYTHONPATH": str(_ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=_PATIENCE,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout, done.stderr


def _configure(directory: Path, endpoint: str, function: str) -> dict[str, str]:
    """Write the daemon's configuration and the keys; return the environment that names it."""
    knobs = {
        **dict.fromkeys(("LOG", "LOCK", "SPOOL"), str(directory)),
        **{f"ANNEX_DEFAULT_{name}_URL": endpoint for name in ("EC2", "CWE", "LAMBDA")},
        "ANNEX_DEFAULT_ACCESS_KEY_FILE": str(directory / "access-key"),
        "ANNEX_DEFAULT_SECRET_KEY_FILE": str(directory / "secret-key"),
        "ANNEX_DEFAULT_SFR_LEASE_FUNCTION_ARN": function,
    }
    text = "".join(f"{name} = {value}\n" for name, value in knobs.items())
    (directory / "condor_config").write_text(text)
    for name, key in (("access-key", "AKIAIOSFODNN7EXAMPLE"), ("secret-key", "not-a-real-secret")):
        descriptor = os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(key)
    # Where the demo runs as root there may be no user condor to become.
    root = {"CONDOR_IDS": "0.0"} if os.geteuid() == 0 else {}
    return {"CONDOR_CONFIG": str(directory / "condor_config"), **root}


def _start_daemon(directory: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    daemon = subprocess.Popen(
        [sys.executable, "-m", "htcondor_annex.daemon.main", "-f"],
        env={**_own_environment(), "PYTHONPATH": str(_ROOT), **environment},
    )
    end = time.monotonic() + _PATIENCE
    while not (directory / "annexd.sock").exists():
        if daemon.poll() is not None or time.monotonic() > end:
            raise SystemExit("condor_annexd did not start")
        time.sleep(0.05)
    return daemon


def _put_object(cloud: LocalCloud) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=_BUCKET)
    s3.put_object(Bucket=_BUCKET, Key=_KEY, Body=_OBJECT)


def _boot(cloud: LocalCloud, profile: str, directory: Path, story: _Story) -> None:
    """Let an instance's agent run, with the metadata that the instance would see."""
    iam, sts = cloud.client("iam"), cloud.client("sts")
    role = iam.get_instance_profile(InstanceProfileName=profile)["InstanceProfile"]["Roles"][0]
    keys = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="i-demo")["Credentials"]
    credentials = RoleCredentials(
        keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"]
    )
    target = directory / "config.d"
    target.mkdir()
    with MetadataService(role["RoleName"], credentials) as metadata:
        environment = {
            "AWS_ENDPOINT_URL": cloud.endpoint,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.endpoint,
        }
        command = ["instance_agent", "-config-dir", str(target), "-deadline", "20"]
        _, said = _run(command, environment)
    story.show(said)
    for path in sorted(target.iterdir()):
        story.tell(f"and now config.d holds {path.name}, which joins it to the pool:")
        story.show(path.read_text())


def _show(cloud: LocalCloud, story: _Story) -> None:
    contents = cloud.contents()
    for fleet in contents.fleets:
        story.show(
            f"fleet    {fleet['SpotFleetRequestId']}: {fleet['SpotFleetRequestState']}, "
            f"{len(contents.instances)} instances"
        )
    for rule in contents.rules:
        story.show(f"rule     {rule['Name']}: {rule['ScheduleExpression']}, {rule['State']}")
        for target in contents.targets[rule["Name"]]:
            story.show(f"target   {target['Arn']}")
            story.show(f"   input {target['Input']}")
    if contents.empty:
        story.show("no fleet, no instance, no rule, no target")


def _tell_life(cloud: LocalCloud, directory: Path, story: _Story) -> None:
    function = stacks.make_lease_stack(cloud)
    story.tell("the lease function's stack is made, as in AWS's console:")
    story.show(f"LeaseFunctionARN {function}")
    outputs = stacks.make_role_stack(cloud, _BUCKET, _KEY)
    _put_object(cloud)
    story.tell("the instances' role is made: it may read one S3 object, and look at itself:")
    story.show(f"{outputs['InstanceProfileName']} may get s3://{_BUCKET}/{_KEY}")
    environment = _configure(directory, cloud.endpoint, function)
    daemon = _start_daemon(directory, environment)
    try:
        story.tell("condor_annexd runs")
        config = str(_ROOT / "templates" / "config.json")
        arguments = ["-annex-name", "demo", "-lease-duration", str(_LEASE), config]
        story.tell(f"condor_annex -annex-name demo -lease-duration {_LEASE} templates/config.json")
        printed, said = _run(["htcondor_annex.tool.main", *arguments], environment)
        asked = time.time()
        story.show(said + printed)
        story.tell("AWS holds:")
        _show(cloud, story)
        story.tell("an instance boots, and its agent looks for its configuration:")
        _boot(cloud, outputs["InstanceProfileName"], directory, story)
        rules.fire(cloud)
        story.tell("the rule fires while the lease still runs: nothing ends")
        _show(cloud, story)
        daemon.send_signal(signal.SIGKILL)
        daemon.wait(_PATIENCE)
        story.tell("condor_annexd is killed; the lease holds without it")
        time.sleep(max(0.0, asked + _LEASE + 1 - time.time()))
        for done in rules.fire(cloud):
            story.tell("the lease is over, and the rule runs the lease function:")
            story.show(json.dumps(done.result))
        story.tell("AWS holds:")
        _show(cloud, story)
    finally:
        if daemon.poll() is None:
            daemon.terminate()
            daemon.wait(_PATIENCE)


def main() -> int:
    """Tell the story; return 0 if it ended well, that is with nothing left."""
    story = _Story()
    with tempfile.TemporaryDirectory(prefix="annex-demo-") as name, LocalCloud() as cloud:
        story.tell(f"a local cloud stands in for AWS at {cloud.endpoint}")
        _tell_life(cloud, Path(name), story)
        if not cloud.contents().empty:
            story.tell("something is left: that is a defect")
            return 1
    story.tell("done: everything that was made is gone")
    return 0


if __name__ == "__main__":
    sys.exit(main())
