"""The tags that everything made for an annex carries; matching is by equality alone.

`htcondor_annex/lease/function.py` stands alone in AWS Lambda and so repeats these names; a test
holds the two together.
"""

from collections.abc import Mapping

from htcondor_annex.annex import Identity, Lease

__all__ = [
    "ANNEXD",
    "ANNEX_ID",
    "ANNEX_NAME",
    "FLEET",
    "LEASE_EXPIRES",
    "PREFIX",
    "expiry",
    "for_annex",
    "pairs",
]

PREFIX = "htcondor:"
ANNEX_ID = "htcondor:annex-id"
ANNEX_NAME = "htcondor:annex-name"
ANNEXD = "htcondor:annexd"
LEASE_EXPIRES = "htcondor:lease-expires"
FLEET = "aws:ec2spot:fleet-request-id"
"""AWS itself puts it on every instance that a Spot Fleet launches."""


def for_annex(identity: Identity, lease: Lease) -> dict[str, str]:
    """Return the four tags of one annex, name to value."""
    return {
        ANNEX_ID: identity.id,
        ANNEX_NAME: identity.name,
        ANNEXD: identity.annexd_id,
        **expiry(lease),
    }


def expiry(lease: Lease) -> dict[str, str]:
    """Return the one tag that a lease's update changes."""
    return {LEASE_EXPIRES: str(lease.expires)}


def pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Return tags as AWS's list of Key and Value."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]
