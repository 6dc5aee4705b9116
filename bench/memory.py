"""The daemon's memory when idle, beside a bare Python that has one EC2 client of boto3."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench import figures
from bench.create import Scene
from bench.figures import Aim, Spread
from bench.proc import mib
from bench.rig import Daemon, Installed, own_environment
from localcloud import LocalCloud

__all__ = ["run"]

_REQUESTS = 20
_STARTS = 3  # memory varies little from one start to the next
_BARE = """
import sys
import boto3
session = boto3.session.Session("A", "B", region_name="us-east-1")
client = session.client("ec2")
print("ready", flush=True)
sys.stdin.read()
"""
_AFTER_START = Aim("RSS after start", 90, "MiB")
_AFTER_REQUESTS = Aim(f"RSS after {_REQUESTS} requests", 90, "MiB")


def _rss(pid: int) -> float:
    return mib(pid, "status", "VmRSS")


def _children(pid: int) -> Iterator[int]:
    """Give all processes below one."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            yield child
            yield from _children(child)


def _pss(pids: list[int]) -> float:
    """Return the memory of processes, with what several share counted once."""
    return sum(mib(pid, "smaps_rollup", "Pss") for pid in pids)


def _bare_boto3(program: Installed) -> float:
    with subprocess.Popen(
        [program.python, "-c", _BARE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=own_environment(),
    ) as process:
        assert process.stdout is not None  # noqa: S101  (for mypy: a pipe was asked for)
        if process.stdout.readline().strip() != b"ready":
            raise RuntimeError("a bare Python with boto3 did not start")
        return _rss(process.pid)  # leaving closes its standard input, which ends it


def run(program: Installed, runs: int) -> None:
    """Measure and print."""
    starts = min(_STARTS, runs)
    figures.head(f"memory: the idle daemon's main process, of {starts} starts")
    after_start, after_requests, helpers, shared, bare = [], [], [], [], []
    with LocalCloud() as cloud:
        scene = Scene(cloud)
        for _ in range(starts):
            bare.append(_bare_boto3(program))
            with Daemon(program, cloud.endpoint, scene.new()) as daemon:
                after_start.append(_rss(daemon.pid))
                for _ in range(_REQUESTS):
                    daemon.ask()
                after_requests.append(_rss(daemon.pid))
                below = list(_children(daemon.pid))
                helpers.append(float(len(below)))
                shared.append(_pss([daemon.pid, *below]))
    baseline = Spread.of(bare)
    first, later = Spread.of(after_start), Spread.of(after_requests)
    figures.show("annexd after start, RSS", first, "MiB")
    figures.show(f"annexd after {_REQUESTS} requests, RSS", later, "MiB")
    count = Spread.of(helpers).median
    figures.show(f"the same with its {count:.0f} helper processes, PSS", Spread.of(shared), "MiB")
    figures.show("a bare Python with an EC2 client (baseline)", baseline, "MiB")
    figures.show_aim(_AFTER_START, first.median)
    figures.show_aim(_AFTER_REQUESTS, later.median)
    print(
        f"  {'ratio to the baseline, after start':<46}{first.median / baseline.median:9.2f} times"
    )
