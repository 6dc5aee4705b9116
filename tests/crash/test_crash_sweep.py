"""The daemon is killed before and after every journal write and every request to AWS.

Each time it is started again, and the end must be exactly right: one fleet or none, its rule and
its target, a journal that says so, and tools that were told the truth.
"""

import contextlib
import itertools
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from htcondor_annex.errors import ExitStatus
from tests.crash.host import Asked, Host, Site
from tests.crash.sweep import Point, Scenario, Sweep
from tests.support import Ended

_WORKERS = 2
_NAME = "swept"
# Checks of the lease function run beside the steps that a daemon is killed in: whether they were
# done by then, and so are not made again, is a race.
_BESIDE = re.compile(r"call (arn%3A[^,]*|policy), .*")
_ANSWERED = re.compile(r"call .*, after")
_RARE = 10
"""One point in so many may depend on how calls that run side by side come to lie."""
_LONGER = 5000
_MOMENT = 60
_REFUSED = "UnauthorizedOperation"


@pytest.fixture(scope="module")
def sites() -> Iterator[Sequence[Site]]:
    """A cloud and a zygote for each worker."""
    with contextlib.ExitStack() as made:
        yield [made.enter_context(Site()) for _ in range(_WORKERS)]


def _see_status(host: Host, state: str) -> None:
    """See what an owner is shown who asks how his annex is."""
    shown = host.answer(host.ask("status", "-annex-name", _NAME))
    assert 0 == shown.status, shown.err
    row = shown.out.splitlines()[1]
    assert [_NAME, state] == row.split()[:2]


def _nothing(host: Host) -> None:
    """Do nothing before the question."""
    assert host.books().living == []


def _create(host: Host) -> Asked:
    return host.create(_NAME)


def _created(host: Host, answer: Ended) -> None:
    """There is one annex, and its fleet's id was told; asked again, the name is taken."""
    assert 0 == answer.status, answer.err
    assert [answer.out.strip()] == [one.capacity_id for one in host.books().named(_NAME)]
    again = host.answer(host.create(_NAME))
    assert (ExitStatus.USAGE, "") == (again.status, again.out)
    assert f"you have an annex named '{_NAME}' already" in again.err
    _see_status(host, "active")


def _refuse(host: Host) -> None:
    """Let AWS refuse every fleet."""
    host.site.cloud.fail("RequestSpotFleet", _REFUSED, status=403, times=1000)


def _undone(host: Host, answer: Ended) -> None:
    """Nothing is left, and the refusal was told; asked again when AWS is willing, it is made."""
    assert host.site.cloud.contents().empty
    assert (ExitStatus.REPLY, True) == (answer.status, _REFUSED in answer.err), answer.err
    _see_status(host, "failed")
    host.site.cloud.calm()
    again = host.answer(host.create(_NAME))
    assert 0 == again.status, again.err
    assert [again.out.strip()] == [one.capacity_id for one in host.settle().named(_NAME)]


def _have_one(host: Host) -> None:
    """Have an annex."""
    answer = host.answer(host.create(_NAME))
    assert 0 == answer.status, answer.err


def _extend(host: Host) -> Asked:
    return host.ask("-annex-name", _NAME, "-lease-duration", str(_LONGER))


def _lease_left(host: Host) -> int:
    """Return how many seconds the annex's lease lasts from now."""
    (annex,) = host.books().named(_NAME)
    return annex.expires - int(time.time())


def _extended(host: Host, answer: Ended) -> None:
    """The lease is the new one; asked again, it is that once more."""
    assert 0 == answer.status, answer.err
    assert "Lease updated" in answer.out
    assert _LONGER - _MOMENT <= _lease_left(host) <= _LONGER
    again = host.answer(_extend(host))
    assert 0 == again.status, again.err
    assert _LONGER - _MOMENT <= _lease_left(host) <= _LONGER
    assert [] == host.disagreements()
    _see_status(host, "active")


def _end(host: Host) -> Asked:
    return host.ask("off", "-annex-name", _NAME)


def _ended(host: Host, answer: Ended) -> None:
    """Nothing is left, and the record tells so; asked again, it had ended already."""
    assert 0 == answer.status, answer.err
    assert host.site.cloud.contents().empty
    assert [(_NAME, "ended")] == [(one.identity.name, one.state) for one in host.books().ended]
    again = host.answer(_end(host))
    assert (0, True) == (again.status, "had ended already" in again.err), again.err
    _see_status(host, "ended")


SCENARIOS = (
    Scenario("create", _nothing, _create, _created),
    Scenario("extend", _have_one, _extend, _extended),
    Scenario("end", _have_one, _end, _ended),
    Scenario("failure with undo", _refuse, _create, _undone),
    Scenario("extend under the sweep", _have_one, _extend, _extended, "SWEEP"),
)


def _see(sweep: Sweep) -> None:
    """See that a sweep covered what it should, and that all went well."""
    print(sweep.report())  # noqa: T201  (pytest shows it)
    assert not sweep.failures, "\n\n".join(
        f"killed at {one.point}: {one.failure}" for one in sweep.failures
    )
    labels, reached = (
        {point.label for point in points if not _BESIDE.fullmatch(point.label)}
        for points in (sweep.points, sweep.reached)
    )
    assert labels == reached


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_killed_at_every_point(sites: Sequence[Site], tmp_path: Path, scenario: Scenario) -> None:
    """Wherever the daemon dies, the next one brings everything to the right end."""
    sweep = Sweep(scenario, tmp_path)
    sweep.run(sites)
    _see(sweep)
    missed = sorted(map(str, sweep.points.keys() - sweep.reached))
    assert len(missed) <= len(sweep.points) // _RARE, missed
    kinds = Counter(point.label for point in sweep.recorded)
    commits = kinds["fdatasync annexd.journal, after"]
    calls = sum(number for label, number in kinds.items() if label.startswith("call "))
    assert commits > 1
    assert calls > 1
    # Before and after each sync of a commit; before, in the middle of and after its write.
    assert len(sweep.points) >= 5 * commits + calls


def test_killed_again_while_recovering(sites: Sequence[Site], tmp_path: Path) -> None:
    """A daemon that dies while it makes good a crash does no harm either, from its start on."""
    started: set[Point] = set()
    for number, scenario in enumerate(one for one in SCENARIOS if one.method == "RULE"):
        directory = tmp_path / str(number)  # short: a socket's path has at most 107 bytes
        plain = Sweep(scenario, directory / "plain")
        plain.record(sites[0])
        calls = [point for point in plain.recorded if _ANSWERED.fullmatch(point.label)]
        sweep = Sweep(scenario, directory, calls[len(calls) * 3 // 4], known=frozenset(started))
        sweep.run(sites)
        _see(sweep)
        # A start is a start: what comes before the first call is swept once.
        started.update(itertools.takewhile(lambda one: "call" not in one.label, sweep.recorded))
