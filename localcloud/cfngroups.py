"""AWS::EC2::SecurityGroup.

Source: the schema of this type; EC2 User Guide, "Security group rules": a new group of a VPC lets
everything out, until CloudFormation puts the template's rules in the place of that one.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from localcloud.cfncalls import Failure, Hand
from localcloud.cfnkinds import Kind, Thing, Wanted, as_list

__all__ = ["KINDS"]

_WAYS = {"SecurityGroupIngress": "Ingress", "SecurityGroupEgress": "Egress"}
_ANYWHERE = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
_DUPLICATE = "InvalidPermission.Duplicate"
_PEERS = {
    "CidrIp": ("IpRanges", "CidrIp"),
    "CidrIpv6": ("Ipv6Ranges", "CidrIpv6"),
    "SourceSecurityGroupId": ("UserIdGroupPairs", "GroupId"),
    "DestinationSecurityGroupId": ("UserIdGroupPairs", "GroupId"),
}
"""A rule's property to the API's member, and that member's own."""


def _permission(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rule as the API takes it."""
    shaped: dict[str, Any] = {"IpProtocol": str(rule["IpProtocol"])}
    for port in ("FromPort", "ToPort"):
        if port in rule:
            shaped[port] = int(rule[port])
    for name, (member, own) in _PEERS.items():
        if name in rule:
            peer = {own: rule[name]}
            if "Description" in rule:
                peer["Description"] = rule["Description"]
            shaped[member] = [peer]
    known = {"IpProtocol", "FromPort", "ToPort", "Description", *_PEERS}
    if rule.keys() - known:
        unknown = sorted(rule.keys() - known)
        raise Failure(f"the local cloud does not know {unknown} of a security group's rule")
    return shaped


def _rules(want: Wanted) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Give each way with its rules, a group's own rule included where the template has none."""
    for name, way in _WAYS.items():
        rules = [_permission(rule) for rule in want.properties.get(name) or []]
        yield way, rules or ([_ANYWHERE] if way == "Egress" else [])


def _make(hand: Hand, one: Thing, want: Wanted) -> None:
    given, tags = want.properties, as_list(want.tags)
    made = hand.ask(
        "ec2",
        "CreateSecurityGroup",
        GroupName=given.get("GroupName", one.name),
        Description=given["GroupDescription"],
        VpcId=given.get("VpcId"),
        TagSpecifications=[{"ResourceType": "security-group", "Tags": tags}] if tags else None,
    )
    one.physical = made["GroupId"]
    bare = Wanted({name: one for name, one in given.items() if name not in _WAYS}, want.tags)
    _change(hand, one, bare, want)
    one.attributes = {"GroupId": one.physical, "VpcId": _look(hand, one)["VpcId"]}


def _look(hand: Hand, one: Thing) -> Mapping[str, Any]:
    found = hand.ask("ec2", "DescribeSecurityGroups", GroupIds=[one.physical])
    group: Mapping[str, Any] = found["SecurityGroups"][0]
    return group


def _change(hand: Hand, one: Thing, was: Wanted, want: Wanted) -> None:
    before, after = dict(_rules(was)), dict(_rules(want))
    for way in _WAYS.values():
        closed = [rule for rule in before[way] if rule not in after[way]]
        opened = [rule for rule in after[way] if rule not in before[way]]
        if closed:
            hand.ask(
                "ec2",
                f"RevokeSecurityGroup{way}",
                fine=("gone",),
                GroupId=one.physical,
                IpPermissions=closed,
            )
        for rule in opened:
            hand.ask(
                "ec2",
                f"AuthorizeSecurityGroup{way}",
                fine=(_DUPLICATE,),
                GroupId=one.physical,
                IpPermissions=[rule],
            )
    left = was.tags.keys() - want.tags.keys()
    if left:
        tags = [{"Key": key} for key in sorted(left)]
        hand.ask("ec2", "DeleteTags", Resources=[one.physical], Tags=tags)
    if want.tags and was.tags != want.tags:
        hand.ask("ec2", "CreateTags", Resources=[one.physical], Tags=as_list(want.tags))


def _unmake(hand: Hand, one: Thing, _: Wanted) -> None:
    _look(hand, one)
    hand.ask("ec2", "DeleteSecurityGroup", GroupId=one.physical)


KINDS = (
    Kind(
        "AWS::EC2::SecurityGroup",
        _make,
        _change,
        _unmake,
        known=frozenset({"GroupDescription", "GroupName", "Tags", "VpcId", *_WAYS}),
        replaced=frozenset({"GroupDescription", "GroupName", "VpcId"}),
        attributes=frozenset({"GroupId", "VpcId"}),
        named="GroupName",
        longest=255,
        tagged=True,
    ),
)
