"""500 annexes asked for at once, with 100 ms from each call to AWS to its answer.

Measured from the first byte that a caller sends to the last answer, and held against the ideal, in
which each of the daemon's threads (ANNEXD_THREADS, the default) has a call under way all the time:

    critical path   the longest chain of calls in provision/table.py x the latency    3 x 100 ms
    side by side    threads / (calls of an annex / calls of the longest chain)        32 / (5 / 3)
    waves           annexes / those side by side                                      26.0
    ideal           critical path x waves = all calls / threads x the latency         7.81 s

The cloud is a canned one (see `canned`): moto behind the local cloud answers one call at a time,
and each costs it milliseconds of CPU, so that it, not the daemon, would set the pace. What comes
out with the local cloud is printed beside it.

Bare boto3 has as many threads and makes the same calls: each thread takes an annex, makes its five
calls one after the other, and takes the next.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore.config import Config

from bench import figures
from bench.canned import FUNCTION, Canned
from bench.create import Calls, Scene
from bench.figures import Aim, Spread
from bench.many import ask_all
from bench.proc import cpu_seconds
from bench.rig import KEYS, Daemon, Installed
from htcondor_annex.annex import LeaseMethod, StepName
from htcondor_annex.knobs import KNOBS
from htcondor_annex.provision.table import STEPS
from localcloud import LocalCloud

__all__ = ["run"]

_ANNEXES = 500
_LATENCY = 100.0  # milliseconds
_SAMPLES = 3  # each takes seconds
_STEPS = STEPS[LeaseMethod.RULE]
_THREADS = next(int(knob.default or 0) for knob in KNOBS if knob.name == "ANNEXD_THREADS")
_AIM = Aim("ratio of annexd to the ideal", 1.5)
_MILLI = 1000
_WARM = 1


def _chain(step: StepName) -> int:
    """Return how many steps the longest chain has that ends with this one; each is a call."""
    return 1 + max((_chain(before) for before in _STEPS[step].needs), default=0)


def _waves() -> float:
    """Return how often the thread pool's fill of annexes goes into all of them."""
    return _ANNEXES * len(_STEPS) / max(map(_chain, _STEPS)) / _THREADS


class _Contest:
    """The daemon and bare boto3, at one endpoint."""

    def __init__(self, program: Installed, endpoint: str, function: str, calls: Calls) -> None:
        """Take what both need: the function's ARN, and the calls that one annex takes."""
        self._program = program
        self._endpoint = endpoint
        self._function = function
        self._calls = calls
        self.last_answers = Spread.of([0.0])
        self.cpu: dict[str, list[float]] = {"annexd": [], "boto3": []}

    def annexd(self) -> float:
        """Ask a new daemon; return the seconds until the last answer."""
        with Daemon(self._program, self._endpoint, self._function) as daemon:
            ask_all(daemon.socket, ["warm"], at_once=_WARM)
            before = cpu_seconds(daemon.pid)
            names = [f"burst-{number}" for number in range(_ANNEXES)]
            answered = ask_all(daemon.socket, names, at_once=_ANNEXES)
            self.cpu["annexd"].append((cpu_seconds(daemon.pid) - before) * _MILLI / _ANNEXES)
        self.last_answers = Spread.of(answered)
        return max(answered)

    def boto3(self) -> float:
        """Make the same calls; return the seconds that they took."""
        session = boto3.session.Session(*KEYS, region_name="us-east-1")
        config = Config(max_pool_connections=_THREADS)
        clients = {
            service: session.client(service, endpoint_url=self._endpoint, config=config)
            for service in ("ec2", "events", "lambda")
        }

        def create(parameters: Mapping[str, Mapping[str, Any]]) -> None:
            clients["lambda"].get_function(**parameters["GetFunction"])
            clients["lambda"].get_policy(**parameters["GetPolicy"])
            clients["events"].put_rule(**parameters["PutRule"])
            clients["events"].put_targets(**parameters["PutTargets"])
            clients["ec2"].request_spot_fleet(**parameters["RequestSpotFleet"])

        create(self._calls.again())
        wanted = [self._calls.again() for _ in range(_ANNEXES)]
        with ThreadPoolExecutor(_THREADS) as pool:
            began, cpu = time.perf_counter(), time.process_time()
            list(pool.map(create, wanted))
            took = time.perf_counter() - began
            self.cpu["boto3"].append((time.process_time() - cpu) * _MILLI / _ANNEXES)
        return took

    def measure(self, runs: int, prepare: Callable[[], object]) -> dict[str, Spread]:
        """Measure both in turns, each time after some preparation."""

        def prepared(contestant: Callable[[], float]) -> Callable[[], float]:
            def sample() -> float:
                prepare()
                return contestant()

            return sample

        contestants = {"annexd": prepared(self.annexd), "boto3": prepared(self.boto3)}
        return figures.interleaved(contestants, runs, warm_up=0)


def _show(contest: _Contest, found: Mapping[str, Spread], ideal: float) -> float:
    """Print what came out; return the daemon's ratio to the ideal."""
    for name, who in (("annexd", "annexd"), ("boto3", f"bare boto3 with {_THREADS} threads")):
        figures.show(who, found[name], "s", f"{found[name].median / ideal:.2f} x ideal")
        figures.show("  CPU time for each annex", Spread.of(contest.cpu[name]), "ms")
    figures.show("  when annexd's answers came, the last time", contest.last_answers, "s")
    ratio = found["annexd"].median / found["boto3"].median
    print(f"  {'ratio of annexd to bare boto3':<46}{ratio:9.2f} times")
    return found["annexd"].median / ideal


def _recorded(program: Installed, cloud: LocalCloud) -> Calls:
    """Return the calls of one annex, as the daemon makes them."""
    with Daemon(program, cloud.endpoint, Scene(cloud).new()) as daemon:
        ask_all(daemon.socket, ["recorded"], at_once=_WARM)
        return Calls.seen(cloud)


def _in_canned(program: Installed, calls: Calls, runs: int) -> tuple[_Contest, dict[str, Spread]]:
    with Canned(_LATENCY) as cloud:
        contest = _Contest(program, cloud.endpoint, FUNCTION, calls)
        found = contest.measure(runs, lambda: None)
        wanted = 2 * runs * (_ANNEXES + _WARM)
        if cloud.seen() != {str(action): wanted for action in calls.again()}:
            raise RuntimeError(f"each call should have come {wanted} times: {cloud.seen()}")
    return contest, found


def _in_local_cloud(
    program: Installed, cloud: LocalCloud, calls: Calls
) -> tuple[_Contest, dict[str, Spread]]:
    scene = Scene(cloud)

    def prepare() -> None:
        scene.new()
        cloud.latency(_LATENCY)

    contest = _Contest(program, cloud.endpoint, scene.new(), calls)
    return contest, contest.measure(1, prepare)


def run(program: Installed, runs: int) -> None:
    """Measure and print."""
    samples = min(_SAMPLES, runs)
    path, waves = max(map(_chain, _STEPS)) * _LATENCY / _MILLI, _waves()
    with LocalCloud() as cloud:
        calls = _recorded(program, cloud)
        figures.head(
            f"burst: {_ANNEXES} annexes at once, {_LATENCY:g} ms a call, canned answers: "
            f"ideal {path:g} s x {waves:.1f} waves = {path * waves:.2f} s"
        )
        ratio = _show(*_in_canned(program, calls, samples), path * waves)
        figures.show_aim(_AIM, ratio)
        figures.head("burst: the same with the local cloud, whose moto answers one call at a time")
        _show(*_in_local_cloud(program, cloud, calls), path * waves)
