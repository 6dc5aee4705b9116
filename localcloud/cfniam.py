"""AWS::IAM::Role, ::Policy and ::InstanceProfile.

Source: the schemas of these types: what their handlers call, and which properties need a new one.
"""

import json
from typing import Any

from localcloud.cfncalls import Hand
from localcloud.cfnkinds import Kind, Thing, Wanted, as_list

__all__ = ["KINDS"]

_OWNERS = {"Roles": "Role", "Users": "User", "Groups": "Group"}


def _text(document: Any) -> str:  # noqa: ANN401  (JSON)
    return document if isinstance(document, str) else json.dumps(document)


# -- roles -----------------------------------------------------------------------------------------


def _inline(want: Wanted) -> dict[str, Any]:
    policies = want.properties.get("Policies", [])
    return {one["PolicyName"]: one["PolicyDocument"] for one in policies}


def _make_role(hand: Hand, one: Thing, want: Wanted) -> None:
    given = want.properties
    name = given.get("RoleName", one.name)
    hand.ask(
        "iam",
        "CreateRole",
        RoleName=name,
        AssumeRolePolicyDocument=_text(given["AssumeRolePolicyDocument"]),
        Path=given.get("Path"),
        Description=given.get("Description"),
        MaxSessionDuration=given.get("MaxSessionDuration"),
        PermissionsBoundary=given.get("PermissionsBoundary"),
        Tags=as_list(want.tags),
    )
    one.physical = name
    for arn in given.get("ManagedPolicyArns", []):
        hand.ask("iam", "AttachRolePolicy", RoleName=name, PolicyArn=arn)
    for policy, document in _inline(want).items():
        _put_role_policy(hand, name, policy, document)
    role = hand.ask("iam", "GetRole", RoleName=name)["Role"]
    one.attributes = {"Arn": role["Arn"], "RoleId": role["RoleId"]}


def _put_role_policy(hand: Hand, role: str, policy: str, document: Any) -> None:  # noqa: ANN401  (JSON)
    hand.ask(
        "iam", "PutRolePolicy", RoleName=role, PolicyName=policy, PolicyDocument=_text(document)
    )
    hand.ask("iam", "GetRolePolicy", RoleName=role, PolicyName=policy)


def _change_role(hand: Hand, one: Thing, was: Wanted, want: Wanted) -> None:
    role, before, after = one.physical, was.properties, want.properties

    def differs(*names: str) -> bool:
        return any(before.get(name) != after.get(name) for name in names)

    if differs("AssumeRolePolicyDocument"):
        trust = _text(after["AssumeRolePolicyDocument"])
        hand.ask("iam", "UpdateAssumeRolePolicy", RoleName=role, PolicyDocument=trust)
    if differs("Description", "MaxSessionDuration"):
        hand.ask(
            "iam",
            "UpdateRole",
            RoleName=role,
            Description=after.get("Description", ""),
            MaxSessionDuration=after.get("MaxSessionDuration"),
        )
    if differs("PermissionsBoundary"):
        bound = after.get("PermissionsBoundary")
        action = "PutRolePermissionsBoundary" if bound else "DeleteRolePermissionsBoundary"
        hand.ask("iam", action, fine=("gone",), RoleName=role, PermissionsBoundary=bound)
    had, has = (set(side.get("ManagedPolicyArns", [])) for side in (before, after))
    for arn in sorted(has - had):
        hand.ask("iam", "AttachRolePolicy", RoleName=role, PolicyArn=arn)
    for arn in sorted(had - has):
        hand.ask("iam", "DetachRolePolicy", fine=("gone",), RoleName=role, PolicyArn=arn)
    _change_inline(hand, role, _inline(was), _inline(want))
    left = sorted(was.tags.keys() - want.tags.keys())
    if left:
        hand.ask("iam", "UntagRole", RoleName=role, TagKeys=left)
    if want.tags and was.tags != want.tags:
        hand.ask("iam", "TagRole", RoleName=role, Tags=as_list(want.tags))


def _change_inline(hand: Hand, role: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    for policy, document in new.items():
        if old.get(policy) != document:
            _put_role_policy(hand, role, policy, document)
    for policy in old.keys() - new.keys():
        hand.ask("iam", "DeleteRolePolicy", fine=("gone",), RoleName=role, PolicyName=policy)


def _unmake_role(hand: Hand, one: Thing, want: Wanted) -> None:
    role = one.physical
    hand.ask("iam", "GetRole", RoleName=role)
    attached = hand.ask("iam", "ListAttachedRolePolicies", RoleName=role)["AttachedPolicies"]
    for arn in [policy["PolicyArn"] for policy in attached]:
        if arn in want.properties.get("ManagedPolicyArns", []):
            hand.ask("iam", "DetachRolePolicy", RoleName=role, PolicyArn=arn)
    for policy in hand.ask("iam", "ListRolePolicies", RoleName=role)["PolicyNames"]:
        if policy in _inline(want):
            hand.ask("iam", "DeleteRolePolicy", RoleName=role, PolicyName=policy)
    hand.ask("iam", "DeleteRole", RoleName=role)


# -- policies --------------------------------------------------------------------------------------


def _holders(want: Wanted) -> set[tuple[str, str, str]]:
    """Return who a policy is put on: kind, name, and the policy's name."""
    given = want.properties
    return {
        (kind, name, given["PolicyName"])
        for owners, kind in _OWNERS.items()
        for name in given.get(owners, [])
    }


def _on_holders(
    hand: Hand, action: str, holders: set[tuple[str, str, str]], document: str | None = None
) -> None:
    for kind, name, policy in sorted(holders):
        hand.ask(
            "iam",
            f"{action}{kind}Policy",
            fine=() if document else ("gone",),
            **{f"{kind}Name": name, "PolicyName": policy, "PolicyDocument": document},
        )


def _make_policy(hand: Hand, one: Thing, want: Wanted) -> None:
    one.physical = one.name
    _on_holders(hand, "Put", _holders(want), _text(want.properties["PolicyDocument"]))
    _on_holders(hand, "Get", _holders(want))


def _change_policy(hand: Hand, _: Thing, was: Wanted, want: Wanted) -> None:
    _on_holders(hand, "Put", _holders(want), _text(want.properties["PolicyDocument"]))
    _on_holders(hand, "Delete", _holders(was) - _holders(want))


def _unmake_policy(hand: Hand, _: Thing, want: Wanted) -> None:
    _on_holders(hand, "Delete", _holders(want))


# -- instance profiles -----------------------------------------------------------------------------


def _make_profile(hand: Hand, one: Thing, want: Wanted) -> None:
    given = want.properties
    name = given.get("InstanceProfileName", one.name)
    hand.ask("iam", "CreateInstanceProfile", InstanceProfileName=name, Path=given.get("Path"))
    one.physical = name
    for role in given["Roles"]:
        hand.ask("iam", "AddRoleToInstanceProfile", InstanceProfileName=name, RoleName=role)
    profile = hand.ask("iam", "GetInstanceProfile", InstanceProfileName=name)["InstanceProfile"]
    one.attributes = {"Arn": profile["Arn"]}


def _change_profile(hand: Hand, one: Thing, _: Wanted, want: Wanted) -> None:
    name, wanted = one.physical, want.properties["Roles"]
    held = _held(hand, name)
    for role in held:
        if role not in wanted:
            hand.ask(
                "iam", "RemoveRoleFromInstanceProfile", InstanceProfileName=name, RoleName=role
            )
    for role in wanted:
        if role not in held:
            hand.ask("iam", "AddRoleToInstanceProfile", InstanceProfileName=name, RoleName=role)


def _unmake_profile(hand: Hand, one: Thing, _: Wanted) -> None:
    name = one.physical
    for role in _held(hand, name):
        hand.ask("iam", "RemoveRoleFromInstanceProfile", InstanceProfileName=name, RoleName=role)
    hand.ask("iam", "DeleteInstanceProfile", InstanceProfileName=name)


def _held(hand: Hand, profile: str) -> list[str]:
    found = hand.ask("iam", "GetInstanceProfile", InstanceProfileName=profile)
    return [role["RoleName"] for role in found["InstanceProfile"]["Roles"]]


KINDS = (
    Kind(
        "AWS::IAM::Role",
        _make_role,
        _change_role,
        _unmake_role,
        known=frozenset(
            {
                "AssumeRolePolicyDocument",
                "Description",
                "ManagedPolicyArns",
                "MaxSessionDuration",
                "Path",
                "PermissionsBoundary",
                "Policies",
                "RoleName",
                "Tags",
            }
        ),
        replaced=frozenset({"RoleName", "Path"}),
        attributes=frozenset({"Arn", "RoleId"}),
        named="RoleName",
        longest=64,
        tagged=True,
    ),
    Kind(
        "AWS::IAM::Policy",
        _make_policy,
        _change_policy,
        _unmake_policy,
        known=frozenset({"PolicyDocument", "PolicyName", *_OWNERS}),
        attributes=frozenset({"Id"}),
    ),
    Kind(
        "AWS::IAM::InstanceProfile",
        _make_profile,
        _change_profile,
        _unmake_profile,
        known=frozenset({"InstanceProfileName", "Path", "Roles"}),
        replaced=frozenset({"InstanceProfileName", "Path"}),
        attributes=frozenset({"Arn"}),
        named="InstanceProfileName",
    ),
)
