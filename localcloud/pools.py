"""The pools of a Spot Fleet: what its instances are launched from, through moto.

Source: EC2 API Reference, "SpotFleetLaunchSpecification" and "LaunchTemplateOverrides"; EC2 User
Guide, "Allocation strategies for Spot Instances".
"""

import math
from collections.abc import Mapping
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.utils import convert_tag_spec

from localcloud.tokens import plain

__all__ = ["Pool", "choose", "give_profile", "launch", "read"]

Pool = Mapping[str, Any]
"""A launch specification, or a template's data with an override; `Subnet` and `Groups` are ids
that are there."""

Backend = Any
"""moto's, which has no types."""

_DEFAULT_TYPE = "m5.large"  # for pools that ask for properties instead of a type
_DEFAULT_IMAGE = "ami-12c6146b"


def read(backend: Backend, config: Mapping[str, Any]) -> list[Pool]:
    """Return the pools of a SpotFleetRequestConfig.

    Raises:
        EC2ClientError: If it has none, or names a launch template that is not there.
    """
    found = [dict(pool) for pool in config.get("LaunchSpecifications", [])]
    for template in config.get("LaunchTemplateConfigs", []):
        named = template["LaunchTemplateSpecification"]
        if "LaunchTemplateId" in named:
            known = backend.get_launch_template(template_id=named["LaunchTemplateId"])
        else:
            known = backend.get_launch_template_by_name(name=named["LaunchTemplateName"])
        data = plain(known.get_version(named.get("Version", "$Default")).data)
        found += [{**data, **override} for override in template.get("Overrides") or [{}]]
    if not found:
        raise EC2ClientError(
            "InvalidSpotFleetRequestConfig",
            "The request must contain LaunchSpecifications or LaunchTemplateConfigs",
        )
    subnets = {subnet.id for subnet in backend.describe_subnets()}
    for pool in found:
        pool.setdefault("InstanceType", _DEFAULT_TYPE)
        pool.setdefault("ImageId", _DEFAULT_IMAGE)
        pool.setdefault("SpotPrice", config.get("SpotPrice"))
        # The console writes a pool's subnets as one text with commas.
        asked = [one.strip() for one in str(pool.get("SubnetId", "")).split(",")]
        pool["Subnet"] = next((one for one in asked if one in subnets), None)
        groups = [
            group.get("GroupId") or group.get("GroupName")
            for group in pool.get("SecurityGroups", [])
            if isinstance(group, Mapping)
        ]
        pool["Groups"] = [one for one in groups if backend.get_security_group_by_name_or_id(one)]
    return list(found)


def choose(pools: list[Pool], strategy: str, launched: int) -> Pool:
    """Return the pool of a fleet's next instance.

    Args:
        pools: Of the fleet.
        strategy: `diversified` takes them in turn; any other takes the cheapest, the first of
            equals.
        launched: As many instances the fleet has.
    """
    if strategy == "diversified":
        return pools[launched % len(pools)]
    return min(pools, key=lambda pool: float(pool.get("SpotPrice") or math.inf))


def launch(backend: Backend, pool: Pool) -> Any:  # noqa: ANN401  (moto's SpotInstanceRequest)
    """Launch one instance, and return its Spot request."""
    tags = [one for one in pool.get("TagSpecifications", []) if one.get("Tags")]
    requests = backend.request_spot_instances(
        price=pool.get("SpotPrice"),
        image_id=pool["ImageId"],
        count=1,
        spot_instance_type="persistent",
        valid_from=None,
        valid_until=None,
        launch_group=None,
        availability_zone_group=None,
        key_name=pool.get("KeyName"),
        security_groups=pool["Groups"],
        user_data=pool.get("UserData"),
        instance_type=pool["InstanceType"],
        placement=None,
        kernel_id=None,
        ramdisk_id=None,
        monitoring_enabled=pool.get("Monitoring", {}).get("Enabled", False),
        subnet_id=pool["Subnet"],
        tags=convert_tag_spec(tags),
    )
    return requests[0]


def give_profile(backend: Backend, instance: Any, profile: Mapping[str, str] | None) -> None:  # noqa: ANN401
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
