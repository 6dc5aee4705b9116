"""What IAM checks for calls to EC2: `TABLE`.

After the Service Authorization Reference, "Amazon EC2", and the EC2 User Guide:

* "Spot Fleet permissions": who requests a Spot Fleet needs ec2:RunInstances, ec2:CreateTags for
  the tags of the fleet and of its instances, and iam:PassRole for the roles of both.
* "Tag a Spot Fleet": for its tags the Resource must be `*`. The reference knows spot-fleet-request
  as a resource of RequestSpotFleet; what is asked for here satisfies both.
* "Grant permission to tag resources during creation": ec2:CreateAction names the call that makes.
  For instances of a fleet AWS does not say which it is, RequestSpotFleet or RunInstances: both.

What does not exist has no tags, so that a condition on a tag of it does not hold.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, get_prefix
from moto.iam.models import iam_backends

from localcloud import pools
from localcloud.iamcallers import PARTITION
from localcloud.iamchecks import (
    ANY,
    Asked,
    Check,
    Table,
    everything,
    names,
    pass_role,
    request_tags,
    resource_tags,
)
from localcloud.iampatterns import Context
from localcloud.world import region_of

__all__ = ["TABLE"]

_FLEET = "spot-fleet-request"
_GROUP = "security-group"
_OWNERLESS = ("image", "snapshot")
_SPOTS = ("RequestSpotFleet", "RunInstances")


def _backend(asked: Asked) -> Any:  # noqa: ANN401  (moto)
    return ec2_backends[asked.who.account][asked.region]


def _arn(asked: Asked, kind: str, identity: str = ANY) -> str:
    account = "" if kind in _OWNERLESS else asked.who.account
    return f"arn:{PARTITION}:ec2:{asked.region}:{account}:{kind}/{identity}"


def _known(asked: Asked, identity: str) -> Context:
    """Return the condition keys of something that is there, or seems not to be."""
    backend = _backend(asked)
    if region_of(backend).hidden.get(identity, 0.0) > time.time():
        return {}
    return resource_tags(backend.tags.get(identity, {}), "ec2")


def _check(asked: Asked, action: str, resource: str, *contexts: Context) -> Check:
    merged = {key: value for context in contexts for key, value in context.items()}
    return Check(f"ec2:{action}", resource, {"ec2:Region": asked.region, **merged})


def _one(asked: Asked, kind: str, identity: str, *contexts: Context, action: str = "") -> Check:
    """Return the check of this call's action, or another, on one thing that is there."""
    resource = _arn(asked, kind, identity)
    return _check(asked, action or asked.action, resource, _known(asked, identity), *contexts)


def _each(kind: str, parameter: str) -> Any:  # noqa: ANN401  (a function of a Table)
    """Return the checks of a call on things whose ids, or id, a parameter has."""

    def checks(asked: Asked) -> list[Check]:
        given = asked.parameters.get(parameter) or []
        ids = [given] if isinstance(given, str) else given
        return [_one(asked, kind, identity) for identity in ids] or everything(asked)

    return checks


# -- tags ------------------------------------------------------------------------------------------


def _tag(asked: Asked) -> list[Check]:
    context = request_tags(asked.parameters.get("Tags"))
    return [
        _one(asked, kind, identity, context)
        if (kind := EC2_PREFIX_TO_RESOURCE.get(get_prefix(identity)))
        else _check(asked, asked.action, ANY, context)
        for identity in asked.parameters.get("Resources", [])
    ] or everything(asked)


def _tag_new(asked: Asked, resource: str, tags: Any, creator: str) -> Iterator[Check]:  # noqa: ANN401
    """Give the check of tags at a creation, if there are any."""
    if tags:
        made_by: Context = {"ec2:CreateAction": creator}
        yield _check(asked, "CreateTags", resource, request_tags(tags), made_by)


def _specified(given: Iterable[Mapping[str, Any]] | None) -> dict[str, list[Mapping[str, str]]]:
    """Return the tags of TagSpecifications by the type of what gets them."""
    found: dict[str, list[Mapping[str, str]]] = {}
    for one in given or []:
        found.setdefault(str(one.get("ResourceType")), []).extend(one.get("Tags", []))
    return found


# -- launching -------------------------------------------------------------------------------------


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _subnets(launch: Mapping[str, Any]) -> list[str]:
    cards = _list(launch.get("NetworkInterfaces"))
    texts = [launch.get("SubnetId"), *(card.get("SubnetId") for card in cards)]
    return [one.strip() for text in texts if text for one in str(text).split(",")]


def _groups(launch: Mapping[str, Any]) -> list[str]:
    cards = _list(launch.get("NetworkInterfaces"))
    named = _list(launch.get("SecurityGroups")) + _list(launch.get("SecurityGroupIds"))
    named += [group for card in cards for group in _list(card.get("Groups"))]
    ids = [one.get("GroupId") if isinstance(one, Mapping) else one for one in named]
    return [str(one) for one in ids if str(one).startswith("sg-")]


def _named(asked: Asked, launch: Mapping[str, Any], action: str) -> list[Check]:
    """Return the checks of what a launch names: image, key, subnets, groups."""
    found = [
        *(("image", one) for one in [launch.get("ImageId")] if one),
        *(("key-pair", one) for one in [launch.get("KeyName")] if one),
        *(("subnet", one) for one in _subnets(launch)),
        *((_GROUP, one) for one in _groups(launch)),
    ]
    return [_one(asked, kind, identity, action=action) for kind, identity in found]


def _run(asked: Asked, launch: Mapping[str, Any]) -> list[Check]:
    """Return the checks of RunInstances; what it does not name may be any."""
    kind: Context = {"ec2:InstanceType": str(launch.get("InstanceType", ""))}
    tags = _specified(launch.get("TagSpecifications"))
    made = [
        _check(asked, "RunInstances", _arn(asked, one), kind, request_tags(tags.get(one)))
        for one in ("instance", "network-interface", "volume")
    ]
    named = _named(asked, launch, "RunInstances")
    open_to_any = [
        _check(asked, "RunInstances", _arn(asked, one))
        for one, given in ((_GROUP, _groups(launch)), ("subnet", _subnets(launch)))
        if not given
    ]
    return [*made, *named, *open_to_any, *_profile(asked, launch.get("IamInstanceProfile"))]


def _profile(asked: Asked, profile: object) -> list[Check]:
    """Return the checks of handing an instance the roles of its profile, if that is there."""
    if not isinstance(profile, Mapping):
        return []
    known = iam_backends[asked.who.account][PARTITION].instance_profiles.values()
    return [
        pass_role(role.arn, "ec2")
        for one in known
        if one.arn == profile.get("Arn") or one.name == profile.get("Name")
        for role in one.roles
    ]


def _run_instances(asked: Asked) -> list[Check]:
    checks = _run(asked, asked.parameters)
    for kind, tags in _specified(asked.parameters.get("TagSpecifications")).items():
        checks += _tag_new(asked, _arn(asked, kind), tags, "RunInstances")
    return checks


def _request_spot_fleet(asked: Asked) -> list[Check]:
    config = asked.parameters.get("SpotFleetRequestConfig") or {}
    tags = _specified(config.get("TagSpecifications")).get(_FLEET)
    checks = [_check(asked, asked.action, ANY, request_tags(tags))]
    for launch in _launches(asked, config):
        checks += _named(asked, launch, asked.action)
        checks += _run(asked, launch)
        instance_tags = _specified(launch.get("TagSpecifications")).get("instance")
        for creator in _SPOTS:
            checks += _tag_new(asked, _arn(asked, "instance"), instance_tags, creator)
    checks += _tag_new(asked, ANY, tags, asked.action)
    if config.get("IamFleetRole"):
        checks.append(pass_role(str(config["IamFleetRole"]), "spotfleet"))
    return checks


def _launches(asked: Asked, config: Mapping[str, Any]) -> list[pools.Pool]:
    try:
        return pools.read(_backend(asked), config)
    except EC2ClientError:
        return []  # no such template, or nothing to launch: the call fails by itself


# -- security groups -------------------------------------------------------------------------------


def _create_group(asked: Asked) -> list[Check]:
    tags = _specified(asked.parameters.get("TagSpecifications")).get(_GROUP)
    checks = [_check(asked, asked.action, _arn(asked, _GROUP), request_tags(tags))]
    if vpc := asked.text("VpcId"):
        checks.append(_one(asked, "vpc", vpc))
    return [*checks, *_tag_new(asked, _arn(asked, _GROUP), tags, asked.action)]


def _group(asked: Asked) -> list[Check]:
    backend = _backend(asked)
    named = asked.text("GroupId") or asked.text("GroupName")
    known = backend.get_security_group_by_name_or_id(named)
    identity = known.id if known else named
    checks = [_one(asked, _GROUP, identity)]
    tags = _specified(asked.parameters.get("TagSpecifications")).get("security-group-rule")
    if tags:
        rule = _arn(asked, "security-group-rule")
        checks.append(_check(asked, asked.action, rule, request_tags(tags)))
        checks += _tag_new(asked, rule, tags, asked.action)
    return checks


_LOOKS = names(
    "DescribeAccountAttributes DescribeAvailabilityZones DescribeImages DescribeInstances "
    "DescribeInstanceStatus DescribeInstanceTypes DescribeKeyPairs DescribeLaunchTemplates "
    "DescribeLaunchTemplateVersions DescribeRegions DescribeSecurityGroupRules "
    "DescribeSecurityGroups DescribeSpotFleetRequests DescribeSpotInstanceRequests "
    "DescribeSpotPriceHistory DescribeSubnets DescribeTags DescribeVolumes DescribeVpcs"
)


def _look(asked: Asked) -> list[Check]:
    return [_check(asked, asked.action, ANY)]


TABLE: Table = {
    **dict.fromkeys(_LOOKS, _look),
    "DescribeSpotFleetInstances": _each(_FLEET, "SpotFleetRequestId"),
    "DescribeSpotFleetRequestHistory": _each(_FLEET, "SpotFleetRequestId"),
    "ModifySpotFleetRequest": _each(_FLEET, "SpotFleetRequestId"),
    "CancelSpotFleetRequests": _each(_FLEET, "SpotFleetRequestIds"),
    "TerminateInstances": _each("instance", "InstanceIds"),
    "StopInstances": _each("instance", "InstanceIds"),
    "StartInstances": _each("instance", "InstanceIds"),
    "RebootInstances": _each("instance", "InstanceIds"),
    "CreateTags": _tag,
    "DeleteTags": _tag,
    "RunInstances": _run_instances,
    "RequestSpotFleet": _request_spot_fleet,
    "CreateSecurityGroup": _create_group,
    "DeleteSecurityGroup": _group,
    "AuthorizeSecurityGroupIngress": _group,
    "AuthorizeSecurityGroupEgress": _group,
    "RevokeSecurityGroupIngress": _group,
    "RevokeSecurityGroupEgress": _group,
    "UpdateSecurityGroupRuleDescriptionsIngress": _group,
    "UpdateSecurityGroupRuleDescriptionsEgress": _group,
}
