"""Spot Fleets as AWS has them; moto's own are not used. `install` puts this into moto once.

After the EC2 API Reference ("SpotFleetRequestConfigData", "SpotFleetRequestConfig",
"CancelSpotFleetRequests" and its errors, "EventInformation") and the EC2 User Guide ("Spot Fleet
request states", "Spot Fleet request types"):

* A request is idempotent by its ClientToken.
* The whole SpotFleetRequestConfig is kept and described, with FulfilledCapacity; AllocationStrategy
  may be missing; all Overrides are pools; a pool may name a subnet, a group or a profile that is
  not there, since AWS finds that out only when it launches.
* Instances come as capacity does (`localcloud.world`), carry `aws:ec2spot:fleet-request-id`, the
  pool's tags and its profile. A fleet of type `maintain`, which is the default, replaces those
  that end while it is active; one of type `request` does not.
* ActivityStatus is `pending_fulfillment` while time alone is lacking; `error` while the limit on
  instances stands in the way, since AWS counts that as an error of the fleet
  (spotInstanceCountLimitExceeded) and goes on trying; `fulfilled` when nothing is lacking;
  `pending_termination` while a cancelled fleet's instances are ending.
* Before its ValidFrom a fleet is `submitted`, and launches nothing. At its ValidUntil it is at an
  end as if it were cancelled: it launches nothing more, and its instances end if the request has
  TerminateInstancesWithExpiration.
* A cancelled fleet stays visible; it is `cancelled` when its last instance has terminated, and
  until then `cancelled_terminating` or `cancelled_running`. Unknown fleets are reported one by one;
  a call takes at most 100.

Not modelled: OnDemandTargetCapacity (all are Spot Instances), prices, ModifySpotFleetRequest.
"""

import heapq
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from moto.ec2.exceptions import (
    EC2ClientError,
    InvalidParameterValueErrorTagSpotFleetRequest,
)
from moto.ec2.responses.spot_fleets import SpotFleets
from moto.ec2.utils import convert_tag_spec, random_spot_fleet_request_id

from localcloud import ec2xml, pools, tokens
from localcloud.paging import numbered, page
from localcloud.patching import patch
from localcloud.world import Region, region_of, world

__all__ = ["FLEET_TAG", "Fleet", "advance", "forget_ended", "install", "no_such_fleet"]

FLEET_TAG = "aws:ec2spot:fleet-request-id"
_ACTIVE = "active"
_SUBMITTED = "submitted"
_MOST_CANCELLED = 100
_ROLE_ARN_START = "arn:"

Backend = Any
Response = Any
"""moto's own, which have no types."""


@dataclass(slots=True)
class Fleet:
    """A Spot Fleet.

    Attributes:
        id: Its id.
        number: Keeps the order in which fleets were made.
        config: SpotFleetRequestConfig as requested.
        created: UTC.
        pools: What `pools.read` made of the config.
        valid: From when until when it may launch instances, epoch seconds.
        since: When it began to lack instances, epoch seconds.
        arrived: As many have come since then.
        placed: Units of capacity that were ever launched.
        fulfilled: Units that live.
        members: Instance id to its weight and Spot request id, until it has terminated.
        ending: Once it is cancelled, whether with its instances; None before.
        short: The limit on instances stands in its way.
    """

    id: str
    number: int
    config: Mapping[str, Any]
    created: datetime
    pools: list[pools.Pool]
    valid: tuple[float, float]
    since: float
    arrived: int = 0
    placed: float = 0.0
    fulfilled: float = 0.0
    members: dict[str, tuple[float, str]] = field(default_factory=dict)
    ending: bool | None = None
    short: bool = False

    @property
    def maintains(self) -> bool:
        """Whether it replaces instances."""
        return bool(self.config.get("Type", "maintain") == "maintain")

    @property
    def wants(self) -> bool:
        """Whether it lacks instances that it will launch."""
        has = self.fulfilled if self.maintains else self.placed
        return self.ending is None and has < int(self.config["TargetCapacity"])

    @property
    def state(self) -> str:
        """Its SpotFleetRequestState."""
        if self.ending is None:
            return _SUBMITTED if time.time() < self.valid[0] else _ACTIVE
        if not self.members:
            return "cancelled"
        return "cancelled_terminating" if self.ending else "cancelled_running"

    @property
    def activity(self) -> str | None:
        """Its ActivityStatus."""
        if self.ending is not None:
            return "pending_termination" if self.ending and self.members else None
        if not self.wants:
            return "fulfilled"
        return "error" if self.short else "pending_fulfillment"

    def lose(self, region: Region, instance_id: str) -> None:
        """Note that an instance has begun to end."""
        self.fulfilled -= self.members[instance_id][0]
        if self.wants and self.id not in region.wanting:
            self.since, self.arrived = time.time(), 0
            region.wanting[self.id] = self


def install() -> None:
    """Put AWS's behaviour into moto's classes."""
    patch(
        SpotFleets,
        request_spot_fleet=_request_spot_fleet,
        cancel_spot_fleet_requests=_cancel_spot_fleet_requests,
        describe_spot_fleet_requests=_describe_spot_fleet_requests,
        describe_spot_fleet_instances=_describe_spot_fleet_instances,
        modify_spot_fleet_request=_modify_spot_fleet_request,
    )


def advance(backend: Backend, region: Region, now: float) -> None:
    """Let the instances come that time and capacity have brought, and fleets expire."""
    while region.expiring and region.expiring[0][0] <= now:
        until, identity = heapq.heappop(region.expiring)
        fleet = region.fleets.get(identity)
        if fleet is not None and fleet.ending is None:
            _fill(backend, region, fleet, until)
            terminate = bool(fleet.config.get("TerminateInstancesWithExpiration"))
            _cancel(region, fleet, terminate=terminate)
    for fleet in list(region.wanting.values()):
        _fill(backend, region, fleet, now)


def _fill(backend: Backend, region: Region, fleet: Fleet, now: float) -> None:
    fleet.short = False
    while fleet.wants:
        due = fleet.since + world.delay + world.step * fleet.arrived
        if due > now:
            break
        if not region.room:
            fleet.short = True
            break
        _launch(backend, region, fleet, due)
        fleet.arrived += 1
    if fleet.wants:
        region.wanting[fleet.id] = fleet
    else:
        region.wanting.pop(fleet.id, None)


def _launch(backend: Backend, region: Region, fleet: Fleet, due: float) -> None:
    """Launch one instance; `due` is its launch time, epoch seconds."""
    strategy = str(fleet.config.get("AllocationStrategy", "lowestPrice"))
    pool = pools.choose(fleet.pools, strategy, len(fleet.members))
    request = pools.launch(backend, pool)
    instance = request.instance
    instance.launch_time = datetime.fromtimestamp(due, UTC).replace(tzinfo=None)
    backend.tags[instance.id][FLEET_TAG] = fleet.id
    pools.give_profile(backend, instance, pool.get("IamInstanceProfile"))
    weight = float(pool.get("WeightedCapacity", 1))
    fleet.members[instance.id] = (weight, request.id)
    fleet.placed += weight
    fleet.fulfilled += weight
    region.fleet_of[instance.id] = fleet


def forget_ended(backend: Backend) -> None:
    """Forget the cancelled fleets whose instances have terminated."""
    fleets = region_of(backend).fleets
    for identity in [one for one, fleet in fleets.items() if fleet.state == "cancelled"]:
        del fleets[identity]
        backend.tags.pop(identity, None)


def no_such_fleet(identity: str) -> EC2ClientError:
    """Return AWS's answer to an unknown id."""
    return EC2ClientError(
        "InvalidSpotFleetRequestId.NotFound",
        f"The spot fleet request ID '{identity}' does not exist",
    )


# -- the calls -------------------------------------------------------------------------------------


def _request_spot_fleet(self: Response) -> ec2xml.Written:
    self.error_on_dryrun()
    config = tokens.plain(self._get_param("SpotFleetRequestConfig", {}))
    backend = self.ec2_backend
    region = region_of(backend)
    _check(config)
    token = config.get("ClientToken")
    identity = tokens.recall(region, "RequestSpotFleet", token, config)
    if identity is None:
        tags = convert_tag_spec(config.get("TagSpecifications", []))
        for kind in tags:
            if kind != "spot-fleet-request":
                raise InvalidParameterValueErrorTagSpotFleetRequest(kind)
        now = time.time()
        fleet = Fleet(
            id=random_spot_fleet_request_id(),
            number=region.number(),
            config=config,
            created=datetime.fromtimestamp(now, UTC).replace(tzinfo=None),
            pools=pools.read(backend, config),
            valid=_validity(config, now),
            since=now,
        )
        fleet.since = fleet.valid[0]
        identity = fleet.id
        _fill(backend, region, fleet, now)
        region.fleets[identity] = fleet
        heapq.heappush(region.expiring, (fleet.valid[1], identity))
        region.made.append(identity)
        backend.tags[identity].update(tags.get("spot-fleet-request", {}))
        tokens.remember(region, "RequestSpotFleet", token, config, identity)
    return ec2xml.answer("RequestSpotFleet", {"SpotFleetRequestId": identity})


def _validity(config: Mapping[str, Any], now: float) -> tuple[float, float]:
    """Return from when until when a request is valid, epoch seconds."""
    starts, ends = (config.get(name) for name in ("ValidFrom", "ValidUntil"))
    return (
        now if starts is None else max(now, starts.timestamp()),
        math.inf if ends is None else ends.timestamp(),
    )


def _check(config: Mapping[str, Any]) -> None:
    for name in ("IamFleetRole", "TargetCapacity"):
        if name not in config:
            raise EC2ClientError(
                "MissingParameter", f"The request must contain the parameter {name}"
            )
    if not str(config["IamFleetRole"]).startswith(_ROLE_ARN_START):
        raise EC2ClientError("InvalidSpotFleetRequestConfig", "IamFleetRole is not an ARN")


def _cancel_spot_fleet_requests(self: Response) -> ec2xml.Written:
    self.error_on_dryrun()
    region = region_of(self.ec2_backend)
    ids = self._get_param("SpotFleetRequestIds", [])
    if len(ids) > _MOST_CANCELLED:
        raise EC2ClientError(
            "InvalidParameterValue", f"A request cancels at most {_MOST_CANCELLED} fleets"
        )
    done, undone = [], []
    for identity in ids:
        fleet = region.fleets.get(identity) if region.sees(identity) else None
        if fleet is None:
            undone.append(_not_cancelled(identity, "fleetRequestIdDoesNotExist"))
        elif fleet.ending is not None:
            undone.append(_not_cancelled(identity, "fleetRequestNotInCancellableState"))
        else:
            before = fleet.state
            _cancel(region, fleet, terminate=bool(self._get_bool_param("TerminateInstances")))
            done.append(
                {
                    "SpotFleetRequestId": identity,
                    "CurrentSpotFleetRequestState": (
                        "cancelled_terminating" if fleet.ending else "cancelled_running"
                    ),
                    "PreviousSpotFleetRequestState": before,
                }
            )
    answer = {"SuccessfulFleetRequests": done, "UnsuccessfulFleetRequests": undone}
    return ec2xml.answer("CancelSpotFleetRequests", answer)


def _cancel(region: Region, fleet: Fleet, *, terminate: bool) -> None:
    fleet.ending = terminate
    region.wanting.pop(fleet.id, None)
    onlooker, world.onlooker = world.onlooker, True  # what its caller does not see yet ends too
    for instance_id in list(fleet.members) if terminate else []:
        region.instances[instance_id].terminate()
    world.onlooker = onlooker


def _not_cancelled(identity: str, code: str) -> dict[str, Any]:
    error = {"Code": code, "Message": f"{identity}: {code}"}
    return {"SpotFleetRequestId": identity, "Error": error}


def _describe_spot_fleet_requests(self: Response) -> ec2xml.Written:
    self.error_on_dryrun()
    backend = self.ec2_backend
    region = region_of(backend)
    ids = self._get_param("SpotFleetRequestIds", [])
    found = [_seen(region, one) for one in dict.fromkeys(ids)] or list(_all_seen(region))
    found.sort(key=lambda fleet: fleet.number)
    given, token = _page(self, found, lambda fleet: numbered(fleet.number))
    described = [
        {
            "ActivityStatus": fleet.activity,
            "CreateTime": fleet.created,
            "SpotFleetRequestConfig": {**fleet.config, "FulfilledCapacity": fleet.fulfilled},
            "SpotFleetRequestId": fleet.id,
            "SpotFleetRequestState": fleet.state,
            "Tags": [
                {"Key": key, "Value": value}
                for key, value in backend.tags.get(fleet.id, {}).items()
            ],
        }
        for fleet in given
    ]
    answer = {"SpotFleetRequestConfigs": described, "NextToken": token}
    return ec2xml.answer("DescribeSpotFleetRequests", answer)


def _seen(region: Region, identity: str) -> Fleet:
    if identity not in region.fleets or not region.sees(identity):
        raise no_such_fleet(identity)
    return region.fleets[identity]


def _all_seen(region: Region) -> Iterator[Fleet]:
    return (fleet for fleet in region.fleets.values() if region.sees(fleet.id))


def _describe_spot_fleet_instances(self: Response) -> ec2xml.Written:
    self.error_on_dryrun()
    region = region_of(self.ec2_backend)
    fleet = _seen(region, self._get_param("SpotFleetRequestId"))
    active = sorted(
        (instance_id, request_id)
        for instance_id, (_, request_id) in fleet.members.items()
        if instance_id in region.living and region.sees(instance_id)
    )
    given, token = _page(self, active, lambda one: one[0])
    described = [
        {
            "InstanceId": instance_id,
            "InstanceType": region.instances[instance_id].instance_type,
            "SpotInstanceRequestId": request_id,
        }
        for instance_id, request_id in given
    ]
    answer = {"SpotFleetRequestId": fleet.id, "ActiveInstances": described, "NextToken": token}
    return ec2xml.answer("DescribeSpotFleetInstances", answer)


def _modify_spot_fleet_request(self: Response) -> ec2xml.Written:
    self.error_on_dryrun()
    raise NotImplementedError("ModifySpotFleetRequest is not modelled by the local cloud")


def _page(self: Response, items: list[Any], key: Any) -> tuple[list[Any], str | None]:  # noqa: ANN401
    asked = self._get_param("MaxResults")
    return page(items, key, asked and int(asked), self._get_param("NextToken"))
