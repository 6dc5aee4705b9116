"""Where -setup reaches AWS: a knob that names a host of somebody's own, or else AWS's. Pure."""

from collections.abc import Mapping, Sequence

from htcondor_annex.aws.endpoints import Partition, Urls, choose_endpoints, region_of_url

__all__ = ["ANNEXDS", "OTHERS", "own_urls", "service_urls"]

ANNEXDS: Mapping[str, str] = {
    "ec2": "ANNEX_DEFAULT_EC2_URL",
    "events": "ANNEX_DEFAULT_CWE_URL",
    "lambda": "ANNEX_DEFAULT_LAMBDA_URL",
}
"""The services that annexd uses too, and their knobs."""

OTHERS: Mapping[str, str] = {
    "cloudformation": "ANNEX_DEFAULT_CF_URL",
    "iam": "ANNEX_DEFAULT_IAM_URL",
    "s3": "ANNEX_DEFAULT_S3_URL",
}
"""The services that -setup alone uses, and their knobs: HTCondor's own names, but for IAM's."""

_NOBODYS = ""


def service_urls(
    region: str, param: Mapping[str, str], partitions: Sequence[Partition]
) -> dict[str, str | None]:
    """Return the endpoint of each service in a region; None is AWS's own, as botocore has it.

    Raises:
        RequestError: If there is no such region, or a knob holds no URL.
    """
    nothing = Urls(None, None, None)
    ec2, events, lambda_ = (
        param.get(knob, f"https://{service}.{region}.amazonaws.com")
        for service, knob in ANNEXDS.items()
    )
    knobs = Urls(ec2, events, lambda_)
    three = choose_endpoints(nothing, knobs, partitions, asked=region, default=region)
    found: dict[str, str | None] = {
        "ec2": three.ec2,
        "events": three.events,
        "lambda": three.lambda_,
    }
    for service, knob in OTHERS.items():
        url = param.get(knob)
        own = url is None or region_of_url(url, knob, partitions, _NOBODYS) != _NOBODYS
        found[service] = None if own else url
    return found


def own_urls(urls: Mapping[str, str | None], partitions: Sequence[Partition]) -> dict[str, str]:
    """Return the knobs that name AWS's own endpoints of annexd's services, by `service_urls`."""
    found = {knob: urls[service] or "" for service, knob in ANNEXDS.items()}
    return {
        knob: url
        for knob, url in found.items()
        if region_of_url(url, knob, partitions, _NOBODYS) != _NOBODYS
    }
