"""Four guards on a lease: with all but one switched off, that one alone ends the annex.

The daemon is a real one, and ends by SIGKILL; the lease function is the stack's own, and runs when
its rules are fired; AWS's end of the fleet is the local cloud's.
"""

import signal
from collections.abc import Mapping

import pytest

from localcloud import LocalCloud, rules, stacks
from tests.support import Annexd, console_config, wait_for

_LEASE = 600
_OVER = _LEASE + 1
_OF_AN_ANNEX = "htcondor-annex-"


def _make(annexd: Annexd, cloud: LocalCloud, seconds: int, knobs: Mapping[str, str]) -> None:
    """Make the stack, and with a new daemon an annex under its guard."""
    arn = stacks.make_lease_stack(cloud)
    annexd.configure({**annexd.knobs, **knobs})
    annexd.start()
    lease = ("-annex-name", "guarded", "-lease-duration", str(seconds))
    ended = annexd.ask(console_config(), *lease, arn=arn)
    assert 0 == ended.status, ended.err
    assert _lives(cloud)


def _lives(cloud: LocalCloud) -> bool:
    """Whether the annex is whole: its fleet and its two instances."""
    contents = cloud.contents()
    return (1, 2) == (len(contents.fleets), len(contents.instances))


def _take_away_its_rule(cloud: LocalCloud) -> None:
    events = cloud.client("events", looks=True)
    (name,) = (
        one["Name"] for one in cloud.contents().rules if one["Name"].startswith(_OF_AN_ANNEX)
    )
    events.remove_targets(Rule=name, Ids=[name])
    events.delete_rule(Name=name)


def _disable_the_sweep(cloud: LocalCloud) -> None:
    (name,) = (
        one["Name"] for one in cloud.contents().rules if not one["Name"].startswith(_OF_AN_ANNEX)
    )
    cloud.client("events", looks=True).disable_rule(Name=name)


def _run(cloud: LocalCloud, later: int) -> int:
    """Let every rule run that would, some seconds later; return how many did, and went well."""
    done = rules.fire(cloud, clock_offset=later)
    assert [] == [one for one in done if one.error]
    return len(done)


def test_the_daemon_alone(own_annexd: Annexd, cloud: LocalCloud) -> None:
    """No rule runs the function, and AWS would end the fleet in a week: the daemon is on time."""
    _make(own_annexd, cloud, 4, {})
    _take_away_its_rule(cloud)
    _disable_the_sweep(cloud)
    assert 0 == _run(cloud, _OVER)
    wait_for(lambda: cloud.contents().empty, "end of the lease")


def test_the_rule_alone(own_annexd: Annexd, cloud: LocalCloud) -> None:
    """The daemon is dead and the sweep disabled: the annex's own rule runs the function."""
    _make(own_annexd, cloud, _LEASE, {})
    own_annexd.stop(signal.SIGKILL)
    _disable_the_sweep(cloud)
    assert (1, True) == (_run(cloud, 0), _lives(cloud))
    assert (1, True) == (_run(cloud, _OVER), cloud.contents().empty)


@pytest.mark.parametrize("method", ["RULE", "SWEEP"])
def test_the_sweep_alone(own_annexd: Annexd, cloud: LocalCloud, method: str) -> None:
    """The daemon is dead, and the annex has no rule, any more or from the start."""
    _make(own_annexd, cloud, _LEASE, {"ANNEX_LEASE_METHOD": method})
    own_annexd.stop(signal.SIGKILL)
    if method == "RULE":
        _take_away_its_rule(cloud)
    assert (1, True) == (_run(cloud, 0), _lives(cloud))
    assert (1, True) == (_run(cloud, _OVER), cloud.contents().empty)


def test_the_fleets_own_end_alone(own_annexd: Annexd, cloud: LocalCloud) -> None:
    """The daemon is dead and no rule runs: AWS ends fleet and instances at ANNEX_MAX_LEASE."""
    _make(own_annexd, cloud, 5, {"ANNEX_MAX_LEASE": "5"})
    own_annexd.stop(signal.SIGKILL)
    _take_away_its_rule(cloud)
    _disable_the_sweep(cloud)
    assert (0, True) == (_run(cloud, _OVER), _lives(cloud))
    wait_for(lambda: cloud.contents().empty, "end of the fleet")
