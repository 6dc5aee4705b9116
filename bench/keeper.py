"""What the keeper costs: calls to AWS, time, CPU time and memory, with 1, 100 and 1,000 annexes.

A look takes the pages of DescribeInstances and DescribeSpotFleetRequests; a whole one, which looks
for orphans too, those of ListRules as well. The aim: as many calls as AWS has pages, so that a
thousand annexes cost what their pages cost, and no call for each.

The looks are told apart by the calls that reached the local cloud; a look's CPU time is what the
daemon took from its beginning to the next one's, in whole ticks of 10 ms. Bare boto3 makes the
calls of the last whole look again, in this process, when the daemon has ended.
"""

import math
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import boto3

from bench import figures
from bench.create import Scene
from bench.figures import Aim, Spread
from bench.many import ask_all
from bench.proc import cpu_seconds, mib
from bench.rig import KEYS, Daemon, Installed
from localcloud import LocalCloud, Seen

__all__ = ["run"]

_ANNEXES = (1, 100, 1000)
_AT_ONCE = 32
_LOOKS = 3  # of each kind, at least; they vary little
_PATIENCE = 300.0
_GLANCE = 0.1  # seconds; far less than the pause between two looks
_MILLI = 1000
_KNOBS = {"ANNEXD_POLL_INTERVAL": "1", "ANNEXD_RECONCILE_INTERVAL": "5"}
_FIRST = "DescribeInstances"
_RULES = "ListRules"
_PAGES: Mapping[str, int] = {_FIRST: 1000, "DescribeSpotFleetRequests": 1000, _RULES: 100}
"""The most that a page holds (EC2 and EventBridge API references)."""


@dataclass(frozen=True, slots=True)
class _Look:
    """One look: its calls in the order in which they came, and the daemon's CPU time, seconds."""

    calls: Sequence[Seen]
    cpu: float

    @property
    def whole(self) -> bool:
        """Whether it looked for orphans too."""
        return any(call.action == _RULES for call in self.calls)

    @property
    def span(self) -> float:
        """Seconds from the first call's arrival to the last one's."""
        return self.calls[-1].time - self.calls[0].time

    def __str__(self) -> str:
        """Return its calls, counted."""
        counted = Counter(call.action for call in self.calls)
        return ", ".join(f"{count} {action}" for action, count in counted.items())


def _apart(calls: Sequence[Seen]) -> list[list[Seen]]:
    """Return the calls of each look; those before the first one's beginning are left out."""
    looks: list[list[Seen]] = []
    for call in calls:
        if call.action == _FIRST and "NextToken" not in call.parameters:
            looks.append([])
        if looks:
            looks[-1].append(call)
    return looks


def _watch(cloud: LocalCloud, pid: int) -> tuple[list[_Look], list[_Look]]:
    """Watch until there were enough looks; return the mere and the whole ones."""
    cloud.forget()
    cpu: list[float] = []  # as each look began
    idle = cpu_seconds(pid)
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        now = cpu_seconds(pid)
        begun = _apart(cloud.requests())
        # What was read at the glance before, when the look had not begun.
        cpu += [idle] * (len(begun) - len(cpu))
        idle = now
        looks = [
            _Look(calls, after - before)
            for calls, before, after in zip(begun, cpu, cpu[1:], strict=False)
        ]
        whole = [look for look in looks if look.whole]
        mere = [look for look in looks if not look.whole]
        if min(len(whole), len(mere)) >= _LOOKS:
            return mere, whole
        time.sleep(_GLANCE)
    raise RuntimeError(f"annexd looked {len(cpu)} times in {_PATIENCE:g} s")


def _milli(seconds: Sequence[float]) -> Spread:
    return Spread.of([one * _MILLI for one in seconds])


def _show(count: int, mere: Sequence[_Look], whole: Sequence[_Look], pid: int) -> None:
    figures.head(f"keeper: annexes of one instance each: {count}")
    for kind, looks in (("a look", mere), ("a whole look", whole)):
        most = max(looks, key=lambda look: len(look.calls))
        pages = sum(
            math.ceil(count / size)
            for action, size in _PAGES.items()
            if action != _RULES or most.whole
        )
        aim = Aim(f"{kind}: calls to AWS", pages, "calls")
        figures.show_aim(aim, len(most.calls))
        print(f"    {most}")
        spread = _milli([look.cpu for look in looks])
        mean = statistics.fmean(look.cpu for look in looks) * _MILLI
        figures.show("  CPU time of annexd", spread, "ms", f"mean {mean:.0f}")
    figures.show("  first to last call's arrival", _milli([look.span for look in whole]), "ms")
    figures.show("RSS of annexd", Spread.of([mib(pid, "status", "VmRSS")]), "MiB")


def _bare(cloud: LocalCloud, calls: Sequence[Seen]) -> tuple[Spread, Spread]:
    """Make a look's calls by bare boto3; return the CPU time and the span, milliseconds."""
    session = boto3.session.Session(*KEYS, region_name="us-east-1")
    clients: dict[str, Any] = {
        service: session.client(service, endpoint_url=cloud.endpoint)
        for service in ("ec2", "events")
    }
    methods = {
        operation: getattr(client, name)
        for client in clients.values()
        for name, operation in client.meta.method_to_api_mapping.items()
    }
    cpu, spans = [], []
    for _ in range(_LOOKS + 1):
        cloud.forget()
        before = time.process_time()
        token: dict[str, Any] = {}
        for call in calls:
            # Each page's token is the one that the page before brought.
            given = {name: value for name, value in call.parameters.items() if name != "NextToken"}
            answer = methods[call.action](**given, **token)
            token = {"NextToken": answer["NextToken"]} if answer.get("NextToken") else {}
        cpu.append(time.process_time() - before)
        spans.append(_Look(cloud.requests(), 0.0).span)
    return _milli(cpu[1:]), _milli(spans[1:])  # the first was the warm-up


def run(program: Installed, runs: int) -> None:
    """Measure and print; each look is a sample, however many `runs` there are to be."""
    del runs
    with LocalCloud() as cloud:
        with Daemon(program, cloud.endpoint, Scene(cloud).new(), _KNOBS) as daemon:
            made = 0
            for count in _ANNEXES:
                names = [f"kept-{number}" for number in range(made, count)]
                ask_all(daemon.socket, names, at_once=min(_AT_ONCE, len(names)))
                made = count
                mere, whole = _watch(cloud, daemon.pid)
                _show(count, mere, whole, daemon.pid)
        cpu, span = _bare(cloud, whole[-1].calls)
    print("  the same calls by bare boto3:")
    figures.show("  CPU time", cpu, "ms")
    figures.show("  first to last call's arrival", span, "ms")
    ours = _milli([look.cpu for look in whole]).median
    print(f"  {'ratio of CPU times, annexd to bare boto3':<46}{ours / cpu.median:9.2f} times")
