"""What IAM checks for calls to S3: `TABLE`.

After the Service Authorization Reference, "Amazon S3", and the S3 API Reference, which has for
GetObject and HeadObject: who may not list the bucket is told nothing of an object's absence, but
is refused. Bucket policies and access control lists are not asked.
"""

from collections.abc import Callable, Mapping

from moto.s3.models import s3_backends

from localcloud.iamcallers import PARTITION
from localcloud.iamchecks import Asked, Check, Table, everything

__all__ = ["TABLE"]

_Checks = Callable[[Asked], list[Check]]


def _bucket(asked: Asked) -> str:
    return f"arn:{PARTITION}:s3:::{asked.text('Bucket')}"


def _of_bucket(action: str) -> _Checks:
    return lambda asked: [asked.check(_bucket(asked), action=action)]


def _of_object(action: str) -> _Checks:
    return lambda asked: [_object(asked, action)]


def _object(asked: Asked, action: str, key: str = "") -> Check:
    """Return the check of an action on an object, or on the version of it that is asked for."""
    version = asked.text("VersionId")
    context = {"s3:VersionId": version} if version else {}
    return asked.check(
        f"{_bucket(asked)}/{key or asked.text('Key')}",
        context,
        f"{action}Version" if version and action in _OF_VERSIONS else action,
    )


_OF_VERSIONS = ("GetObject", "DeleteObject")


def _list(action: str) -> _Checks:
    keys = {"Prefix": "s3:prefix", "Delimiter": "s3:delimiter", "MaxKeys": "s3:max-keys"}

    def checks(asked: Asked) -> list[Check]:
        context = {key: asked.text(name) for name, key in keys.items() if asked.text(name)}
        return [asked.check(_bucket(asked), context, action)]

    return checks


def _get(asked: Asked) -> list[Check]:
    checks = [_object(asked, "GetObject")]
    if not _is_there(asked):
        checks.append(asked.check(_bucket(asked), action="ListBucket"))
    return checks


def _is_there(asked: Asked) -> bool:
    bucket = s3_backends[asked.who.account][PARTITION].buckets.get(asked.text("Bucket"))
    return bucket is not None and asked.text("Key") in bucket.keys


def _put(asked: Asked) -> list[Check]:
    checks = [_object(asked, "PutObject")]
    if asked.text("Tagging"):
        checks.append(_object(asked, "PutObjectTagging"))
    return checks


def _copy(asked: Asked) -> list[Check]:
    source = asked.text("CopySource").lstrip("/").partition("?")[0]
    return [asked.check(f"arn:{PARTITION}:s3:::{source}", action="GetObject"), *_put(asked)]


def _delete_many(asked: Asked) -> list[Check]:
    """Return the check of each key; AWS answers for each key, here one refuses them all."""
    given = asked.parameters.get("Delete") or {}
    return [_object(asked, "DeleteObject", str(one["Key"])) for one in given.get("Objects", [])]


# API's name to IAM's, where the two differ.
_RENAMED: Mapping[str, str] = {
    "HeadBucket": "ListBucket",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "DeleteBucketTagging": "PutBucketTagging",
    "DeleteBucketOwnershipControls": "PutBucketOwnershipControls",
    "ListMultipartUploads": "ListBucketMultipartUploads",
}
_SAME = (
    "CreateBucket",
    "DeleteBucket",
    "DeleteBucketPolicy",
    "GetBucketLocation",
    "GetBucketOwnershipControls",
    "GetBucketPolicy",
    "GetBucketPolicyStatus",
    "GetBucketTagging",
    "GetBucketVersioning",
    "PutBucketOwnershipControls",
    "PutBucketPolicy",
    "PutBucketTagging",
    "PutBucketVersioning",
)

TABLE: Table = {
    **{action: _of_bucket(action) for action in _SAME},
    **{action: _of_bucket(renamed) for action, renamed in _RENAMED.items()},
    "ListBuckets": lambda asked: [asked.check(action="ListAllMyBuckets")],
    "ListObjects": _list("ListBucket"),
    "ListObjectsV2": _list("ListBucket"),
    "ListObjectVersions": _list("ListBucketVersions"),
    "GetObject": _get,
    "HeadObject": _get,
    "PutObject": _put,
    "CopyObject": _copy,
    "DeleteObject": _of_object("DeleteObject"),
    "DeleteObjects": lambda asked: _delete_many(asked) or everything(asked),
    "CreateMultipartUpload": _put,
    "UploadPart": _of_object("PutObject"),
    "CompleteMultipartUpload": _of_object("PutObject"),
    "AbortMultipartUpload": _of_object("AbortMultipartUpload"),
    "GetObjectTagging": _of_object("GetObjectTagging"),
    "PutObjectTagging": _of_object("PutObjectTagging"),
}
