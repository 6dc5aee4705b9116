"""Endpoints and their regions: pure reading of URLs and ARNs.

Sources: AWS General Reference, "Service endpoints"; the patterns of region names are botocore's
own partition data, passed in.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from htcondor_annex import regions
from htcondor_annex.annex import Endpoints
from htcondor_annex.errors import RequestError

__all__ = [
    "LambdaArn",
    "Partition",
    "Urls",
    "check_endpoints",
    "choose_endpoints",
    "parse_lambda_arn",
    "region_of_url",
]

_MAX_URL = 512


@dataclass(frozen=True, slots=True)
class Partition:
    """One of AWS's partitions: its name, what its regions look like, its DNS suffixes."""

    name: str
    region_pattern: str
    suffixes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LambdaArn:
    """The parts of a Lambda function's ARN that matter here."""

    partition: str
    region: str
    account: str
    name: str


class Urls(NamedTuple):
    """The URLs of the three services; None is not given."""

    ec2: str | None
    events: str | None
    lambda_: str | None


_NAMES = ("EC2", "events", "Lambda")
"""The services by name; the same in small letters begins their hosts' names."""

_LAMBDA_ARN = re.compile(
    r"arn:(aws[a-z-]*):lambda:([a-z0-9-]{1,32}):(\d{12}):function:([A-Za-z0-9_-]{1,64})"
    r"(?::[A-Za-z0-9$_-]{1,128})?",
    re.ASCII,
)


def parse_lambda_arn(arn: str) -> LambdaArn:
    """Read a function's ARN (AWS Lambda API reference, GetFunction: FunctionName).

    Raises:
        RequestError: If it is none.
    """
    match = _LAMBDA_ARN.fullmatch(arn)
    if not match:
        raise RequestError(
            f"{arn[:200]!r} is not the ARN of a Lambda function",
            advice="Give the LeaseFunctionARN from the outputs of the lease function's stack; "
            "it looks like arn:aws:lambda:us-east-1:123456789012:function:NAME.",
        )
    return LambdaArn(*match.groups())


def _split(url: str, what: str) -> SplitResult:
    """Return the parts of an endpoint's URL; raises RequestError if it is none."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise RequestError(f"the {what} endpoint {url[:200]!r} is no URL: {error}") from error
    if (
        parts.scheme not in {"http", "https"}
        or not host
        or len(url) > _MAX_URL
        or parts.username is not None
        or parts.query
        or parts.fragment
    ):
        raise RequestError(
            f"the {what} endpoint {url[:200]!r} is no URL of a service",
            advice=f"It looks like https://{what.lower()}.us-east-1.amazonaws.com.",
        )
    return parts


def _own_region(url: str, what: str, partitions: Sequence[Partition]) -> str | None:
    """Return the region of an endpoint that is AWS's own; None if it is not."""
    parts = _split(url, what)
    host = (parts.hostname or "").lower()
    labels: list[str] = []
    patterns: list[str] = []
    for partition in partitions:  # some share their suffixes
        for suffix in partition.suffixes:
            if host.endswith("." + suffix):
                labels = host.removesuffix("." + suffix).split(".")
                patterns.append(partition.region_pattern)
    if not patterns:
        return None
    if parts.scheme != "https":
        raise RequestError(f"the {what} endpoint {url!r} must be https")
    # AWS's oldest names have no region, and mean its first.
    found = (label for label in labels for one in patterns if re.fullmatch(one, label))
    return next(found, regions.FIRST)


def region_of_url(url: str, what: str, partitions: Sequence[Partition], default: str) -> str:
    """Return the region that an endpoint serves.

    Args:
        url: `https://HOST[:PORT][/...]`, or http for hosts that are not AWS's.
        what: The service, for errors.
        partitions: AWS's partitions.
        default: The region of a host that is not AWS's own (ANNEX_DEFAULT_AWS_REGION).

    Raises:
        RequestError: If it is no such URL.
    """
    return _own_region(url, what, partitions) or default


def check_endpoints(
    ec2: str, events: str, lambda_: str, partitions: Sequence[Partition], default_region: str
) -> Endpoints:
    """Return the three endpoints with their one region.

    Raises:
        RequestError: If one is no URL, or if they are of different regions (naming them).
    """
    regions = {
        what: region_of_url(url, what, partitions, default_region)
        for what, url in (("EC2", ec2), ("events", events), ("Lambda", lambda_))
    }
    if len(set(regions.values())) > 1:
        urls = {"EC2": ec2, "events": events, "Lambda": lambda_}
        raise RequestError(
            "the EC2, events and Lambda endpoints are of different regions",
            problems=[f"{what}: {region} ({urls[what]})" for what, region in regions.items()],
            advice="Give all three of one region: ANNEX_DEFAULT_EC2_URL, ANNEX_DEFAULT_CWE_URL "
            "and ANNEX_DEFAULT_LAMBDA_URL, or -ec2-url, -events-url and -lambda-url. A host "
            "that is not AWS's own is taken to be in ANNEX_DEFAULT_AWS_REGION.",
        )
    return Endpoints(region=regions["EC2"], ec2=ec2, events=events, lambda_=lambda_)


def _own_url(what: str, region: str, partitions: Sequence[Partition]) -> str:
    """Return AWS's own endpoint of a service in a region."""
    for partition in partitions:
        if re.fullmatch(partition.region_pattern, region):
            return f"https://{what.lower()}.{region}.{partition.suffixes[0]}"
    raise RequestError(
        f"AWS has no region {region!r}", advice="Its regions look like us-west-2 or eu-north-1."
    )


def _usual(
    url: str, what: str, partitions: Sequence[Partition], asked: str | None, default: str
) -> str:
    """Return the endpoint that a knob stands for."""
    if asked is None:
        # Not what somebody chose: the default, which has the suffix of most regions only; and
        # HTCondor's own, which its bindings give even where ANNEX_DEFAULT_AWS_REGION is set.
        unset = {
            f"https://{what.lower()}.{region}.amazonaws.com" for region in (default, regions.FIRST)
        }
        return _own_url(what, default, partitions) if url in unset else url
    if _own_region(url, what, partitions) in (None, asked):
        return url
    return _own_url(what, asked, partitions)


def choose_endpoints(
    given: Urls, knobs: Urls, partitions: Sequence[Partition], *, asked: str | None, default: str
) -> Endpoints:
    """Return the endpoints of a request.

    Args:
        given: Its own; they come first, and must be in the region that it asks for, if it does.
        knobs: The configuration's. With a region asked for, one that is AWS's own gives way to
            that region's; one that is not (a local cloud, a proxy) is taken to be in it.
        partitions: AWS's partitions.
        asked: The region that is asked for, or None.
        default: The region of hosts that are not AWS's own, if none is asked for.

    Raises:
        RequestError: If there is no such region, one is no URL, or they disagree.
    """
    if asked is not None and not regions.is_region(asked):
        raise RequestError(
            f"{asked[:80]!r} is no AWS region",
            advice="Give -aws-region one such as us-west-2 or eu-north-1.",
        )
    ec2, events, lambda_ = (
        own or _usual(knob or "", what, partitions, asked, default)
        for own, knob, what in zip(given, knobs, _NAMES, strict=True)
    )
    endpoints = check_endpoints(ec2, events, lambda_, partitions, asked or default)
    if asked not in (None, endpoints.region):
        raise RequestError(
            f"the endpoints given are in {endpoints.region}, and -aws-region is {asked}",
            advice="Give one of the two, or endpoints of that region.",
        )
    return endpoints
