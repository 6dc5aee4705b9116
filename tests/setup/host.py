"""A host on which the tool runs: its HTCondor configuration, its key files, and the tool itself."""

import gc
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from htcondor_annex.setup.stacks import STACKS
from localcloud import LocalCloud
from tests.support import ACCESS_KEY, REGION, SECRET_KEY, Ended

__all__ = ["Host", "end_state", "make_bare_stack"]

SERVICES = ("EC2", "CWE", "LAMBDA", "CF", "S3", "IAM")
_RANDOM = re.compile(r"-[0-9A-Za-z]{12,13}\b|\bsg-[0-9a-f]+\b|\bvpc-[0-9a-f]+\b")
_DEFECT = 70


class Host:
    """One host; its administrator has a config.d."""

    def __init__(self, directory: Path, endpoint: str, **knobs: str) -> None:
        """Write its configuration and the key files."""
        self.directory = directory
        self.config_d = directory / "config.d"
        self.config_d.mkdir(exist_ok=True)
        (directory / "out").mkdir(exist_ok=True)
        self.configure(
            {
                "LOG": str(directory),
                "LOCK": str(directory),
                "SPOOL": str(directory),
                "LOCAL_CONFIG_DIR": str(self.config_d),
                **{f"ANNEX_DEFAULT_{service}_URL": endpoint for service in SERVICES},
                **knobs,
            }
        )
        self.keys = (self.write_key("access", ACCESS_KEY), self.write_key("secret", SECRET_KEY))

    def configure(self, knobs: Mapping[str, str]) -> None:
        """Write the configuration anew."""
        self.knobs = dict(knobs)
        text = "".join(f"{name} = {value}\n" for name, value in knobs.items())
        (self.directory / "condor_config").write_text(text)

    def write_key(self, name: str, content: str, mode: int = 0o600) -> Path:
        """Write a key file."""
        path = self.directory / name
        path.write_text(content + "\n")
        path.chmod(mode)
        return path

    @property
    def environment(self) -> dict[str, str]:
        """What programs here are started with."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        return {**kept, "CONDOR_CONFIG": str(self.directory / "condor_config")}

    def knob_file(self, region: str = REGION) -> Path:
        """Where an administrator's -setup writes."""
        return self.config_d / f"81annex-{region}"

    def setup(self, *arguments: str, **how: Any) -> Ended:  # noqa: ANN401  (as tool)
        """Run condor_annex -setup with the key files."""
        return self.tool("-setup", *arguments, *map(str, self.keys), **how)

    def check(self, *arguments: str) -> Ended:
        """Run condor_annex -check-setup with the key files."""
        return self.tool("-check-setup", *arguments, *map(str, self.keys))

    def teardown(self, *arguments: str, **how: Any) -> Ended:  # noqa: ANN401  (as tool)
        """Run condor_annex -teardown -yes with the key files."""
        return self.tool("-teardown", "-yes", *arguments, *map(str, self.keys), **how)

    def tool(
        self,
        *arguments: str,
        before: Callable[[int], None] = lambda _: None,
        environment: Mapping[str, str] | None = None,
    ) -> Ended:
        """Run condor_annex in a process of its own, forked from this one: it starts at once.

        Args:
            arguments: Of the command line.
            before: Is given its process id before it does anything.
            environment: More variables.
        """
        waits, starts = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(starts)
                os.read(waits, 1)
                os._exit(self._be_tool(arguments, environment or {}))
            finally:
                os._exit(_DEFECT)
        os.close(waits)
        before(pid)
        os.close(starts)
        _, status = os.waitpid(pid, 0)
        out, err = (self.directory / "out" / f"{name}-{pid}" for name in ("out", "err"))
        return Ended(
            os.waitstatus_to_exitcode(status),
            out.read_text() if out.exists() else "",
            err.read_text() if err.exists() else "",
        )

    def _be_tool(self, arguments: tuple[str, ...], environment: Mapping[str, str]) -> int:
        from htcondor_annex import condor  # noqa: PLC0415  (the bindings read the environment)
        from htcondor_annex.tool.main import main  # noqa: PLC0415  (as above)

        gc.disable()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.clear()
        os.environ.update(self.environment)
        os.environ.update(environment)
        os.chdir(self.directory)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        for number, name in ((1, "out"), (2, "err")):
            path = self.directory / "out" / f"{name}-{os.getpid()}"
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.stdin, sys.stdout, sys.stderr = (
            open(0, closefd=False),  # noqa: SIM115  (descriptors)
            open(1, "w", closefd=False),  # noqa: SIM115  (as above)
            open(2, "w", closefd=False),  # noqa: SIM115  (as above)
        )
        condor.reload_config()
        try:
            status = main(arguments)
        except SystemExit as ended:
            status = int(ended.code or 0)
        sys.stdout.flush()
        sys.stderr.flush()
        return int(status)


def _known(text: str) -> str:
    """Return a text without what is random in it."""
    return _RANDOM.sub("", text)


def end_state(cloud: LocalCloud, host: Host, region: str = REGION) -> dict[str, Any]:
    """Return what -setup has made in a region: the same, however it came about."""
    client = cloud.client("cloudformation", region=region, looks=True)
    found: dict[str, Any] = {}
    for spec in STACKS:
        (stack,) = client.describe_stacks(StackName=spec.name)["Stacks"]
        resources = client.describe_stack_resources(StackName=spec.name)["StackResources"]
        body = client.get_template(StackName=spec.name)["TemplateBody"]
        found[spec.name] = {
            "complete": stack["StackStatus"] in {"CREATE_COMPLETE", "UPDATE_COMPLETE"},
            "tags": stack["Tags"],
            "parameters": sorted(
                (one["ParameterKey"], _known(one["ParameterValue"]))
                for one in stack.get("Parameters", [])
            ),
            "outputs": sorted(
                (one["OutputKey"], _known(one["OutputValue"])) for one in stack["Outputs"]
            ),
            "resources": sorted(
                (one["LogicalResourceId"], one["ResourceType"], _known(one["PhysicalResourceId"]))
                for one in resources
            ),
            "template": json.dumps(body, sort_keys=True),
        }
    listed = client.list_stacks()["StackSummaries"]
    living = [one["StackName"] for one in listed if one["StackStatus"] != "DELETE_COMPLETE"]
    found["stacks"] = sorted(living)
    found["roles"] = sorted(
        _known(role["RoleName"])
        for role in cloud.client("iam", looks=True).list_roles()["Roles"]
        if role["RoleName"].startswith("HTCondorAnnex-")
    )
    buckets = cloud.client("s3", looks=True).list_buckets()["Buckets"]
    found["buckets"] = [_known(bucket["Name"]) for bucket in buckets]
    found["knobs"] = _known(host.knob_file(region).read_text()).replace(str(host.directory), "HERE")
    found["files"] = sorted(path.name for path in host.config_d.iterdir())
    return found


def make_bare_stack(
    cloud: LocalCloud,
    name: str,
    template: Mapping[str, Any],
    *,
    ours: bool = True,
    region: str = REGION,
    **parameters: str,
) -> None:
    """Make a stack by hand; with `ours`, as -setup tags it."""
    cloud.client("cloudformation", region=region, looks=True).create_stack(
        StackName=name,
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
        Capabilities=["CAPABILITY_IAM"],
        Tags=[{"Key": "htcondor:annex-setup", "Value": "1"}] if ours else [],
    )
