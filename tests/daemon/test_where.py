"""Where an annex goes and for how long, as the tool is told: -aws-region, -duration, knobs."""

import time

import pytest

from localcloud import LocalCloud
from tests.support import FUNCTION_ARN, Annexd, console_config, make_lease_function

_NORTH = "eu-north-1"
_KNOB = "ANNEX_DEFAULT_SFR_LEASE_FUNCTION_ARN"
_NOWHERE = FUNCTION_ARN.replace("annex-lease", "nowhere")


@pytest.fixture
def north(cloud: LocalCloud) -> str:
    """The ARN of a lease function in another region."""
    arn = make_lease_function(cloud, region=_NORTH)
    cloud.forget()
    return arn


def test_annexes_of_two_regions_side_by_side(annexd: Annexd, cloud: LocalCloud, north: str) -> None:
    """Each is made, and ended, where it was asked for."""
    here = annexd.ask(console_config(), "-annex-name", "here")
    there = annexd.ask(console_config(), "-annex-name", "there", "-aws-region", _NORTH, arn=north)
    assert (0, 0) == (here.status, there.status), there.err
    assert ["us-east-1", _NORTH] == [annexd.status(name)["region"] for name in ("here", "there")]
    fleets = [
        [fleet["SpotFleetRequestId"] for fleet in cloud.contents(region=region).fleets]
        for region in ("us-east-1", _NORTH)
    ]
    assert [[here.out.strip()], [there.out.strip()]] == fleets
    assert 0 == annexd.plain("off", "-annex-name", "there").status
    assert cloud.contents(region=_NORTH).empty
    assert not cloud.contents().empty


def test_a_region_has_a_function_of_its_own(
    own_annexd: Annexd, cloud: LocalCloud, north: str
) -> None:
    """A knob with the region before its name comes before the plain one."""
    regional = {f"eu_north_1.{_KNOB}": north, _KNOB: FUNCTION_ARN}
    own_annexd.configure({**own_annexd.knobs, **regional})
    own_annexd.start()
    there = own_annexd.ask(console_config(), "-aws-region", _NORTH, arn=None)
    here = own_annexd.ask(console_config(), arn=None)
    assert (0, 0) == (there.status, here.status), there.err + here.err
    asked = [seen.parameters["FunctionName"] for seen in cloud.requests("GetFunction")]
    assert [north, FUNCTION_ARN] == asked


def test_the_callers_function_comes_before_the_daemons(
    own_annexd: Annexd, cloud: LocalCloud, north: str
) -> None:
    """Both have one; when the caller has none, the daemon's of the region is taken."""
    daemons = {**own_annexd.knobs, f"eu_north_1.{_KNOB}": north, _KNOB: FUNCTION_ARN}
    own_annexd.configure(daemons)
    own_annexd.start()
    own_annexd.configure({**own_annexd.knobs, f"eu_north_1.{_KNOB}": _NOWHERE})
    refused = own_annexd.ask(console_config(), "-aws-region", _NORTH, arn=None)
    assert (1, True) == (refused.status, "is in us-east-1" in refused.err), refused.err
    plain = {name: value for name, value in daemons.items() if _KNOB not in name}
    own_annexd.configure(plain)
    assert 0 == own_annexd.ask(console_config(), "-aws-region", _NORTH, arn=None).status
    assert {_NORTH} == {seen.region for seen in cloud.requests()}


def test_the_region_knob_says_where(own_annexd: Annexd, cloud: LocalCloud, north: str) -> None:
    """Nobody asks for a region: it is the configuration's, and so is the function."""
    knobs = {"ANNEX_DEFAULT_AWS_REGION": _NORTH, f"eu_north_1.{_KNOB}": north, _KNOB: _NOWHERE}
    own_annexd.configure({**own_annexd.knobs, **knobs})
    own_annexd.start()
    assert 0 == own_annexd.ask(console_config(), arn=None).status
    assert {_NORTH} == {seen.region for seen in cloud.requests()}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("-aws-region", "north"), "'north' is no AWS region"),
        (("-aws-region", _NORTH), "the lease function is in us-east-1"),
        (
            ("-aws-region", _NORTH, "-ec2-url", "https://ec2.us-west-2.amazonaws.com"),
            "of different regions",
        ),
    ],
)
def test_regions_that_do_not_go_together(
    annexd: Annexd, cloud: LocalCloud, arguments: tuple[str, ...], why: str
) -> None:
    """It is said what is wrong, and AWS is not asked."""
    ended = annexd.ask(console_config(), *arguments)
    assert (1, True) == (ended.status, why in ended.err), ended.err
    assert [] == cloud.requests()


def test_a_duration_in_hours(annexd: Annexd, cloud: LocalCloud) -> None:
    """Decimal hours, of a new annex and of one that is there; whole seconds."""
    before = int(time.time())
    annexd.ask(console_config(), "-annex-name", "hours", "-duration", "0.5")
    assert before + 1800 <= annexd.status("hours")["lease_expires"] <= time.time() + 1800
    before = int(time.time())
    ended = annexd.plain("-annex-name", "hours", "-duration", "2.5")
    end = annexd.status("hours")["lease_expires"]
    assert before + 9000 <= end <= time.time() + 9000
    shown = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(end))
    assert f"Lease updated. It ends at {shown}.\n" == ended.out
    assert 1 == len(cloud.contents().fleets)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("-duration", "2", "-lease-duration", "7200"), "mean the same: give one"),
        (("-duration", "0"), "at least a second"),
        (("-duration", "0.0001"), "at least a second"),
        (("-duration", "-1"), "-duration"),
        (("-duration", "."), "'.' is no number of hours"),
        (("-duration", "1e3"), "'1e3' is no number of hours"),
        (("-duration", "nan"), "'nan' is no number of hours"),
        (("-duration", "two"), "'two' is no number of hours"),
        (("-duration", "9999"), "longer than ANNEX_MAX_LEASE"),
    ],
)
def test_what_is_no_duration(
    annexd: Annexd, cloud: LocalCloud, arguments: tuple[str, ...], why: str
) -> None:
    """Status 1, and why."""
    ended = annexd.ask(console_config(), *arguments)
    assert (1, True) == (ended.status, why in ended.err), ended.err
    assert [] == cloud.requests()
