"""What is read from outside: times, JSON, endpoints, ARNs, knobs, the model's shapes."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htcondor_annex import strictjson, times
from htcondor_annex.aws.clients import Clients
from htcondor_annex.aws.endpoints import parse_lambda_arn, region_of_url
from htcondor_annex.aws.shapes import fit
from htcondor_annex.errors import AnnexError, KnobError, RequestError
from htcondor_annex.forms import request_from_wire
from htcondor_annex.knobs import KNOBS, read_knobs, socket_path

NOW = 1_700_000_000
CLIENTS = Clients(threads=1, timeout=1)
PARTITIONS = CLIENTS.partitions()
SHAPE = CLIENTS.spot_fleet_shape()
BASE = {"LOCK": "/run/condor", "FULL_HOSTNAME": "pool.example"}


@pytest.mark.parametrize(
    ("text", "epoch"),
    [
        ("2023-11-14T22:13:20Z", NOW),
        ("2023-11-14T22:13:20.000Z", NOW),
        ("2023-11-14 22:13:20+00:00", NOW),
        ("2023-11-14T22:13", NOW - 20),
        ("2023-11-14", 1_699_920_000),
        ("+0", NOW),
        ("+3600", NOW + 3600),
    ],
)
def test_times_are_read(text: str, epoch: int) -> None:
    """ISO 8601 in UTC and +SECONDS give epoch seconds."""
    assert times.parse_when(text, NOW) == epoch


@pytest.mark.parametrize(
    "text",
    [
        *("", "tomorrow", "-5", "+", "+1.5", "2023-13-01", "2023-02-30", "2023-11-14T25:00"),
        *("1700000000", "2023-11-14T22:13:20+02:00", "+99999999999"),
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    """Anything else is refused, and named in the error."""
    with pytest.raises(ValueError, match="is "):
        times.parse_when(text, NOW)


@given(st.integers(min_value=0, max_value=4_000_000_000))
def test_times_survive_a_round_trip(epoch: int) -> None:
    """What we write as ISO 8601 we read as the same second."""
    assert times.parse_when(times.iso8601(epoch), 0) == epoch


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_refused(data: bytes) -> None:
    """No input makes the reader fail otherwise than by its own error."""
    try:
        strictjson.loads(data)
    except strictjson.JsonError as error:
        assert str(error) != ""  # noqa: PT017  (the absence of an error is as good)


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://ec2.us-west-2.amazonaws.com", "us-west-2"),
        ("https://EC2.us-west-2.amazonaws.com:443/", "us-west-2"),
        ("https://ec2.us-west-2.api.aws", "us-west-2"),
        ("https://ec2-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("https://ec2.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("https://vpce-1-2.ec2.eu-west-3.vpce.amazonaws.com", "eu-west-3"),
        ("https://ec2.amazonaws.com", "us-east-1"),
        ("http://127.0.0.1:5000", "xx-home-1"),
        ("https://ec2.us-west-2.amazonaws.com.example", "xx-home-1"),
        ("https://notamazonaws.com", "xx-home-1"),
    ],
)
def test_regions_of_endpoints(url: str, region: str) -> None:
    """An AWS host tells its region; any other is in the knob's."""
    assert region_of_url(url, "EC2", PARTITIONS, "xx-home-1") == region


def test_aws_is_reached_by_https_alone() -> None:
    """Plain http to AWS's own hosts is refused."""
    with pytest.raises(RequestError, match="must be https"):
        region_of_url("http://ec2.us-west-2.amazonaws.com", "EC2", PARTITIONS, "x")


@pytest.mark.parametrize("qualifier", ["", ":PROD", ":$LATEST", ":3"])
@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_function_arns_are_read(partition: str, qualifier: str) -> None:
    """Every partition, version and alias is understood."""
    arn = f"arn:{partition}:lambda:eu-west-1:123456789012:function:lease{qualifier}"
    parsed = parse_lambda_arn(arn)
    assert (parsed.partition, parsed.region, parsed.name) == (partition, "eu-west-1", "lease")


def test_knobs_have_the_stated_defaults() -> None:
    """An empty configuration gives us-east-1, a lease of 3000 s and a week at most."""
    knobs = read_knobs(BASE, int_or_expression)
    assert (knobs.socket, knobs.name) == ("/run/condor/annexd.sock", "pool.example")
    assert knobs.ec2_url == "https://ec2.us-east-1.amazonaws.com"
    assert (knobs.lease_duration, knobs.max_lease, knobs.access_key_file) == (3000, 604800, None)


def int_or_expression(text: str) -> int:
    """Stand in for HTCondor's evaluator: products of integers."""
    return math.prod(int(factor) for factor in text.split("*"))


def test_all_bad_knobs_are_named() -> None:
    """Every knob that is wrong is in the one error."""
    numbers = [knob.name for knob in KNOBS if knob.kind in {"seconds", "number"}]
    with pytest.raises(KnobError) as caught:
        read_knobs({**BASE, **dict.fromkeys(numbers, "0")}, int_or_expression)
    assert [problem.split(":")[0] for problem in caught.value.problems] == numbers


def test_the_tool_finds_the_socket_as_the_daemon_does() -> None:
    """One home for the socket's place, set or not."""
    assert socket_path(BASE) == read_knobs(BASE, int_or_expression).socket
    assert socket_path({"ANNEXD_SOCKET": "/x"}) == "/x"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["config", "count", "annex_name", *SHAPE.members, "Ebs", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_fits_the_model_or_is_explained(value: Any) -> None:  # noqa: ANN401  (JSON)
    """Whatever the configuration holds, it fits or every misfit has a line of its own."""
    _, problems = fit(value, SHAPE)
    assert all(isinstance(problem, str) and problem for problem in problems)


@given(JSON)
def test_any_json_is_a_request_or_refused(value: Any) -> None:  # noqa: ANN401  (JSON)
    """No body makes the daemon fail otherwise than by an error of ours."""
    try:
        request_from_wire(value)
    except AnnexError as error:
        assert error.to_wire()["message"]  # noqa: PT017  (the absence of an error is as good)


@pytest.mark.parametrize(
    ("given_value", "fitted"),
    [
        ({"TargetCapacity": "5"}, {"TargetCapacity": 5}),
        ({"TargetCapacity": 5.0}, {"TargetCapacity": 5}),
        ({"SpotPrice": 0.05}, {"SpotPrice": "0.05"}),
        ({"SpotPrice": 1e-05}, {"SpotPrice": "0.00001"}),
        ({"ReplaceUnhealthyInstances": "False"}, {"ReplaceUnhealthyInstances": False}),
    ],
)
def test_types_are_put_right(given_value: dict[str, Any], fitted: dict[str, Any]) -> None:
    """Numbers as strings and strings as numbers become what the model says."""
    value, problems = fit({"IamFleetRole": "r", "TargetCapacity": 1, **given_value}, SHAPE)
    assert (value, problems) == ({"IamFleetRole": "r", "TargetCapacity": 1, **fitted}, [])
