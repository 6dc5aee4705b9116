"""Endpoints and their regions: pure reading of URLs and ARNs.

Sources: AWS General Reference, "Service endpoints"; the patterns of region names are botocore's
own partition data, passed in.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from htcondor_annex.annex import Endpoints
from htcondor_annex.errors import RequestError

__all__ = ["LambdaArn", "Partition", "check_endpoints", "parse_lambda_arn", "region_of_url"]

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
    try:
        parts = urlsplit(url)
        host, _ = (parts.hostname or "").lower(), parts.port
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
    labels: list[str] = []
    patterns: list[str] = []
    for partition in partitions:  # some share their suffixes
        for suffix in partition.suffixes:
            if host.endswith("." + suffix):
                labels = host.removesuffix("." + suffix).split(".")
                patterns.append(partition.region_pattern)
    if not patterns:
        return default
    if parts.scheme != "https":
        raise RequestError(f"the {what} endpoint {url!r} must be https")
    # AWS's oldest names have no region, and mean its first.
    found = (label for label in labels for one in patterns if re.fullmatch(one, label))
    return next(found, "us-east-1")


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
