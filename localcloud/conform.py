"""Spot Fleets as AWS has them, where moto falls short. Put into moto once, in the server's process.

What is put right, after the EC2 API reference and the EC2 User Guide ("Spot Fleet request
states"):

* ClientToken: the same token with the same parameters gives the same fleet, with others
  IdempotentParameterMismatch. (Calls come one at a time, see `faults.Layer`.)
* The whole SpotFleetRequestConfig is kept and described; AllocationStrategy may be missing; all
  Overrides count; a pool may name a subnet, a group or a profile that is not there, since AWS
  finds that out only when it launches.
* Instances carry `aws:ec2spot:fleet-request-id` and the instance profile.
* Cancelled fleets stay visible; unknown ones are reported, not stumbled upon.
* DescribeSpotFleetRequests and DescribeSpotFleetInstances give pages.
"""

import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses.spot_fleets import SpotFleets

if TYPE_CHECKING:
    from moto.ec2.models.spot_requests import SpotFleetRequest

__all__ = ["FLEET_TAG", "install", "reset", "set_page_size"]

FLEET_TAG = "aws:ec2spot:fleet-request-id"
LIVE = "active"
_DEFAULT_TYPE = "m5.large"  # for pools that ask for properties instead of a type
_ROLE_ARN_START = "arn:"

_lock = threading.Lock()
_tokens: dict[tuple[str, str], tuple[Mapping[str, Any], str]] = {}
_pages = {"size": 1000}


def reset() -> None:
    """Forget client tokens and page size."""
    with _lock:
        _tokens.clear()
        _pages["size"] = 1000


def set_page_size(size: int) -> None:
    """Let pages hold at most so many items, so that paging shows with few of them."""
    with _lock:
        _pages["size"] = size


def install() -> None:
    """Put AWS's behaviour into moto's classes."""
    for name in (
        "request_spot_fleet",
        "cancel_spot_fleet_requests",
        "describe_spot_fleet_requests",
        "describe_spot_fleet_instances",
    ):
        setattr(SpotFleets, name, globals()[f"_{name}"])


def _request_spot_fleet(self: SpotFleets) -> ActionResult:
    self.error_on_dryrun()
    config = _plain(self._get_param("SpotFleetRequestConfig", {}))
    for name in ("IamFleetRole", "TargetCapacity"):
        if name not in config:
            raise EC2ClientError(
                "MissingParameter", f"The request must contain the parameter {name}"
            )
    if not str(config["IamFleetRole"]).startswith(_ROLE_ARN_START):
        raise EC2ClientError("InvalidSpotFleetRequestConfig", "IamFleetRole is not an ARN")
    token = config.get("ClientToken")
    with _lock:
        known = _tokens.get((self.region, token)) if token else None
    if known:
        if known[0] != config:
            raise EC2ClientError(
                "IdempotentParameterMismatch",
                "Arguments on this idempotent request are inconsistent with arguments used in "
                "previous request(s).",
            )
        return ActionResult({"SpotFleetRequestId": known[1]})
    backend = self.ec2_backend
    fleet: SpotFleetRequest = backend.request_spot_fleet(
        spot_price=config.get("SpotPrice"),
        target_capacity=config["TargetCapacity"],
        iam_fleet_role=config["IamFleetRole"],
        allocation_strategy=config.get("AllocationStrategy", "lowestPrice"),
        launch_specs=_pools(backend, config),
        instance_interruption_behaviour=config.get("InstanceInterruptionBehavior"),
        tag_specifications=config.get("TagSpecifications", []),
    )
    vars(fleet).update(whole_config=config, created=datetime.now(UTC).replace(tzinfo=None))
    profiles = {
        pool["InstanceType"]: pool["IamInstanceProfile"]
        for pool in _pools(backend, config)
        if "IamInstanceProfile" in pool
    }
    for request in fleet.spot_requests:
        backend.tags[request.instance.id][FLEET_TAG] = fleet.id
        _give_profile(backend, request.instance, profiles.get(request.instance.instance_type))
    if token:
        with _lock:
            _tokens[(self.region, token)] = (config, fleet.id)
    return ActionResult({"SpotFleetRequestId": fleet.id})


def _pools(backend: Any, config: Mapping[str, Any]) -> list[dict[str, Any]]:  # noqa: ANN401  (moto)
    """Return the pools of a fleet as launch specifications that moto can launch."""
    pools = [dict(pool) for pool in config.get("LaunchSpecifications", [])]
    for template in config.get("LaunchTemplateConfigs", []):
        named = template["LaunchTemplateSpecification"]
        if "LaunchTemplateId" in named:
            found = backend.get_launch_template(template_id=named["LaunchTemplateId"])
        else:
            found = backend.get_launch_template_by_name(name=named["LaunchTemplateName"])
        data = _plain(found.latest_version().data)
        pools += [{**data, **override} for override in template.get("Overrides") or [{}]]
    known_subnets = {subnet.id for subnet in backend.describe_subnets()}
    for pool in pools:
        pool.setdefault("InstanceType", _DEFAULT_TYPE)
        pool.setdefault("ImageId", "ami-12c6146b")
        # The console writes a pool's subnets as one text with commas.
        subnets = [one.strip() for one in str(pool.get("SubnetId", "")).split(",")]
        pool["SubnetId"] = next((one for one in subnets if one in known_subnets), None)
        groups = [
            group.get("GroupId") or group.get("GroupName")
            for group in pool.get("SecurityGroups", [])
            if isinstance(group, Mapping)
        ]
        pool["SecurityGroups"] = [
            group for group in groups if backend.get_security_group_by_name_or_id(group)
        ]
        pool["TagSpecifications"] = [
            one for one in pool.get("TagSpecifications", []) if one.get("Tags")
        ]
    return pools


def _give_profile(backend: Any, instance: Any, profile: Mapping[str, str] | None) -> None:  # noqa: ANN401
    """Associate a pool's instance profile, if there is such a one."""
    if not profile:
        return
    try:
        backend.associate_iam_instance_profile(
            instance.id,
            iam_instance_profile_name=profile.get("Name"),
            iam_instance_profile_arn=profile.get("Arn"),
        )
    except Exception as error:
        # moto raises its IAM backend's own exceptions here, of no common base.
        if "NotFound" not in type(error).__name__ and "NoSuchEntity" not in str(error):
            raise


def _cancel_spot_fleet_requests(self: SpotFleets) -> ActionResult:
    self.error_on_dryrun()
    terminate = self._get_bool_param("TerminateInstances")
    done, undone = [], []
    for identity in self._get_param("SpotFleetRequestIds", []):
        fleet = self.ec2_backend.get_spot_fleet_request(identity)
        if fleet is None:
            undone.append(_not_cancelled(identity, "fleetRequestIdDoesNotExist"))
        elif fleet.state != LIVE:
            undone.append(_not_cancelled(identity, "fleetRequestNotInCancellableState"))
        else:
            fleet.target_capacity = 0
            fleet.state = "cancelled_running"
            if terminate:
                # moto's own way leaves instances behind where pools weigh differently.
                ids = [request.instance.id for request in fleet.spot_requests]
                if ids:
                    self.ec2_backend.terminate_instances(ids)
                fleet.spot_requests = []
                fleet.state = "cancelled"
            done.append(
                {
                    "SpotFleetRequestId": identity,
                    "CurrentSpotFleetRequestState": (
                        "cancelled_terminating" if terminate else "cancelled_running"
                    ),
                    "PreviousSpotFleetRequestState": LIVE,
                }
            )
    return ActionResult({"SuccessfulFleetRequests": done, "UnsuccessfulFleetRequests": undone})


def _not_cancelled(identity: str, code: str) -> dict[str, Any]:
    error = {"Code": code, "Message": f"{identity}: {code}"}
    return {"SpotFleetRequestId": identity, "Error": error}


def _describe_spot_fleet_requests(self: SpotFleets) -> ActionResult:
    self.error_on_dryrun()
    wanted = self._get_param("SpotFleetRequestIds", [])
    fleets = self.ec2_backend.describe_spot_fleet_requests([])
    known = {fleet.id for fleet in fleets}
    for identity in wanted:
        if identity not in known:
            raise _no_such_fleet(identity)
    page, token = _page(self, [fleet for fleet in fleets if not wanted or fleet.id in wanted])
    described = [
        {
            "SpotFleetRequestId": fleet.id,
            "SpotFleetRequestState": fleet.state,
            "ActivityStatus": "fulfilled" if fleet.state == LIVE else None,
            "CreateTime": vars(fleet).get("created"),
            "SpotFleetRequestConfig": vars(fleet).get(
                "whole_config", fleet.spot_fleet_request_config
            ),
            "Tags": fleet.tag_set,
        }
        for fleet in page
    ]
    return ActionResult({"SpotFleetRequestConfigs": described, "NextToken": token})


def _describe_spot_fleet_instances(self: SpotFleets) -> ActionResult:
    self.error_on_dryrun()
    identity = self._get_param("SpotFleetRequestId")
    fleet = self.ec2_backend.get_spot_fleet_request(identity)
    if fleet is None:
        raise _no_such_fleet(identity)
    page, token = _page(self, list(fleet.spot_requests))
    active = [
        {
            "InstanceId": request.instance.id,
            "SpotInstanceRequestId": request.id,
            "InstanceType": request.instance.instance_type,
        }
        for request in page
    ]
    return ActionResult(
        {"SpotFleetRequestId": identity, "ActiveInstances": active, "NextToken": token}
    )


def _no_such_fleet(identity: str) -> EC2ClientError:
    return EC2ClientError(
        "InvalidSpotFleetRequestId.NotFound",
        f"The spot fleet request ID '{identity}' does not exist",
    )


def _page(response: SpotFleets, items: list[Any]) -> tuple[list[Any], str | None]:
    """Return one page of items, and the token of the next."""
    size = min(int(response._get_param("MaxResults") or 1000), _pages["size"])  # noqa: SLF001
    start = int(response._get_param("NextToken") or 0)  # noqa: SLF001  (moto's own way in)
    end = start + size
    return items[start:end], str(end) if end < len(items) else None


def _plain(value: Any) -> Any:  # noqa: ANN401  (what moto parsed)
    """Return moto's mappings as plain ones, which compare and copy."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
