"""AWS::S3::Bucket and ::BucketPolicy.

Source: the schemas of these types: what their handlers call, and which properties need a new one.
"""

import json
from collections.abc import Mapping
from typing import Any

from localcloud.cfncalls import Failure, Hand
from localcloud.cfnkinds import Kind, Thing, Wanted, as_list

__all__ = ["KINDS"]

_MAIN_REGION = "us-east-1"  # the one that CreateBucket does not take as a constraint


# -- buckets ---------------------------------------------------------------------------------------


def _make_bucket(hand: Hand, one: Thing, want: Wanted) -> None:
    name = want.properties.get("BucketName", one.name)
    place = {"LocationConstraint": hand.region} if hand.region != _MAIN_REGION else None
    hand.ask("s3", "CreateBucket", Bucket=name, CreateBucketConfiguration=place)
    one.physical = name
    one.attributes = {
        "Arn": f"arn:aws:s3:::{name}",
        "DomainName": f"{name}.s3.amazonaws.com",
        "RegionalDomainName": f"{name}.s3.{hand.region}.amazonaws.com",
    }
    _set_up(hand, one, Wanted(), want)


def _set_up(hand: Hand, one: Thing, was: Wanted, want: Wanted) -> None:
    """Put each of a bucket's settings that differs, or take it away."""
    for name, (put, delete, member, shaped) in _SETTINGS.items():
        before, after = was.properties.get(name), want.properties.get(name)
        if before == after:
            continue
        if after is None:
            hand.ask("s3", delete, fine=("gone",), Bucket=one.physical)
        else:
            hand.ask("s3", put, Bucket=one.physical, **{member: shaped(after)})
    if was.tags == want.tags:
        return
    if want.tags:
        tags = {"TagSet": as_list(want.tags)}
        hand.ask("s3", "PutBucketTagging", Bucket=one.physical, Tagging=tags)
    else:
        hand.ask("s3", "DeleteBucketTagging", Bucket=one.physical)


def _unmake_bucket(hand: Hand, one: Thing, _: Wanted) -> None:
    hand.ask("s3", "HeadBucket", Bucket=one.physical)
    hand.ask("s3", "DeleteBucket", Bucket=one.physical)


def _same(value: Any) -> Any:  # noqa: ANN401  (JSON)
    return value


def _encryption(given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "Rules": [
            {
                "ApplyServerSideEncryptionByDefault"
                if key == "ServerSideEncryptionByDefault"
                else key: value
                for key, value in rule.items()
            }
            for rule in given["ServerSideEncryptionConfiguration"]
        ]
    }


def _lifecycle(given: Mapping[str, Any]) -> dict[str, Any]:
    return {"Rules": [_lifecycle_rule(dict(rule)) for rule in given["Rules"]]}


def _lifecycle_rule(rule: dict[str, Any]) -> dict[str, Any]:
    shaped: dict[str, Any] = {
        "Status": rule.pop("Status"),
        "Filter": {"Prefix": rule.pop("Prefix", "")},
    }
    if "Id" in rule:
        shaped["ID"] = rule.pop("Id")
    if "ExpirationInDays" in rule:
        shaped["Expiration"] = {"Days": int(rule.pop("ExpirationInDays"))}
    for same in ("AbortIncompleteMultipartUpload", "NoncurrentVersionExpiration"):
        if same in rule:
            shaped[same] = rule.pop(same)
    if rule:
        raise Failure(f"the local cloud does not know {sorted(rule)} of a lifecycle's rule")
    return shaped


_SETTINGS = {
    "BucketEncryption": (
        "PutBucketEncryption",
        "DeleteBucketEncryption",
        "ServerSideEncryptionConfiguration",
        _encryption,
    ),
    "PublicAccessBlockConfiguration": (
        "PutPublicAccessBlock",
        "DeletePublicAccessBlock",
        "PublicAccessBlockConfiguration",
        _same,
    ),
    "OwnershipControls": (
        "PutBucketOwnershipControls",
        "DeleteBucketOwnershipControls",
        "OwnershipControls",
        _same,
    ),
    "LifecycleConfiguration": (
        "PutBucketLifecycleConfiguration",
        "DeleteBucketLifecycle",
        "LifecycleConfiguration",
        _lifecycle,
    ),
}
"""Property to: what puts it, what takes it away, the call's member, and how that is shaped."""


# -- their policies --------------------------------------------------------------------------------


def _make_policy(hand: Hand, one: Thing, want: Wanted) -> None:
    bucket = want.properties["Bucket"]
    if hand.ask("s3", "GetBucketPolicy", fine=("NoSuchBucketPolicy",), Bucket=bucket):
        raise Failure(f"The bucket policy already exists on bucket {bucket}.")
    _put_policy(hand, want)
    one.physical = bucket


def _put_policy(hand: Hand, want: Wanted) -> None:
    document = json.dumps(want.properties["PolicyDocument"])
    hand.ask("s3", "PutBucketPolicy", Bucket=want.properties["Bucket"], Policy=document)


def _change_policy(hand: Hand, _: Thing, was: Wanted, want: Wanted) -> None:
    if was != want:
        _put_policy(hand, want)


def _unmake_policy(hand: Hand, one: Thing, _: Wanted) -> None:
    hand.ask("s3", "GetBucketPolicy", Bucket=one.physical)
    hand.ask("s3", "DeleteBucketPolicy", Bucket=one.physical)


KINDS = (
    Kind(
        "AWS::S3::Bucket",
        _make_bucket,
        _set_up,
        _unmake_bucket,
        known=frozenset({"BucketName", "Tags", *_SETTINGS}),
        replaced=frozenset({"BucketName"}),
        attributes=frozenset({"Arn", "DomainName", "RegionalDomainName"}),
        named="BucketName",
        longest=63,
        tagged=True,
    ),
    Kind(
        "AWS::S3::BucketPolicy",
        _make_policy,
        _change_policy,
        _unmake_policy,
        known=frozenset({"Bucket", "PolicyDocument"}),
        replaced=frozenset({"Bucket"}),
    ),
)
