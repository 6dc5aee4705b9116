"""A Spot Fleet: from the console's config.json to the exact parameters of RequestSpotFleet. Pure.

Sources: EC2 API reference, SpotFleetRequestConfigData; EC2 User Guide, "Spot Fleet
configuration options"; the seed for the handling of ValidFrom and ValidUntil.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from htcondor_annex import tags
from htcondor_annex.annex import Identity, Lease
from htcondor_annex.aws.shapes import fit
from htcondor_annex.errors import ConfigError, RequestError
from htcondor_annex.times import iso8601

__all__ = ["MAX_UNITS", "SpotFleet", "Validity", "build", "validity"]

MAX_UNITS = 10_000
"""The most capacity units of one fleet (EC2 User Guide, "EC2 Fleet and Spot Fleet quotas")."""

_REQUEST = "spot-fleet-request"
_INSTANCE = "instance"
# Times and tokens belong to one request; a file is used for many (the seed's question).
_LEFT_OUT = {
    "ValidFrom": "use -valid-from to set it",
    "ValidUntil": "use -valid-until to set it",
    "ClientToken": "every annex gets a token of its own",
}


@dataclass(frozen=True, slots=True)
class Validity:
    """When a fleet may ask for machines: epoch seconds; `starts` is None for at once."""

    starts: int | None
    until: int


@dataclass(frozen=True, slots=True)
class SpotFleet:
    """What RequestSpotFleet is to be sent, and what the user should know of it."""

    parameters: Mapping[str, Any]
    remarks: tuple[str, ...]


def validity(now: int, starts: int | None, until: int | None, max_lease: int) -> Validity:
    """Return the fleet's validity: AWS's own backstop, should all else fail.

    Args:
        now: Epoch seconds.
        starts: -valid-from, epoch seconds, or None.
        until: -valid-until, epoch seconds, or None for start plus `max_lease`.
        max_lease: ANNEX_MAX_LEASE, seconds.

    Raises:
        RequestError: If it ends before it starts, or is over already.
    """
    start = max(now, starts or now)
    end = start + max_lease if until is None else until
    if end <= start:
        raise RequestError(
            f"the fleet would be valid until {iso8601(end)}, which is not after {iso8601(start)}",
            advice="Give a later -valid-until, or leave it out.",
        )
    return Validity(starts=starts, until=end)


def _with_tags(specifications: Any, kind: str, ours: Mapping[str, str]) -> list[Any]:  # noqa: ANN401
    """Return tag specifications with ours merged into those of one resource type."""
    merged, found = [], False
    for specification in specifications or []:
        if specification.get("ResourceType", kind) == kind and not found:
            found = True
            both = [*specification.get("Tags", []), *tags.pairs(ours)]
            merged.append({**specification, "ResourceType": kind, "Tags": both})
        else:
            merged.append(specification)
    return merged if found else [*merged, {"ResourceType": kind, "Tags": tags.pairs(ours)}]


def _tag_problems(specifications: Any, path: str) -> list[str]:  # noqa: ANN401  (fitted JSON)
    return [
        f"{path}[{i}].Tags[{j}].Key: the tags {tags.PREFIX}... are the annex's own"
        for i, specification in enumerate(specifications or [])
        for j, tag in enumerate(specification.get("Tags", []))
        if tag.get("Key", "").startswith(tags.PREFIX)
    ]


def _meaning_problems(config: Mapping[str, Any]) -> list[str]:
    """Return what the model does not say but AWS asks (SpotFleetRequestConfigData)."""
    problems = []
    specifications = config.get("LaunchSpecifications") or []
    templates = config.get("LaunchTemplateConfigs") or []
    if bool(specifications) == bool(templates):
        few = "neither is there" if not specifications else "both are there"
        problems.append(
            f"LaunchSpecifications or LaunchTemplateConfigs: exactly one is needed; {few}"
        )
    units, on_demand = config["TargetCapacity"], config.get("OnDemandTargetCapacity", 0)
    if not 1 <= units <= MAX_UNITS:
        problems.append(f"TargetCapacity must be 1 to {MAX_UNITS}, not {units}")
    if not 0 <= on_demand <= units:
        problems.append(
            f"OnDemandTargetCapacity must be 0 to TargetCapacity ({units}), not {on_demand}"
        )
    problems += _tag_problems(config.get("TagSpecifications"), "TagSpecifications")
    for index, specification in enumerate(specifications):
        path = f"LaunchSpecifications[{index}].TagSpecifications"
        problems += _tag_problems(specification.get("TagSpecifications"), path)
    return problems


def build(
    config: Mapping[str, Any],
    shape: Any,  # noqa: ANN401  (botocore.model.Shape)
    *,
    count: int | None,
    identity: Identity,
    lease: Lease,
    client_token: str,
    valid: Validity,
) -> SpotFleet:
    """Return the exact parameters of RequestSpotFleet for an annex.

    Args:
        config: The user's SpotFleetRequestConfig, as the AWS console exports it.
        shape: botocore's model of it.
        count: Overrides TargetCapacity (-count), or None.
        identity: Who the annex is; goes into the tags.
        lease: Its lease; goes into the tags.
        client_token: At most 64 ASCII characters.
        valid: The fleet's validity.

    Returns:
        Parameters that JSON can hold; times are epoch seconds.

    Raises:
        ConfigError: Listing every problem with its JSON path.
    """
    remarks = [
        f"{name} in the file is left out: {why}"
        for name, why in _LEFT_OUT.items()
        if name in config
    ]
    own = {key: value for key, value in config.items() if key not in _LEFT_OUT}
    if count is not None:
        own["TargetCapacity"] = count
    fitted, problems = fit(own, shape)
    problems = problems or _meaning_problems(fitted)
    if problems:
        raise ConfigError(
            "the Spot Fleet configuration is wrong",
            problems=problems,
            advice="Correct the file; the fields are those of SpotFleetRequestConfigData in the "
            "EC2 API reference.",
        )
    if fitted.get("TerminateInstancesWithExpiration") is False:
        remarks.append("TerminateInstancesWithExpiration is set to true: AWS's own backstop")
    ours = tags.for_annex(identity, lease)
    parameters = {
        **fitted,
        "Type": fitted.get("Type", "request"),
        "ClientToken": client_token,
        "TerminateInstancesWithExpiration": True,
        "ValidUntil": valid.until,
        "TagSpecifications": _with_tags(fitted.get("TagSpecifications"), _REQUEST, ours),
    }
    if valid.starts is not None:
        parameters["ValidFrom"] = valid.starts
    if fitted.get("LaunchSpecifications"):
        parameters["LaunchSpecifications"] = [
            {**one, "TagSpecifications": _with_tags(one.get("TagSpecifications"), _INSTANCE, ours)}
            for one in fitted["LaunchSpecifications"]
        ]
    else:
        # AWS takes instance tags for these from the launch template alone.
        remarks.append(
            "instances from LaunchTemplateConfigs carry the tags of their launch template; "
            "the annex's own stand on the fleet"
        )
    return SpotFleet(parameters=parameters, remarks=tuple(remarks))
