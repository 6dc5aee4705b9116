"""From a request to an annex: every check that needs nobody's answer, made before AWS is asked.

Pure: the knobs, the clock's reading, the random id and the model of AWS's API are passed in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from htcondor_annex.annex import (
    Annex,
    AnnexRequest,
    Endpoints,
    Identity,
    Lease,
    LeaseMethod,
    Owner,
    check_annex_name,
)
from htcondor_annex.aws.endpoints import Partition, Urls, choose_endpoints, parse_lambda_arn
from htcondor_annex.capacity import spot_fleet
from htcondor_annex.errors import RequestError
from htcondor_annex.journal.keptjson import KeptJson, json_text
from htcondor_annex.knobs import Knobs
from htcondor_annex.times import iso8601

__all__ = ["AwsModel", "new_end", "plan", "usual_endpoints"]


@dataclass(frozen=True, slots=True)
class AwsModel:
    """What botocore knows of AWS: the shape of a Spot Fleet's configuration, the partitions."""

    spot_fleet: Any
    partitions: Sequence[Partition]


def _given(value: str | None, default: str | None, what: str, flag: str, knob: str) -> str:
    chosen = value if value is not None else default
    if not chosen:
        raise RequestError(
            f"no {what} was given",
            advice=f"Give {flag}, or set {knob} in HTCondor's configuration.",
        )
    return chosen


def _endpoints(given: Urls, region: str | None, knobs: Knobs, model: AwsModel) -> Endpoints:
    usual = Urls(knobs.ec2_url, knobs.events_url, knobs.lambda_url)
    return choose_endpoints(given, usual, model.partitions, asked=region, default=knobs.region)


def usual_endpoints(knobs: Knobs, model: AwsModel) -> Endpoints:
    """Return the endpoints of a request that names none.

    Raises:
        RequestError: If the knobs disagree, or one holds no URL.
    """
    return _endpoints(Urls(None, None, None), None, knobs, model)


def _lease(request: AnnexRequest, knobs: Knobs, now: int, region: str) -> Lease:
    arn = _given(
        request.lease_function_arn,
        knobs.lease_function(region),
        "lease function",
        "-lease-function-arn ARN (the LeaseFunctionARN that the lease function's stack outputs)",
        "ANNEX_DEFAULT_SFR_LEASE_FUNCTION_ARN",
    )
    parsed = parse_lambda_arn(arn)
    if parsed.region != region:
        raise RequestError(
            f"the lease function is in {parsed.region}, the endpoints are in {region}",
            advice="A lease function ends only what is in its own region: give the one of the "
            "endpoints' region, or endpoints of the function's.",
        )
    duration = knobs.lease_duration if request.lease_duration is None else request.lease_duration
    if duration > knobs.max_lease:
        raise RequestError(
            f"a lease of {duration} seconds is longer than ANNEX_MAX_LEASE ({knobs.max_lease})",
            advice="Ask for a shorter lease, or have ANNEX_MAX_LEASE raised.",
        )
    start = max(now, request.valid_from or now)
    return Lease(start + duration, arn, LeaseMethod(knobs.lease_method))


def plan(
    request: AnnexRequest,
    *,
    owner: Owner,
    knobs: Knobs,
    model: AwsModel,
    now: int,
    annex_id: str,
    annexd_id: str,
) -> Annex:
    """Return the annex that a request asks for, with its exact parameters.

    Args:
        request: Checked for form.
        owner: Who asks, by the kernel's word.
        knobs: The daemon's.
        model: What botocore knows of AWS.
        now: Epoch seconds.
        annex_id: A new UUID4.
        annexd_id: The daemon's UUID.

    Raises:
        RequestError: If an option is wrong or missing.
        ConfigError: If the configuration is wrong, listing every problem.
    """
    # The default name shows the id's beginning, so that a person can tell two apart.
    identity = Identity(annex_id, request.name or f"annex-{annex_id[:8]}", annexd_id)
    check_annex_name(identity.name)
    given = Urls(request.ec2_url, request.events_url, request.lambda_url)
    endpoints = _endpoints(given, request.region, knobs, model)
    lease = _lease(request, knobs, now, endpoints.region)
    access, secret = (
        _given(
            getattr(request, f"{kind}_key_file"),
            getattr(knobs, f"{kind}_key_file"),
            f"{kind} key file",
            f"-{kind}-key-file FILE",
            f"ANNEX_DEFAULT_{kind.upper()}_KEY_FILE",
        )
        for kind in ("access", "secret")
    )
    valid = spot_fleet.validity(now, request.valid_from, request.valid_until, knobs.max_lease)
    fleet = spot_fleet.build(
        request.config,
        model.spot_fleet,
        count=request.count,
        identity=identity,
        lease=lease,
        client_token=annex_id,
        valid=valid,
    )
    return Annex(
        identity=identity,
        owner=owner,
        lease=lease,
        endpoints=endpoints,
        access_key_file=access,
        secret_key_file=secret,
        client_token=annex_id,
        parameters=KeptJson(json_text(fleet.parameters)),
        created=now,
        request_token=request.request_token or "",
        remarks=fleet.remarks,
    )


def new_end(annex: Annex, duration: int, *, now: int, max_lease: int) -> int:
    """Return when a lease ends that is given another duration.

    Args:
        annex: Whose lease.
        duration: Seconds from now.
        now: Epoch seconds.
        max_lease: ANNEX_MAX_LEASE, seconds.

    Raises:
        RequestError: If that is longer than may be, or than AWS will keep the fleet: ValidUntil
            cannot be changed once the fleet is there (EC2 API reference, ModifySpotFleetRequest).
    """
    if duration > max_lease:
        raise RequestError(
            f"a lease of {duration} seconds is longer than ANNEX_MAX_LEASE ({max_lease})",
            advice="Ask for a shorter lease, or have ANNEX_MAX_LEASE raised.",
        )
    until = annex.parameters.get("ValidUntil")
    if isinstance(until, int) and now + duration > until:
        raise RequestError(
            f"AWS ends this annex's fleet at {iso8601(until)} whatever happens: its lease cannot "
            "end later",
            advice="Ask for a shorter lease, or for a new annex.",
        )
    return now + duration
