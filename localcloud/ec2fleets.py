"""EC2 Fleets (CreateFleet), where moto falls short. `install` puts it into moto once.

After the EC2 API Reference ("CreateFleet", "CreateFleetError") and the EC2 User Guide ("EC2 Fleet
request types"):

* CreateFleet is idempotent by its ClientToken.
* It launches as many instances as there is room for; for one of type `instant` the answer has an
  error for the rest, InsufficientInstanceCapacity. Its instances carry `aws:ec2:fleet-id`.
* SpotOptions may say nothing of an AllocationStrategy; a fleet without instances can be deleted.

Not modelled: late instances, replacement of those that end, and slow ends of the fleet itself; for
these there are Spot Fleets.
"""

import copy
from collections.abc import Mapping
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.models.fleets import Fleet
from moto.ec2.responses.fleets import Fleets

from localcloud import tokens
from localcloud.patching import patch
from localcloud.world import Region, region_of

__all__ = ["FLEET_TAG", "install"]

FLEET_TAG = "aws:ec2:fleet-id"
_CAPACITIES = ("TotalTargetCapacity", "OnDemandTargetCapacity", "SpotTargetCapacity")

Response = Any
"""moto's, which has no types."""

_moto_create_fleet = Fleets.create_fleet
_moto_terminate_instances = Fleet.terminate_instances


def install() -> None:
    """Put AWS's behaviour into moto's classes."""
    patch(Fleets, create_fleet=_create_fleet)
    patch(Fleet, terminate_instances=_terminate_instances)


def _create_fleet(self: Response) -> ActionResult:
    self.error_on_dryrun()
    region = region_of(self.ec2_backend)
    token, parameters = self._get_param("ClientToken"), tokens.plain(self.params)
    known = tokens.recall(region, "CreateFleet", token, parameters)
    if known is None:
        known = _create(self, region)
        tokens.remember(region, "CreateFleet", token, parameters, known)
    return ActionResult(copy.deepcopy(known))


def _create(self: Response, region: Region) -> dict[str, Any]:
    wanted = self.params["TargetCapacitySpecification"]
    asked, room = int(wanted["TotalTargetCapacity"]), region.room
    self.params["TargetCapacitySpecification"] = {
        name: min(int(value), room) if name in _CAPACITIES else value
        for name, value in wanted.items()
    }
    spot = {"AllocationStrategy": "lowest-price", **(self._get_param("SpotOptions") or {})}
    self.params["SpotOptions"] = spot
    before = set(region.instances)
    answer: dict[str, Any] = tokens.plain(_moto_create_fleet(self).result)
    for instance_id in set(region.instances) - before:
        self.ec2_backend.tags[instance_id][FLEET_TAG] = answer["FleetId"]
    if self._get_param("Type") == "instant" and asked > room:
        answer["Errors"] = [_no_capacity(wanted)]
    return answer


def _no_capacity(wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "Lifecycle": wanted.get("DefaultTargetCapacityType", "on-demand"),
        "ErrorCode": "InsufficientInstanceCapacity",
        "ErrorMessage": "There is not enough capacity to fulfill your request.",
    }


def _terminate_instances(self: Fleet) -> None:
    if self.spot_requests or self.on_demand_instances:
        _moto_terminate_instances(self)
