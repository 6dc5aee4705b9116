"""The objects that cross the socket: a request read from JSON, an annex written as JSON. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from htcondor_annex.annex import Annex, AnnexRequest, check_annex_name
from htcondor_annex.errors import RequestError
from htcondor_annex.inventory.judge import Sight

__all__ = ["annex_to_wire", "duration_from_wire", "request_from_wire"]

_MAX_TEXT = 4096
_MAX_NUMBER = 2**53
# Wire name -> (attribute, type); the wire names are the tool's flags.
_FIELDS: Mapping[str, tuple[str, type]] = {
    "config": ("config", dict),
    "annex_name": ("name", str),
    "lease_duration": ("lease_duration", int),
    "lease_function_arn": ("lease_function_arn", str),
    "access_key_file": ("access_key_file", str),
    "secret_key_file": ("secret_key_file", str),
    "count": ("count", int),
    "valid_from": ("valid_from", int),
    "valid_until": ("valid_until", int),
    "region": ("region", str),
    "ec2_url": ("ec2_url", str),
    "events_url": ("events_url", str),
    "lambda_url": ("lambda_url", str),
    "request_token": ("request_token", str),
}
_MAX_TOKEN = 64
_TOKEN = re.compile(rf"[A-Za-z0-9-]{{1,{_MAX_TOKEN}}}", re.ASCII)
_WORDS = {dict: "an object", str: "a string", int: "a whole number"}


def _problem(name: str, value: Any, kind: type) -> str | None:  # noqa: ANN401  (JSON)
    if not isinstance(value, kind) or isinstance(value, bool):
        return f"{name} must be {_WORDS[kind]}"
    if isinstance(value, str) and (len(value) > _MAX_TEXT or "\0" in value):
        return f"{name} is longer than {_MAX_TEXT} characters or holds a NUL"
    if isinstance(value, int) and not 0 < value < _MAX_NUMBER:
        return f"{name} must be more than 0, not {str(value)[:40]}"
    return None


def request_from_wire(document: Any) -> AnnexRequest:  # noqa: ANN401  (JSON, not yet checked)
    """Check a request's form.

    Args:
        document: What the body holds.

    Raises:
        RequestError: Naming every field that is wrong.
    """
    if not isinstance(document, dict):
        raise RequestError("the request must be a JSON object")
    problems = [f"{name[:80]} is no field of a request" for name in document if name not in _FIELDS]
    values: dict[str, Any] = {}
    for name, (attribute, kind) in _FIELDS.items():
        value = document.get(name)
        if value is None:
            continue
        if problem := _problem(name, value, kind):
            problems.append(problem)
        values[attribute] = value
    if "config" not in values:
        problems.append("config is missing: the Spot Fleet configuration")
    if problems:
        raise RequestError("the request is wrong", problems=problems)
    if "name" in values:
        check_annex_name(values["name"])
    if not _TOKEN.fullmatch(values.get("request_token", "-")):
        raise RequestError(f"request_token must be 1 to {_MAX_TOKEN} letters, digits or '-'")
    return AnnexRequest(**values)


def duration_from_wire(document: Any) -> int:  # noqa: ANN401  (JSON, not yet checked)
    """Check the form of a change: the one field `lease_duration`, seconds.

    Raises:
        RequestError: If it is another.
    """
    if not isinstance(document, dict) or set(document) != {"lease_duration"}:
        raise RequestError("the change must be a JSON object with lease_duration and nothing else")
    duration = document["lease_duration"]
    if problem := _problem("lease_duration", duration, int):
        raise RequestError(problem)
    return int(duration)


def annex_to_wire(annex: Annex, sight: Sight | None = None) -> dict[str, Any]:
    """Return what an owner may see of his annex, and of its instances where they were seen."""
    seen = (
        {}
        if sight is None
        else {
            "fleet_state": sight.fleet_state,
            "instances": dict(sight.instances),
            "seen": sight.seen,
        }
    )
    return {
        "id": annex.identity.id,
        "name": annex.identity.name,
        "owner": annex.owner.name,
        "state": str(annex.state),
        "spot_fleet_request_id": annex.capacity_id,
        "lease_expires": annex.expires,
        "lease_function_arn": annex.lease.function_arn,
        "lease_method": str(annex.lease.method),
        "region": annex.endpoints.region,
        "created": annex.created,
        "activated": annex.activated,
        "ended": annex.ended,
        "last_error": annex.last_error,
        "waiting_for": annex.waiting_for,
        **seen,
    }
