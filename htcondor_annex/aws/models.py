"""botocore's models of AWS's APIs, loaded without their documentation: a sixth of the memory.

The daemon holds EC2's model for as long as it runs, and most of that file is prose.
"""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from botocore.loaders import JSONFileLoader, Loader

from htcondor_annex.aws.endpoints import Partition

__all__ = ["lean_session", "partitions", "plain_core"]

# Whatever a user keeps for AWS's own tools has no say here: HTCondor's knobs and the flags rule.
# (Each: name in the file, in the environment, default, conversion; botocore.session.Session.)
_NO_PROFILES = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


def _without_prose(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {
        key: value
        for key, value in pairs
        # A member of a shape may have that name as well; it is no text then.
        if not (key == "documentation" and isinstance(value, str))
    }


class _LeanFileLoader(JSONFileLoader):  # type: ignore[misc]  # botocore is untyped
    """Reads what botocore's own loader reads, and drops the prose while reading."""

    def load_file(self, file_path: str) -> dict[str, Any] | None:
        """Return what `file_path`.json or `file_path`.json.gz holds; None if there is neither."""
        for path, read in (
            (Path(file_path + ".json"), Path.read_bytes),
            (Path(file_path + ".json.gz"), lambda packed: gzip.decompress(packed.read_bytes())),
        ):
            if path.is_file():
                found: dict[str, Any] = json.loads(read(path), object_pairs_hook=_without_prose)
                return found
        return None


def plain_core() -> Any:  # noqa: ANN401  (botocore is untyped)
    """Return a botocore session with whole models, as S3 needs them."""
    return botocore.session.get_session(_NO_PROFILES)


def lean_session() -> Any:  # noqa: ANN401  (boto3 is untyped)
    """Return a boto3 session whose models carry no prose; times in answers stay AWS's texts."""
    core = plain_core()
    core.register_component("data_loader", Loader(file_loader=_LeanFileLoader()))
    # Nobody reads them, and parsing them took a quarter of what a thousand instances take.
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=str)
    return boto3.session.Session(botocore_session=core)


def partitions(core: Any) -> tuple[Partition, ...]:  # noqa: ANN401  (botocore is untyped)
    """Return AWS's partitions from botocore's data."""
    data = core.get_component("data_loader").load_data("partitions")
    return tuple(
        Partition(
            name=one["id"],
            region_pattern=one["regionRegex"].strip("^$"),
            suffixes=(one["outputs"]["dnsSuffix"], one["outputs"]["dualStackDnsSuffix"]),
        )
        for one in data["partitions"]
    )
