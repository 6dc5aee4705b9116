"""From the start of condor_annex to the Spot Fleet ID, against the same calls by bare boto3.

Bare boto3 makes the same five calls, with the same parameters, one after the other, in this
process; its clients are made before the clock starts. It is measured twice: with clients that have
not been used, so that each opens its connection (the aims' baseline: a script that has its clients
and goes), and with clients that have just made the same calls (the floor).
"""

import http.client
import io
import json
import time
import uuid
import zipfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import boto3

from bench import figures
from bench.figures import Aim, Spread
from bench.relay import Relay
from bench.rig import CONFIG, KEYS, Daemon, Installed, cloud_port
from htcondor_annex.tool import client
from htcondor_annex.wire import ANNEXES_PATH
from localcloud import LocalCloud

__all__ = ["Calls", "Scene", "run"]

_MILLI = 1000
_ROUND_TRIP = 50.0  # milliseconds
_LOCAL_AIM = Aim("ratio to bare boto3, clients made", 1.3)
_FAR_AIM = Aim("ratio to bare boto3, clients made", 0.8)
_REGION = "us-east-1"
_PINGS = 9
_CALLS = (
    ("lambda", "GetFunction"),
    ("lambda", "GetPolicy"),
    ("events", "PutRule"),
    ("events", "PutTargets"),
    ("ec2", "RequestSpotFleet"),
)


class Scene:
    """A local cloud that looks the same before each sample."""

    def __init__(self, cloud: LocalCloud) -> None:
        """Set it in this cloud."""
        self._cloud = cloud

    def new(self) -> str:
        """Empty the cloud, and make a lease function in it; return its ARN, always the same."""
        self._cloud.reset()
        role = self._cloud.client("iam", looks=True).create_role(
            RoleName="lease", AssumeRolePolicyDocument="{}"
        )
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as packed:
            packed.writestr("index.py", "def handler(event, context): pass\n")
        functions = self._cloud.client("lambda", looks=True)
        made = functions.create_function(
            FunctionName="annex-lease",
            Runtime="python3.13",
            Role=role["Role"]["Arn"],
            Handler="index.handler",
            Code={"ZipFile": archive.getvalue()},
        )
        functions.add_permission(
            FunctionName="annex-lease",
            StatementId="rules",
            Action="lambda:InvokeFunction",
            Principal="events.amazonaws.com",
            SourceArn="arn:aws:events:us-east-1:123456789012:rule/htcondor-annex-*",
            SourceAccount="123456789012",
        )
        return str(made["FunctionArn"])


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls that the daemon made for one annex, in text, to be made again for others."""

    text: str
    annex_id: str

    @classmethod
    def seen(cls, cloud: LocalCloud) -> "Calls":
        """Take those that the cloud saw last."""
        found = {seen.action: seen.parameters for seen in cloud.requests()}
        wanted = {action: found[action] for _, action in _CALLS}
        if len(found) != len(wanted):
            raise RuntimeError(f"an annex should take {sorted(wanted)}; seen: {sorted(found)}")
        return cls(
            json.dumps(wanted), wanted["RequestSpotFleet"]["SpotFleetRequestConfig"]["ClientToken"]
        )

    def again(self) -> Mapping[str, Mapping[str, Any]]:
        """Return their parameters, by action, for an annex of another id."""
        made: dict[str, dict[str, Any]] = json.loads(
            self.text.replace(self.annex_id, str(uuid.uuid4()))
        )
        return made


def _ask_daemon(socket: str) -> float:
    """Ask the daemon as the tool does, from this process; return the milliseconds until the ID."""
    request = {"config": json.loads(CONFIG.read_bytes())}
    started = time.perf_counter()
    *_, last = client.exchange(socket, "POST", ANNEXES_PATH, request)
    took = time.perf_counter() - started
    if not last["annex"]["spot_fleet_request_id"].startswith("sfr-"):
        raise RuntimeError(f"annexd answered {last}")
    return took * _MILLI


class _Boto3:
    """Bare boto3 in this process."""

    def __init__(self, endpoint: str, calls: Calls) -> None:
        self._session = boto3.session.Session(*KEYS, region_name=_REGION)
        self._endpoint = endpoint
        self._calls = calls

    def clients(self) -> dict[str, Any]:
        return {
            service: self._session.client(service, endpoint_url=self._endpoint)
            for service in ("ec2", "events", "lambda")
        }

    def create(self, clients: Mapping[str, Any]) -> float:
        """Make the five calls in turn; return the milliseconds until the Spot Fleet ID."""
        parameters = self._calls.again()
        started = time.perf_counter()
        clients["lambda"].get_function(**parameters["GetFunction"])
        clients["lambda"].get_policy(**parameters["GetPolicy"])
        clients["events"].put_rule(**parameters["PutRule"])
        clients["events"].put_targets(**parameters["PutTargets"])
        answer = clients["ec2"].request_spot_fleet(**parameters["RequestSpotFleet"])
        took = time.perf_counter() - started
        if not answer["SpotFleetRequestId"].startswith("sfr-"):
            raise RuntimeError(f"bare boto3 got {answer['SpotFleetRequestId']!r}")
        return took * _MILLI


def _added_round_trip(cloud: LocalCloud, port: int) -> float:
    """Return what the relay adds to a request on an open connection, milliseconds, measured."""

    def ping(at: int) -> Callable[[], float]:
        connection = http.client.HTTPConnection("127.0.0.1", at)

        def once() -> float:
            started = time.perf_counter()
            connection.request("GET", "/_localcloud/ping")
            connection.getresponse().read()
            return (time.perf_counter() - started) * _MILLI

        return once

    pings = {"direct": ping(cloud_port(cloud)), "relayed": ping(port)}
    found = figures.interleaved(pings, _PINGS)
    return found["relayed"].median - found["direct"].median


class _Parts:
    """Where the tool's time goes, by when the calls reach the cloud."""

    def __init__(self) -> None:
        self.before: list[float] = []
        self.calls: list[float] = []
        self.after: list[float] = []

    def add(self, began: float, seconds: float, cloud: LocalCloud) -> None:
        times = [seen.time for seen in cloud.requests()]
        self.before.append((min(times) - began) * _MILLI)
        self.calls.append((max(times) - min(times)) * _MILLI)
        self.after.append((began + seconds - max(times)) * _MILLI)

    def show(self) -> None:
        for name, samples in (
            ("  start to the first call's arrival", self.before),
            ("  first to last call's arrival", self.calls),
            ("  last call's arrival to the ID", self.after),
        ):
            figures.show(name, Spread.of(samples[1:]), "ms")  # the first was the warm-up


def _compare(
    program: Installed, cloud: LocalCloud, endpoint: str, runs: int
) -> tuple[dict[str, Spread], _Parts]:
    scene = Scene(cloud)
    parts = _Parts()
    with Daemon(program, endpoint, scene.new()) as daemon:
        daemon.ask()  # warms the daemon: from now on it has its clients and connections
        bare = _Boto3(endpoint, Calls.seen(cloud))
        warm_clients = bare.clients()
        bare.create(warm_clients)

        def tool() -> float:
            scene.new()
            asked = daemon.ask()
            parts.add(asked.began, asked.seconds, cloud)
            return asked.seconds * _MILLI

        def annexd_alone() -> float:
            scene.new()
            return _ask_daemon(daemon.socket)

        def unused() -> float:
            scene.new()
            return bare.create(bare.clients())

        def warm() -> float:
            scene.new()
            return bare.create(warm_clients)

        found = figures.interleaved(
            {
                "condor_annex, daemon warm": tool,
                "annexd alone, asked on its socket": annexd_alone,
                "bare boto3, clients made (the aim's baseline)": unused,
                "bare boto3, connections open too": warm,
            },
            runs,
        )
    return found, parts


def _show(found: Mapping[str, Spread], parts: _Parts, aim: Aim) -> None:
    for name, spread in found.items():
        figures.show(name, spread, "ms")
        if name.startswith("condor_annex"):
            parts.show()
    ours, alone, unused, warm = (spread.median for spread in found.values())
    figures.show_aim(aim, ours / unused)
    print(f"  {'ratio to bare boto3, connections open too':<46}{ours / warm:9.2f} times")
    print(f"  {'ratio of annexd alone to that':<46}{alone / warm:9.2f} times")


def run(program: Installed, runs: int) -> None:
    """Measure and print."""
    with ExitStack() as stack:
        cloud = stack.enter_context(LocalCloud())
        figures.head("create, locally: start to Spot Fleet ID, wall time")
        _show(*_compare(program, cloud, cloud.endpoint, runs), _LOCAL_AIM)
        relay = stack.enter_context(Relay(cloud_port(cloud), _ROUND_TRIP))
        added = _added_round_trip(cloud, relay.port)
        figures.head(f"create, {_ROUND_TRIP:g} ms away (the relay adds {added:.1f} ms, measured)")
        far = _compare(program, cloud, f"http://127.0.0.1:{relay.port}", runs)
        _show(*far, _FAR_AIM)
