"""The security group's template: the pool's hosts may reach instances, the world may not. Pure.

Instances open their connections to the pool themselves. Only a pool that reaches its machines
directly, rather than through HTCondor's CCB, needs a way in: port 9618, on which HTCondor's
shared port daemon listens (HTCondor manual, "SHARED_PORT").
"""

import ipaddress
from collections.abc import Sequence

from htcondor_annex.templates.parts import Template, if_given

__all__ = [
    "CONDOR_PORT",
    "MIN_PREFIX",
    "PoolAddressError",
    "check_addresses",
    "security_group_template",
]

CONDOR_PORT = 9618
MIN_PREFIX = {4: 8, 6: 19}
"""The widest network that can be one pool's, by IP version: prefix length in bits."""

_ADDRESS = "PoolAddress"
_HAS_ADDRESS = "HasPoolAddress"
# IPv4 with a prefix of 8 to 32: 0.0.0.0/0 is no pool.
_PATTERN = r"([0-9]{1,3}(\.[0-9]{1,3}){3}/([89]|[12][0-9]|3[0-2]))?"


class PoolAddressError(ValueError):
    """A text that is no network of a pool's hosts."""


def check_addresses(texts: Sequence[str]) -> list[str]:
    """Return networks in CIDR form, as EC2 takes them; a single address becomes a network of one.

    Raises:
        PoolAddressError: If one is no network, is too wide to be a pool's, or is not written as
            its own first address.
    """
    found = []
    for text in texts:
        try:
            network = ipaddress.ip_network(text)
        except ValueError as error:
            raise PoolAddressError(f"{text!r} is no network, such as 192.0.2.0/24") from error
        least = MIN_PREFIX[network.version]
        if network.prefixlen < least:
            raise PoolAddressError(
                f"{text!r} is wider than /{least}: that is no pool's own network"
            )
        found.append(str(network))
    return found


def _way_in(network: Template | str, *, version: int) -> Template:
    return {
        "IpProtocol": "tcp",
        "FromPort": CONDOR_PORT,
        "ToPort": CONDOR_PORT,
        "CidrIp" if version == 4 else "CidrIpv6": network,  # noqa: PLR2004  (IPv4)
        "Description": "HTCondor, from the pool's hosts",
    }


def security_group_template(addresses: Sequence[str] | None = None) -> Template:
    """Return the template of the instances' security group.

    Args:
        addresses: Networks in CIDR form from which the pool reaches instances, checked by
            `check_addresses`; none closes the group. None leaves one to the stack's parameter.
    """
    parameters: Template = {
        "VpcId": {
            "Type": "AWS::EC2::VPC::Id",
            "Description": "The VPC in whose subnets the instances run",
        }
    }
    conditions: Template = {}
    if addresses is None:
        parameters[_ADDRESS] = {
            "Type": "String",
            "Default": "",
            "AllowedPattern": _PATTERN,
            "ConstraintDescription": "must be an IPv4 network no wider than /8, or empty",
            "Description": "Network from which the pool's hosts reach instances (CIDR); may be "
            "empty",
        }
        conditions = {"Conditions": {_HAS_ADDRESS: if_given(_ADDRESS)}}
        way_in = _way_in({"Ref": _ADDRESS}, version=4)
        ingress = [{"Fn::If": [_HAS_ADDRESS, way_in, {"Ref": "AWS::NoValue"}]}]
    else:
        ingress = [
            _way_in(one, version=ipaddress.ip_network(one).version)
            for one in check_addresses(addresses)
        ]
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "HTCondor annex: the security group of its instances",
        "Parameters": parameters,
        **conditions,
        "Resources": {
            "SecurityGroup": {
                "Type": "AWS::EC2::SecurityGroup",
                "Properties": {
                    "GroupDescription": "Instances of HTCondor annexes",
                    "VpcId": {"Ref": "VpcId"},
                    "SecurityGroupIngress": ingress,
                    # Instances find the pool, their configuration and their jobs' data themselves.
                    "SecurityGroupEgress": [
                        {"IpProtocol": "-1", "CidrIp": "0.0.0.0/0", "Description": "Anywhere"},
                        {"IpProtocol": "-1", "CidrIpv6": "::/0", "Description": "Anywhere"},
                    ],
                },
            }
        },
        "Outputs": {
            "SecurityGroupID": {
                "Description": "For SecurityGroups in a launch specification",
                "Value": {"Fn::GetAtt": ["SecurityGroup", "GroupId"]},
            }
        },
    }
