"""The committed files, and the text that each must have."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from htcondor_annex.templates.bucket import bucket_template
from htcondor_annex.templates.example import example_config
from htcondor_annex.templates.fleetrole import fleet_role_template
from htcondor_annex.templates.lease import lease_template
from htcondor_annex.templates.network import security_group_template
from htcondor_annex.templates.permissions import annexd_policy
from htcondor_annex.templates.role import role_template

__all__ = ["DIRECTORY", "as_text", "committed", "stale", "write"]

DIRECTORY = Path(__file__).resolve().parents[2] / "templates"
"""Where a checkout keeps them."""


def as_text(value: Mapping[str, Any], *, pretty: bool = True) -> str:
    """Return JSON, ASCII only, ending in a newline."""
    if pretty:
        return json.dumps(value, indent=2) + "\n"
    return json.dumps(value, separators=(",", ":")) + "\n"


def committed() -> dict[str, str]:
    """Return the text of each committed file, by its name."""
    return {
        "lease-function.json": as_text(lease_template()),
        "instance-role.json": as_text(role_template()),
        "fleet-role.json": as_text(fleet_role_template()),
        "configuration-bucket.json": as_text(bucket_template()),
        "security-group.json": as_text(security_group_template()),
        "annexd-policy.json": as_text(annexd_policy()),
        "config.json": as_text(example_config()),
    }


def stale(directory: Path) -> list[str]:
    """Return the names of the files in a directory that are not as generated."""
    return [
        name
        for name, text in committed().items()
        if not (directory / name).is_file()
        or (directory / name).read_text(encoding="utf-8") != text
    ]


def write(directory: Path) -> list[str]:
    """Bring the files in a directory up to date; return the names of those that changed.

    Raises:
        OSError: If one cannot be written.
    """
    names = stale(directory)
    texts = committed()
    for name in names:
        (directory / name).write_text(texts[name], encoding="utf-8")
    return names
