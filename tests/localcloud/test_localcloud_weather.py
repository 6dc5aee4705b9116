"""Random weather: what meets a call follows from the seed, and from nothing that may vary."""

import random
from collections import Counter

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from localcloud import LocalCloud
from localcloud.weather import KINDS, Weather
from localcloud.wire import Call
from tests.localcloud.conftest import Client, request_fleet

ACTIONS = [("ec2", "RequestSpotFleet"), ("ec2", "DescribeInstances"), ("events", "PutRule")]


def call(service: str, action: str) -> Call:
    """Return a call."""
    return Call(service, action, "us-east-1", "AKIA", "json")


def test_the_order_of_different_actions_does_not_matter() -> None:
    """Each action's nth call meets the same, however the threads of a run are interleaved."""
    calls = [call(*one) for one in ACTIONS for _ in range(50)]
    mixed = random.Random(3).sample(calls, len(calls))  # noqa: S311  (no secret)
    met = []
    for order in (calls, mixed):
        weather = Weather(7, 0.5)
        gusts = [(one.action, weather.meet(one)) for one in order]
        met.append([[gust for action, gust in gusts if action == name] for _, name in ACTIONS])
    assert met[0] == met[1]


def test_another_seed_gives_other_weather() -> None:
    """A text may be a seed as well."""
    runs = []
    for seed in (1, 2, "1a"):
        weather = Weather(seed, 0.5)
        runs.append(tuple(weather.meet(call("ec2", "RunInstances")) for _ in range(50)))
    assert len(set(runs)) == 3


def test_chance_is_how_many_calls_meet_something() -> None:
    """None, all, or about as many as told."""
    met = []
    for chance in (0.0, 0.2, 1.0):
        weather = Weather(1, chance)
        met.append(sum(weather.meet(call("ec2", "RunInstances")) is not None for _ in range(1000)))
    assert (met[0], met[2]) == (0, 1000)
    assert 150 < met[1] < 250


def test_all_kinds_come() -> None:
    """About as often; within their bounds; and only what is made can be hidden."""
    weather = Weather(1, 1.0, latency=2.0, hidden=3.0)
    gusts = [weather.meet(call("ec2", "RunInstances")) for _ in range(700)]
    kinds = Counter(gust.kind for gust in gusts if gust)
    assert set(KINDS) == set(kinds)
    assert min(kinds.values()) > 50
    assert all(0 <= gust.wait <= 2 and 0 <= gust.hide <= 3 for gust in gusts if gust)
    others = [weather.meet(call("ec2", "DescribeInstances")) for _ in range(700)]
    assert "hidden" not in {gust.kind for gust in others if gust}


@pytest.mark.parametrize(
    "wrong", [{"chance": 1.1}, {"chance": -0.1}, {"kinds": ["hail"]}, {"milliseconds": -1}]
)
def test_weather_that_makes_no_sense_is_refused(
    cloud: LocalCloud, wrong: dict[str, object]
) -> None:
    """At once, with the field."""
    with pytest.raises(ValueError, match="refused POST weather"):
        cloud.weather(1, **{"chance": 0.5, **wrong})  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    ("service", "action", "code", "status"),
    [
        ("ec2", "describe_instances", "RequestLimitExceeded", 503),
        ("events", "list_rules", "ThrottlingException", 400),
        ("lambda", "list_functions", "TooManyRequestsException", 429),
        ("s3", "list_buckets", "SlowDown", 503),
        ("iam", "list_roles", "Throttling", 400),
    ],
)
def test_throttling_is_worded_as_the_service_words_it(
    cloud: LocalCloud, service: str, action: str, code: str, status: int
) -> None:
    """By each API reference's errors: "Request throttling for the Amazon EC2 API", and so on."""
    cloud.weather(1, 1.0, ["throttled"])
    with pytest.raises(ClientError) as failed:
        getattr(cloud.client(service), action)()
    answer = failed.value.response
    assert (code, status) == (
        answer["Error"]["Code"],
        answer["ResponseMetadata"]["HTTPStatusCode"],
    )


@pytest.mark.parametrize(
    ("kind", "error", "fleets", "met"),
    [
        ("throttled", ClientError, 0, "RequestLimitExceeded"),
        ("failed", ClientError, 0, "InternalError"),
        ("failed-after", ClientError, 1, "InternalError after"),
        ("lost", ConnectionClosedError, 0, "lost"),
        ("lost-after", ConnectionClosedError, 1, "lost after"),
    ],
)
def test_a_kind_does_what_it_says(
    cloud: LocalCloud, kind: str, error: type[Exception], fleets: int, met: str
) -> None:
    """What the caller hears is one thing, and what has been done another."""
    cloud.weather(1, 1.0, [kind])
    with pytest.raises(error):
        request_fleet(cloud.client("ec2"))
    assert fleets == len(cloud.contents().fleets)
    assert [met] == [seen.met for seen in cloud.requests()]


def test_latency_and_hiding_are_kinds_too(cloud: LocalCloud, ec2: Client) -> None:
    """The answer is the right one, but late, or about something that is not yet seen."""
    cloud.weather(1, 1.0, ["latency"], milliseconds=1)
    ec2.describe_instances()
    cloud.weather(1, 1.0, ["hidden"], hidden=3600)
    request_fleet(ec2)
    assert [] == ec2.describe_spot_fleet_requests()["SpotFleetRequestConfigs"]
    assert len(cloud.contents().fleets) == 1
    assert ["latency", "hidden", ""] == [seen.met for seen in cloud.requests()]


def test_a_run_can_be_had_again(cloud: LocalCloud) -> None:
    """The same calls meet the same with the same seed, after a reset as well."""

    def run() -> list[str]:
        cloud.reset()
        cloud.weather("seed", 0.5, milliseconds=1)
        for _ in range(20):
            try:
                cloud.client("events").list_rules()
            except (ClientError, ConnectionClosedError):
                continue
        return [seen.met for seen in cloud.requests()]

    first = run()
    assert {"", "lost"} < set(first)
    assert first == run()


def test_a_fault_that_was_asked_for_goes_first(cloud: LocalCloud, ec2: Client) -> None:
    """The weather is drawn all the same, and so is the same afterwards."""
    cloud.weather(1, 1.0, ["throttled"])
    cloud.fail("DescribeInstances", "Unavailable", status=503)
    with pytest.raises(ClientError, match="Unavailable"):
        ec2.describe_instances()
    with pytest.raises(ClientError, match="RequestLimitExceeded"):
        ec2.describe_instances()


def test_calm_ends_the_weather(cloud: LocalCloud, ec2: Client) -> None:
    """And onlookers never had any."""
    cloud.weather(1, 1.0, ["lost"])
    assert cloud.contents().empty
    cloud.calm()
    assert [] == ec2.describe_instances()["Reservations"]
