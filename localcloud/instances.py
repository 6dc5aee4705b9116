"""Instances as AWS has them, where moto falls short. `install` puts it into moto once.

What is put right, after the EC2 API Reference (the actions' own pages, and "Error codes for the
Amazon EC2 API") and the EC2 Developer Guide:

* RunInstances is idempotent by its client token; once the token's instances have all terminated it
  answers IdempotentInstanceTerminated. It launches as many instances as there is room for, between
  MinCount and MaxCount, or answers InsufficientInstanceCapacity. All get the instance profile.
* TerminateInstances does nothing at all if one of the ids is unknown, and may be repeated.
* DescribeInstances knows the filters of `localcloud.filters`, and gives pages of reservations.
* What is hidden (`localcloud.world`) is unknown to all calls but an onlooker's.
* An instance is found by its id at once, where moto walks through all of them.
"""

import copy
import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from moto.ec2.exceptions import (
    EC2ClientError,
    InvalidInstanceIdError,
    InvalidParameterCombination,
)
from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.models.instances import Instance, InstanceBackend
from moto.ec2.responses.instances import InstanceResponse

from localcloud import ec2xml, filters, instanceview, tokens, wire
from localcloud.paging import numbered, page
from localcloud.patching import patch
from localcloud.world import Region, region_of, world

__all__ = ["advance", "forget_ended", "install"]

Backend = Any
Response = Any
"""moto's own, which have no types."""

_moto_init = Instance.__init__
_moto_terminate = Instance.terminate
_moto_launch = InstanceBackend.run_instances
_moto_run_instances = InstanceResponse.run_instances


def install() -> None:
    """Put AWS's behaviour into moto's classes."""
    patch(Instance, __init__=_init, terminate=_terminate)
    patch(
        InstanceBackend,
        run_instances=_launch,
        get_instance=_get_instance,
        get_instance_by_id=_get_instance_by_id,
        get_multi_instances_by_id=_get_multi_instances_by_id,
    )
    patch(TaggedEC2Resource, get_tags=_get_tags)
    patch(
        InstanceResponse,
        run_instances=_run_instances,
        terminate_instances=_terminate_instances,
        describe_instances=_describe_instances,
    )


def advance(region: Region, now: float) -> None:
    """Let those terminate whose time has come."""
    for identity in [one for one, end in region.ending.items() if end <= now]:
        del region.ending[identity]
        _gone(region, region.instances[identity])


def forget_ended(backend: Backend) -> None:
    """Forget the terminated instances."""
    region = region_of(backend)
    gone = {one for one, instance in region.instances.items() if instance.state == "terminated"}
    for identity in gone:
        del region.instances[identity], region.reservation_of[identity]
        backend.tags.pop(identity, None)
    for number, made in list(region.reservations.items()):
        made.instances = [one for one in made.instances if one.id not in gone]
        if not made.instances:
            del backend.reservations[made.id], region.reservations[number]
    for identity, request in list(backend.spot_instance_requests.items()):
        if request.instance.id in gone:
            del backend.spot_instance_requests[identity]
            backend.tags.pop(identity, None)


# -- the model -------------------------------------------------------------------------------------


def _init(self: Instance, backend: Backend, *given: Any, **named: Any) -> None:  # noqa: ANN401  (passed on)
    _moto_init(self, backend, *given, **named)
    region_of(backend).instances[self.id] = self


def _launch(self: Backend, *given: Any, **named: Any) -> Any:  # noqa: ANN401  (passed on)
    made = _moto_launch(self, *given, **named)
    region = region_of(self)
    number = region.number()
    region.reservations[number] = made
    ids = [instance.id for instance in made.instances]
    region.reservation_of.update(dict.fromkeys(ids, number))
    region.living.update(ids)
    region.made.extend(ids)
    return made


def _terminate(self: Instance) -> Any:  # noqa: ANN401  (moto's InstanceState)
    region = region_of(self.ec2_backend)
    if self.id not in region.living:
        return copy.copy(self.instance_state)
    previous = _moto_terminate(self)
    region.living.discard(self.id)
    if fleet := region.fleet_of.get(self.id):
        fleet.lose(region, self.id)
    if world.slow_end > 0:
        self.instance_state.name, self.instance_state.code = "shutting-down", 32
        region.ending[self.id] = time.time() + world.slow_end
    else:
        _gone(region, self)
    return previous


def _gone(region: Region, instance: Instance) -> None:
    """Let an instance be terminated."""
    instance.instance_state.name, instance.instance_state.code = "terminated", 48
    if fleet := region.fleet_of.pop(instance.id, None):
        fleet.members.pop(instance.id)


def _get_instance(self: Backend, instance_id: str) -> Instance:
    found = _get_instance_by_id(self, instance_id)
    if found is None:
        raise InvalidInstanceIdError(instance_id)
    return found


def _get_instance_by_id(self: Backend, instance_id: str) -> Instance | None:
    region = region_of(self)
    return region.instances.get(instance_id) if region.sees(instance_id) else None


def _get_multi_instances_by_id(
    self: Backend,
    instance_ids: Iterable[str],
    filters: Any = None,  # noqa: ANN401  (passed on)
) -> list[Instance]:
    found = [(identity, _get_instance_by_id(self, identity)) for identity in instance_ids]
    if unknown := [identity for identity, instance in found if instance is None]:
        raise InvalidInstanceIdError(unknown)
    return [one for _, one in found if one is not None and one.applies(filters)]


def _get_tags(self: Any) -> list[dict[str, str]]:  # noqa: ANN401  (moto)
    tags = self.ec2_backend.tags.get(self.id, {})
    return [{"key": key, "value": value, "resource_id": self.id} for key, value in tags.items()]


# -- the calls -------------------------------------------------------------------------------------


def _run_instances(self: Response) -> Any:  # noqa: ANN401  (what moto takes)
    backend = self.ec2_backend
    region = region_of(backend)
    token, parameters = self._get_param("ClientToken"), tokens.plain(self.params)
    known = tokens.recall(region, "RunInstances", token, parameters)
    if known is not None:
        if all(instance.state == "terminated" for instance in known.instances):
            raise EC2ClientError(
                "IdempotentInstanceTerminated",
                "The instances that were launched with this client token have terminated.",
            )
        described = instanceview.reservation(known, known.instances, backend.tags)
        return ec2xml.answer("RunInstances", described)
    least = int(self._get_param("MinCount") or 1)
    most = int(self._get_param("MaxCount") or least)
    if not 1 <= least <= most:
        raise EC2ClientError("InvalidParameterValue", "MinCount is from 1 to MaxCount")
    if region.room < least:
        return _no_capacity()
    self.params["MinCount"] = min(most, region.room)
    made: Any = _moto_run_instances(self).result
    profile = self._get_param("IamInstanceProfile") or {}
    for instance in made.instances[1:] if profile else []:
        backend.associate_iam_instance_profile(
            instance.id,
            iam_instance_profile_name=profile.get("Name"),
            iam_instance_profile_arn=profile.get("Arn"),
        )
    # A reservation loses instances that are forgotten, and its token does not.
    tokens.remember(region, "RunInstances", token, parameters, copy.copy(made))
    described = instanceview.reservation(made, made.instances, backend.tags)
    for one in described["Instances"]:
        one["State"] = {"Code": 0, "Name": "pending"}
    return ec2xml.answer("RunInstances", described)


def _no_capacity() -> ec2xml.Written:
    """Return AWS's refusal for want of capacity: a server's error, not the client's."""
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    said = "There is not enough capacity to fulfill your request."
    answer = wire.error("ec2", "InsufficientInstanceCapacity", said, status)
    return status, {"status": str(int(status)), "Content-Type": "text/xml"}, answer.body.decode()


def _terminate_instances(self: Response) -> ec2xml.Written:
    self.error_on_dryrun()
    ended = self.ec2_backend.terminate_instances(self._get_param("InstanceIds", []))
    states = [
        {
            "InstanceId": instance.id,
            # What has just been told to end is shutting down, however short that is.
            "CurrentState": (
                {"Code": 48, "Name": "terminated"}
                if previous.name == "terminated"
                else {"Code": 32, "Name": "shutting-down"}
            ),
            "PreviousState": {"Code": previous.code, "Name": previous.name},
        }
        for instance, previous in ended
    ]
    return ec2xml.answer("TerminateInstances", {"TerminatingInstances": states})


def _describe_instances(self: Response) -> ec2xml.Written:
    self.error_on_dryrun()
    backend = self.ec2_backend
    region = region_of(backend)
    ids, asked = set(self._get_param("InstanceIds", [])), self._get_param("MaxResults")
    if ids and asked:
        raise InvalidParameterCombination(
            "The parameter instancesSet cannot be used with the parameter maxResults"
        )
    backend.get_multi_instances_by_id(ids)  # raises if one is unknown
    passes = filters.instance_test(filters.read(self._get_param("Filters", [])), backend.tags)
    hidden = region.hidden_now
    some = [region.instances[one] for one in ids] if ids else region.instances.values()
    found: dict[int, list[Instance]] = {}
    for instance in [one for one in some if passes(one) and one.id not in hidden]:
        found.setdefault(region.reservation_of[instance.id], []).append(instance)
    given, token = page(sorted(found), numbered, asked and int(asked), self._get_param("NextToken"))
    described = [
        instanceview.reservation(region.reservations[one], found[one], backend.tags)
        for one in given
    ]
    return ec2xml.answer("DescribeInstances", {"Reservations": described, "NextToken": token})
