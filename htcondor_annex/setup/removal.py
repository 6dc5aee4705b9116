"""What -teardown does with a stack; the bucket is emptied of what annexes left there."""

import re
from collections.abc import Mapping

from htcondor_annex.errors import AwsError, SetupError
from htcondor_annex.setup import stacks
from htcondor_annex.setup.aws import Aws
from htcondor_annex.setup.cloudformation import CloudFormation
from htcondor_annex.setup.stacks import Found, Spec
from htcondor_annex.setup.walk import Begun, Outcome

__all__ = ["Remove"]

_OURS = re.compile(r"config-[^/]+\.tar\.gz")
_MOST = 1000
"""As many objects S3 lists, or deletes, at once (S3 API reference)."""
_PAGES = ("NextContinuationToken", "ContinuationToken")
_BUCKET_TYPE = "AWS::S3::Bucket"


class Remove:
    """Removes a stack: a `walk.Task`."""

    def __init__(self, aws: Aws, cloudformation: CloudFormation) -> None:
        """Bind the region."""
        self._aws = aws
        self._cloudformation = cloudformation

    def foreign(self, spec: Spec) -> Outcome:
        """Leave it alone: it is somebody else's."""
        del spec
        return Outcome.LEFT

    def begin(
        self, spec: Spec, found: Found | None, done: Mapping[str, Found], token: str
    ) -> Begun:
        """Remove a stack; see `walk.Task`."""
        del done
        if found is None:
            return Begun(outcome=Outcome.ABSENT)
        if spec.name == stacks.BUCKET:
            for bucket in self._buckets(found):
                self._empty(bucket)
        self._cloudformation.delete(found.stack_id, f"remove{token}")
        return Begun("is being removed", found.stack_id, "DELETE_COMPLETE", Outcome.REMOVED)

    def _buckets(self, found: Found) -> list[str]:
        return [
            str(one["PhysicalResourceId"])
            for one in self._cloudformation.resources(found.stack_id)
            if one["ResourceType"] == _BUCKET_TYPE
            and one.get("PhysicalResourceId")
            and one["ResourceStatus"] not in {"CREATE_FAILED", "DELETE_COMPLETE"}
        ]

    def _keys(self, bucket: str) -> list[str]:
        page = {"Bucket": bucket, "MaxKeys": _MOST}
        pages = self._aws.pages("s3", "list_objects_v2", "Contents", _PAGES, **page)
        try:
            return [str(one["Key"]) for one in pages]
        except AwsError as error:
            if error.aws_code == "NoSuchBucket":
                return []
            raise

    def _empty(self, bucket: str) -> None:
        """Delete annexes' configurations.

        Raises:
            SetupError: If something else lies there too: then nothing is deleted.
        """
        keys = self._keys(bucket)
        strange = [key for key in keys if not _OURS.fullmatch(key)]
        if strange:
            raise SetupError(
                f"the bucket {bucket} holds {len(strange)} objects that no annex made, such as "
                f"{strange[0][:100]!r}; it is kept",
                advice="Take them out if somebody needs them, delete them, and repeat",
            )
        for start in range(0, len(keys), _MOST):
            part = [{"Key": key} for key in keys[start : start + _MOST]]
            answer = self._aws.call(
                "s3", "delete_objects", Bucket=bucket, Delete={"Objects": part, "Quiet": True}
            )
            for error in answer.get("Errors", []):
                raise SetupError(
                    f"S3 did not delete {error.get('Key')} from {bucket}: "
                    f"{error.get('Code')}: {error.get('Message')}"
                )
