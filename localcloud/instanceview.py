"""An instance as EC2 describes it, from moto's own objects. Pure.

Source: EC2 API Reference, "Instance" and "InstanceNetworkInterface". An instance that has
terminated has no interface and no address any more.
"""

from collections.abc import Mapping
from typing import Any

__all__ = ["describe", "reservation"]

Moto = Any
"""An object of moto's, which has no types."""


def reservation(
    made: Moto, instances: list[Moto], tags: Mapping[str, Mapping[str, str]]
) -> dict[str, Any]:
    """Return a reservation with these of its instances; tags are by resource id."""
    return {
        "ReservationId": made.id,
        "OwnerId": made.owner_id,
        "Groups": [],
        "Instances": [describe(one, tags.get(one.id, {})) for one in instances],
    }


def describe(instance: Moto, tags: Mapping[str, str]) -> dict[str, Any]:
    """Return an instance by the members that botocore's model names."""
    gone = instance.state == "terminated"
    groups = _groups(instance.security_groups)
    return {
        "Architecture": instance.architecture,
        "BlockDeviceMappings": [] if gone else _disks(instance),
        "ClientToken": instance.client_token,
        "EbsOptimized": instance.ebs_optimized,
        "Hypervisor": instance.hypervisor,
        "IamInstanceProfile": instance.iam_instance_profile,
        "InstanceLifecycle": instance.lifecycle,
        "NetworkInterfaces": [] if gone else [_interface(one) for one in instance.nics.values()],
        "RootDeviceName": instance.root_device_name,
        "RootDeviceType": instance.root_device_type,
        "SecurityGroups": groups,
        "SourceDestCheck": instance.source_dest_check,
        "StateReason": _reason(instance.state_reason),
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()] or None,
        "VirtualizationType": instance.virtualization_type,
        "MetadataOptions": _metadata(instance.metadata_options),
        "InstanceId": instance.id,
        "ImageId": instance.image_id,
        "State": {"Code": instance.state_code, "Name": instance.state},
        "PrivateDnsName": "" if gone else instance.private_dns_name,
        "PublicDnsName": "" if gone else instance.public_dns_name or "",
        "StateTransitionReason": instance.state_transition_reason,
        "KeyName": instance.key_name,
        "AmiLaunchIndex": instance.ami_launch_index,
        "InstanceType": instance.instance_type,
        "LaunchTime": instance.launch_time,
        "Placement": {
            "GroupName": instance.placement.group_name,
            "Tenancy": instance.placement.tenancy,
            "AvailabilityZone": instance.placement.zone,
        },
        "Monitoring": {"State": instance.monitoring_state},
        "SubnetId": None if gone else instance.subnet_id,
        "VpcId": None if gone else instance.vpc_id,
        "PrivateIpAddress": None if gone else instance.private_ip,
        "PublicIpAddress": None if gone else instance.public_ip,
    }


def _groups(groups: list[Moto]) -> list[dict[str, str]]:
    return [{"GroupId": one.id, "GroupName": one.name} for one in groups if one is not None]


def _reason(reason: Moto) -> dict[str, str] | None:
    return {"Code": reason.code, "Message": reason.message} if reason.code else None


def _metadata(options: Moto) -> dict[str, Any]:
    return {
        "State": options.state,
        "HttpTokens": options.http_tokens,
        "HttpPutResponseHopLimit": options.http_put_response_hop_limit,
        "HttpEndpoint": options.http_endpoint,
        "HttpProtocolIpv6": options.http_protocol_ipv6,
        "InstanceMetadataTags": options.instance_metadata_tags,
    }


def _disks(instance: Moto) -> list[dict[str, Any]]:
    return [
        {
            "DeviceName": name,
            "Ebs": {
                "AttachTime": disk.attach_time,
                "DeleteOnTermination": disk.delete_on_termination,
                "Status": "attached",
                "VolumeId": disk.volume_id,
            },
        }
        for name, disk in instance.get_block_device_mapping
    ]


def _interface(nic: Moto) -> dict[str, Any]:
    return {
        "Attachment": {
            "AttachTime": nic.attach_time,
            "AttachmentId": nic.attachment_id,
            "DeleteOnTermination": nic.delete_on_termination,
            "DeviceIndex": nic.device_index,
            "Status": "attached",
        },
        "Description": nic.description,
        "Groups": _groups(list(nic.group_set)),
        "MacAddress": nic.mac_address,
        "NetworkInterfaceId": nic.id,
        "OwnerId": nic.owner_id,
        "PrivateIpAddress": nic.private_ip_address,
        "SourceDestCheck": nic.source_dest_check,
        "Status": nic.status,
        "SubnetId": nic.subnet.id,
        "VpcId": nic.subnet.vpc_id,
        "InterfaceType": nic.interface_type,
    }
