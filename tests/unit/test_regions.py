"""Where an annex goes: regions asked for, endpoints, and each region's lease function."""

import math
from dataclasses import astuple

import pytest

from htcondor_annex import regions
from htcondor_annex.aws.clients import Clients
from htcondor_annex.aws.endpoints import Urls, choose_endpoints
from htcondor_annex.errors import KnobError, RequestError
from htcondor_annex.knobs import Knobs, read_knobs

PARTITIONS = Clients(threads=1, timeout=1).partitions()
BASE = {"LOCK": "/run/condor", "FULL_HOSTNAME": "pool.example"}
NONE = Urls(None, None, None)
LOCAL = "http://127.0.0.1:5000"
FUNCTION = "ANNEX_DEFAULT_SFR_LEASE_FUNCTION_ARN"


def own(region: str, suffix: str = "amazonaws.com") -> Urls:
    """Return AWS's own endpoints."""
    return Urls(*(f"https://{name}.{region}.{suffix}" for name in ("ec2", "events", "lambda")))


def knobs(**changes: str) -> Knobs:
    """Return the knobs of a configuration."""
    return read_knobs({**BASE, **changes}, int_or_expression)


def int_or_expression(text: str) -> int:
    """Stand in for HTCondor's evaluator: products of integers."""
    return math.prod(int(factor) for factor in text.split("*"))


def chosen(
    asked: str | None = None,
    *,
    given: Urls = NONE,
    usual: Urls | None = None,
    default: str = "us-east-1",
) -> tuple[str, ...]:
    """Return region and URLs."""
    found = choose_endpoints(
        given, usual or own("us-east-1"), PARTITIONS, asked=asked, default=default
    )
    return astuple(found)


def test_htcondors_own_defaults_do_not_outweigh_the_region() -> None:
    """HTCondor gives the three URLs of us-east-1 to whoever sets the region alone."""
    assert ("eu-north-1", *own("eu-north-1")) == chosen(
        usual=own("us-east-1"), default="eu-north-1"
    )


def test_a_url_that_was_chosen_outweighs_the_region() -> None:
    """The region is for what does not tell its own."""
    assert ("us-west-2", *own("us-west-2")) == chosen(usual=own("us-west-2"), default="eu-north-1")


@pytest.mark.parametrize(
    ("region", "suffix"),
    [
        ("us-east-1", "amazonaws.com"),
        ("ap-southeast-2", "amazonaws.com"),
        ("us-gov-west-1", "amazonaws.com"),
        ("cn-north-1", "amazonaws.com.cn"),
        ("eusc-de-east-1", "amazonaws.eu"),
    ],
)
def test_a_region_has_its_own_endpoints(region: str, suffix: str) -> None:
    """Asked for, or by the knob alone, with the suffix of its partition."""
    expected = (region, *own(region, suffix))
    assert expected == chosen(region)
    alone = knobs(ANNEX_DEFAULT_AWS_REGION=region)
    usual = Urls(alone.ec2_url, alone.events_url, alone.lambda_url)
    assert expected == chosen(usual=usual, default=alone.region)


@pytest.mark.parametrize("region", ["", "west", "us_west_2", "US-WEST-2", "us-west-2x", "a-b-" * 9])
def test_what_is_no_region(region: str) -> None:
    """By its form; as a knob it is named."""
    with pytest.raises(RequestError, match="is no AWS region"):
        chosen(region)
    with pytest.raises(KnobError) as told:
        knobs(ANNEX_DEFAULT_AWS_REGION=region)
    assert "ANNEX_DEFAULT_AWS_REGION" in told.value.problems[0]


def test_a_region_that_aws_has_not() -> None:
    """It has the form, and no partition has such."""
    with pytest.raises(RequestError, match="AWS has no region 'xx-west-2'"):
        chosen("xx-west-2")


def test_a_host_of_ones_own_serves_any_region() -> None:
    """A knob's URL that is not AWS's is used as it stands, with the region that is asked for."""
    local = Urls(LOCAL, LOCAL, LOCAL)
    assert ("eu-north-1", *local) == chosen("eu-north-1", usual=local)
    assert ("us-east-1", *local) == chosen(usual=local)


def test_a_knobs_endpoint_of_that_very_region_stays() -> None:
    """Such as one of a virtual private cloud."""
    private = "https://vpce-1.ec2.us-west-2.vpce.amazonaws.com"
    usual = own("us-west-2")._replace(ec2=private)
    assert ("us-west-2", *usual) == chosen("us-west-2", usual=usual)
    assert ("eu-north-1", *own("eu-north-1")) == chosen("eu-north-1", usual=usual)


def test_the_requests_own_urls_come_first() -> None:
    """And agree with the region that is asked for, or are refused."""
    given = own("us-west-2")
    assert ("us-west-2", *given) == chosen(given=given)
    assert ("us-west-2", *given) == chosen("us-west-2", given=given)
    with pytest.raises(RequestError, match="are in us-west-2, and -aws-region is eu-north-1"):
        chosen("eu-north-1", given=given)


def test_one_url_of_another_region_is_refused() -> None:
    """The others are of the region that is asked for, and all are named."""
    with pytest.raises(RequestError, match="of different regions") as told:
        chosen("eu-north-1", given=NONE._replace(ec2=own("us-west-2").ec2))
    assert 3 == len(told.value.problems)


def test_a_url_that_is_given_is_in_the_region_asked_for() -> None:
    """If its host is not AWS's own."""
    given = NONE._replace(lambda_=LOCAL)
    expected = own("eu-north-1")._replace(lambda_=LOCAL)
    assert ("eu-north-1", *expected) == chosen("eu-north-1", given=given)


def test_the_region_knob_moves_all_endpoints() -> None:
    """Set alone; unset it is us-east-1."""
    moved, plain = knobs(ANNEX_DEFAULT_AWS_REGION="eu-west-3"), knobs()
    assert own("eu-west-3") == Urls(moved.ec2_url, moved.events_url, moved.lambda_url)
    assert own("us-east-1") == Urls(plain.ec2_url, plain.events_url, plain.lambda_url)


def test_each_region_may_have_its_function() -> None:
    """By a knob with the region before its name; the plain one is for all others."""
    read = knobs(
        **{FUNCTION: "plain", f"us_west_2.{FUNCTION}": "west", f"EU_NORTH_1.{FUNCTION}": "north"}
    )
    assert ["west", "north", "plain"] == [
        read.lease_function(region) for region in ("us-west-2", "eu-north-1", "us-east-1")
    ]


def test_other_prefixes_are_no_regions() -> None:
    """Names of daemons, and other knobs of a region."""
    read = knobs(
        **{f"WEST.{FUNCTION}": "x", f"ANNEXD.{FUNCTION}": "y", "us_west_2.ANNEXD_NAME": "z"}
    )
    assert {} == read.lease_functions
    assert read.lease_function("us-west-2") is None


@pytest.mark.parametrize("region", ["us-west-2", "us-gov-east-1", "eusc-de-east-1"])
def test_a_regions_prefix_means_it(region: str) -> None:
    """HTCondor's names take no dash."""
    prefix = regions.prefix(region)
    assert "-" not in prefix
    assert region == regions.of_prefix(prefix.removesuffix("."))


@pytest.mark.parametrize(("text", "method"), [("rule", "RULE"), ("Sweep", "SWEEP")])
def test_the_lease_method_is_a_word(text: str, method: str) -> None:
    """In any case; RULE if nothing is said."""
    assert method == knobs(ANNEX_LEASE_METHOD=text).lease_method
    assert "RULE" == knobs().lease_method


def test_another_word_is_no_lease_method() -> None:
    """The knob is named, and what it may be."""
    with pytest.raises(KnobError) as told:
        knobs(ANNEX_LEASE_METHOD="both")
    assert ("ANNEX_LEASE_METHOD: 'both' is not RULE or SWEEP",) == told.value.problems
