"""Against HTCondor's own condor_annex, in a real pool on a machine of its own (as root only).

Both tools are run by the same user, with the same keys and the same configuration, and reach the
same local cloud by AWS's own host names over TLS: the machine's hosts file leads them to it, and a
certificate authority of this run vouches for it. HTCondor's tool is Debian's package as it is.

Its six requests are those of its design: it first has a Lambda function look whether the pool's
collector can be reached (answered at once here; on AWS the function would run), and uploads the
instances' configuration.
"""

import io
import json
import re
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from bench import authority, figures
from bench.create import Scene
from bench.figures import Aim
from bench.relay import Relay
from bench.rig import KEYS, Installed, cloud_port
from localcloud import LocalCloud
from localcloud.pool import (
    Bindings,
    Door,
    Lab,
    Node,
    Pool,
    PoolError,
    install,
    made_base,
    made_layer,
    missing_parts,
    suite,
    wait_until,
)

__all__ = ["run"]

_ROOT = Path(__file__).resolve().parents[1]
_MILLI = 1000
_ROUND_TRIP = 50.0  # milliseconds
_NEAR_AIM = Aim("ratio to HTCondor's own condor_annex", 0.3)
_FAR_AIM = Aim("ratio to HTCondor's own condor_annex", 0.2)
_MOST_RUNS = 11  # its runs take a second and more each, and vary little

_USER = "tester"
_HOME = f"/home/{_USER}"
_HOSTS = [
    *(f"{service}.us-east-1.amazonaws.com" for service in ("ec2", "events", "lambda", "s3")),
    "bench.s3.us-east-1.amazonaws.com",
]
_HTTPS = ("127.0.0.1", 443)
_AUTHORITY = "/etc/ssl/certs/bench.pem"
_PROGRAMS = ("/usr/bin/condor_annex", "/usr/libexec/condor/condor_annex")
_CONNECTIVITY = "HTCondorAnnex-CheckConnectivity"  # the package's default knob
# What both tools understand.
_FLEET = {
    "IamFleetRole": "arn:aws:iam::123456789012:role/aws-ec2-spot-fleet-tagging-role",
    "AllocationStrategy": "lowestPrice",
    "TargetCapacity": 1,
    "SpotPrice": "0.5",
    "LaunchSpecifications": [{"ImageId": "ami-12345678", "InstanceType": "m5.large"}],
}

# Runs on the machine, so that entering it is not measured: a command a line, as JSON.
_STOPWATCH = """
import json, subprocess, sys, time
for line in sys.stdin:
    began = time.perf_counter()
    done = subprocess.run(json.loads(line), capture_output=True, stdin=subprocess.DEVNULL)
    took = time.perf_counter() - began
    said = (done.stdout + done.stderr).decode()
    print(json.dumps({"seconds": took, "status": done.returncode, "said": said}), flush=True)
"""


class _Stopwatch:
    """Runs programs on the machine as the user, and tells how long each took."""

    def __init__(self, node: Node) -> None:
        self._process = subprocess.Popen(
            [*node.entering(_USER), "python3", "-c", _STOPWATCH],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        """Return this stopwatch."""
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(self, command: list[str]) -> tuple[float, str]:
        """Run a program; return milliseconds, and what it said."""
        assert self._process.stdin is not None  # noqa: S101  (for mypy: a pipe was asked for)
        assert self._process.stdout is not None  # noqa: S101  (as above)
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return answer["seconds"] * _MILLI, answer["said"]


@contextmanager
def _cloud() -> Iterator[LocalCloud]:
    with subprocess.Popen(
        [sys.executable, "-m", "bench.frontcloud"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=_ROOT,
        text=True,
    ) as process:
        assert process.stdout is not None  # noqa: S101  (for mypy: a pipe was asked for)
        yield LocalCloud.at(process.stdout.readline().strip())
        # Leaving closes its standard input, which ends it.


def _moto(cloud: LocalCloud, path: str, given: dict[str, Any]) -> None:
    """Tell moto something about itself."""
    request = urllib.request.Request(  # noqa: S310  (the endpoint is our own)
        f"{cloud.endpoint}/moto-api/{path}",
        data=json.dumps(given).encode(),
        headers={"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request).close()  # noqa: S310  (as above)


class _UpstreamScene:
    """A cloud that looks the same before each sample, with what HTCondor's tool needs."""

    def __init__(self, cloud: LocalCloud) -> None:
        self._cloud = cloud
        self._scene = Scene(cloud)
        self.collector = ""
        _moto(cloud, "config", {"lambda": {"use_docker": False}})

    def new(self) -> str:
        """Empty the cloud and set the scene; return the lease function's ARN."""
        function = self._scene.new()
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as packed:
            packed.writestr("index.py", "")
        self._cloud.client("lambda", looks=True).create_function(
            FunctionName=_CONNECTIVITY,
            Runtime="python3.13",
            Role="arn:aws:iam::123456789012:role/lease",
            Handler="index.handler",
            Code={"ZipFile": archive.getvalue()},
        )
        self._cloud.client("s3", looks=True).create_bucket(Bucket="bench")
        answer = json.dumps({"success": "1", "result": self.collector})
        _moto(
            self._cloud,
            "static/lambda-simple/response",
            {"results": [answer], "region": "us-east-1"},
        )
        return function


def _upstream_command(node: Node, function: str) -> list[str]:
    """Return the command line of HTCondor's tool.

    Raises:
        PoolError: If the package has none.
    """
    for program in _PROGRAMS:
        if node.run("test", "-x", program, check=False).status == 0:
            return [
                *("env", f"_CONDOR_SEC_PASSWORD_FILE={_HOME}/pool-password"),
                *(program, "-aws-spot-fleet", "-annex-name", "Bench", "-slots", "1", "-yes"),
                *("-aws-spot-fleet-config-file", f"{_HOME}/config.json"),
                *("-aws-spot-fleet-lease-function-arn", function),
                *("-aws-access-key-file", f"{_HOME}/access-key"),
                *("-aws-secret-key-file", f"{_HOME}/secret-key"),
                *("-aws-s3-config-path", "bench/config.tar.gz"),
            ]
    raise PoolError(f"Debian {suite()}'s package has none of {', '.join(_PROGRAMS)}")


def _furnish(node: Node, certificate: str) -> None:
    """Give the machine the user's files, the host names and the certificate authority."""
    for name, key in zip(("access-key", "secret-key"), KEYS, strict=True):
        node.write(f"{_HOME}/{name}", key, owner=_USER, mode=0o600)
    node.write(f"{_HOME}/pool-password", "bench", owner=_USER, mode=0o600)
    node.write(f"{_HOME}/config.json", json.dumps(_FLEET), owner=_USER)
    node.run("install", "-d", "-m", "0700", f"{_HOME}/.condor", user=_USER)
    lines = "".join(f"{_HTTPS[0]} {host}\n" for host in _HOSTS)
    node.write("/etc/hosts", node.read("/etc/hosts") + lines)
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    node.write(bundle, node.read(bundle) + certificate)
    node.write(_AUTHORITY, certificate)


def _knobs(function: str) -> dict[str, str]:
    """Return the pool's configuration: the project's own file, and this user's defaults."""
    text = f"""\
ANNEXD_ENVIRONMENT = "AWS_CA_BUNDLE={_AUTHORITY}"
ANNEX_DEFAULT_SFR_LEASE_FUNCTION_ARN = {function}
"""
    return {"80annexd": (_ROOT / "config" / "80annexd").read_text(), "95-bench": text}


def _ours(watch: _Stopwatch, scene: _UpstreamScene) -> Callable[[], float]:
    command = ["/usr/local/bin/condor_annex", "-access", "access-key", "-secret", "secret-key"]

    def once() -> float:
        scene.new()
        took, said = watch.run([*command, "config.json"])
        if "sfr-" not in said:
            raise PoolError(f"condor_annex failed: {said}")
        return took

    return once


def _theirs(watch: _Stopwatch, scene: _UpstreamScene, command: list[str]) -> Callable[[], float]:
    def once() -> float:
        scene.new()
        took, said = watch.run(command)
        if "Annex started." not in said:  # its exit status is 0 for some failures
            raise PoolError(f"HTCondor's condor_annex failed: {said}")
        return took

    return once


def _learn_collector(node: Node, watch: _Stopwatch, command: list[str]) -> str:
    """Return the collector's instance id, which the function on AWS would find out.

    HTCondor's tool asks the collector for it, and writes it down before it does anything.
    """
    _, said = watch.run(command)
    state = node.read(f"{_HOME}/.condor/AnnexCommand.state")
    found = re.search(r'CollectorInstanceID "(\w+)"', state)
    if found is None:
        raise PoolError(f"HTCondor's condor_annex did not come as far as the collector: {said}")
    return found[1]


def _measure(stack: ExitStack, base: Path, program: Installed, runs: int) -> None:
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="annex-bench-")))
    names = ["*.us-east-1.amazonaws.com", "*.s3.us-east-1.amazonaws.com"]
    certificate, server = authority.certify(names, directory)
    cloud = stack.enter_context(_cloud())
    lab = stack.enter_context(Lab(base))
    layer = made_layer(lab, Bindings.DEBIAN, program.wheel)
    node = stack.enter_context(Node(lab, "cm", layers=[layer]))
    install(node, Bindings.DEBIAN, program.wheel)
    _furnish(node, certificate.read_text())
    tls = stack.enter_context(Relay(cloud_port(cloud), certificate=server))
    scene = _UpstreamScene(cloud)
    function = scene.new()
    pool = stack.enter_context(Pool(node, _knobs(function)))
    wait_until(lambda: "serves" in pool.log("AnnexdLog"), "annexd that serves")
    watch = stack.enter_context(_Stopwatch(node))
    command = _upstream_command(node, function)
    contestants = {
        "condor_annex, daemon warm": _ours(watch, scene),
        "HTCondor's own condor_annex (baseline)": _theirs(watch, scene, command),
    }
    version = node.run("condor_version").out.split()[1]
    for where, round_trip, aim in (
        ("locally", 0.0, _NEAR_AIM),
        (f"{_ROUND_TRIP:g} ms away", _ROUND_TRIP, _FAR_AIM),
    ):
        with ExitStack() as way:
            port = tls.port
            if round_trip:
                port = way.enter_context(Relay(port, round_trip)).port
            way.enter_context(Door(node, port, at=_HTTPS))
            scene.collector = scene.collector or _learn_collector(node, watch, command)
            found = figures.interleaved(contestants, min(runs, _MOST_RUNS))
            calls = {name: _requests(cloud, once) for name, once in contestants.items()}
        figures.head(f"create, {where}, over TLS, beside HTCondor {version}: wall time")
        for name, spread in found.items():
            figures.show(name, spread, "ms", f"{calls[name]} requests")
        ours, theirs = (spread.median for spread in found.values())
        figures.show_aim(aim, ours / theirs)


def _requests(cloud: LocalCloud, once: Callable[[], float]) -> int:
    """Return how many requests one more run makes."""
    once()
    return len(cloud.requests())


def run(program: Installed, runs: int) -> None:
    """Measure and print, or say what is missing for it."""
    missing = missing_parts()
    base = None
    try:
        base = None if missing else made_base(suite())
    except PoolError as error:
        missing = [f"a Debian with HTCondor in it: {error}"]
    if base is None:
        figures.head("create, beside HTCondor's own condor_annex: left out")
        print(f"  it needs {'; '.join(missing)}")
        return
    with ExitStack() as stack:
        _measure(stack, base, program, runs)
