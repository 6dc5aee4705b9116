"""What IAM checks for calls to IAM itself and to STS: `TABLE` and `STS_TABLE`.

After the Service Authorization Reference, "AWS Identity and Access Management" and "AWS Security
Token Service"; the IAM User Guide has that tags at a creation need the action that tags, too.
GetCallerIdentity needs no permission. The trust of a role is not asked.
"""

from collections.abc import Callable
from typing import Any

from moto.iam.models import iam_backends

from localcloud.iamcallers import PARTITION
from localcloud.iamchecks import (
    Asked,
    Check,
    Table,
    everything,
    names,
    pass_role,
    request_tags,
    resource_tags,
)

__all__ = ["STS_TABLE", "TABLE"]

_Checks = Callable[[Asked], list[Check]]


def _backend(asked: Asked) -> Any:  # noqa: ANN401  (moto)
    return iam_backends[asked.who.account][PARTITION]


def _path(asked: Asked) -> str:
    """Return the path that something new gets."""
    return asked.text("Path") or "/"


def _find_role(asked: Asked) -> Any:  # noqa: ANN401  (moto)
    named = asked.text("RoleName")
    return next((one for one in _backend(asked).get_roles() if one.name == named), None)


def _role(asked: Asked) -> list[Check]:
    """Return the check of a call on a role that is there, or seems to be."""
    known = _find_role(asked)
    context: dict[str, str | list[str]] = {}
    if policy := asked.text("PolicyArn"):
        context["iam:PolicyARN"] = policy
    arn = asked.arn(f"role{_path(asked)}{asked.text('RoleName')}", service="iam")
    if known is not None:
        arn = known.arn
        context |= resource_tags(_read(known.tags), "iam")
        if known.permissions_boundary_arn:
            context["iam:PermissionsBoundary"] = known.permissions_boundary_arn
    if boundary := asked.text("PermissionsBoundary"):
        context["iam:PermissionsBoundary"] = boundary
    context |= request_tags(asked.parameters.get("Tags"))
    if keys := asked.parameters.get("TagKeys"):
        context["aws:TagKeys"] = list(keys)
    checks = [asked.check(arn, context)]
    if asked.action == "CreateRole" and asked.parameters.get("Tags"):
        checks.append(asked.check(arn, context, "TagRole"))
    return checks


def _read(tags: Any) -> dict[str, str]:  # noqa: ANN401  (moto keeps tags in more than one way)
    given = tags.values() if isinstance(tags, dict) else tags or []
    return {str(tag["Key"]): str(tag["Value"]) for tag in given}


def _profile(asked: Asked) -> list[Check]:
    named = asked.text("InstanceProfileName")
    known = next(
        (one for one in _backend(asked).instance_profiles.values() if one.name == named), None
    )
    arn = known.arn if known else asked.arn(f"instance-profile{_path(asked)}{named}")
    context = request_tags(asked.parameters.get("Tags"))
    checks = [asked.check(arn, context)]
    if asked.action == "CreateInstanceProfile" and context:
        checks.append(asked.check(arn, context, "TagInstanceProfile"))
    if asked.action == "AddRoleToInstanceProfile":
        role = _find_role(asked)
        role_arn = role.arn if role else asked.arn(f"role/{asked.text('RoleName')}")
        checks.append(pass_role(role_arn, "ec2"))
    return checks


def _policy(asked: Asked) -> list[Check]:
    new = asked.arn(f"policy{_path(asked)}{asked.text('PolicyName')}")
    return [asked.check(asked.text("PolicyArn") or new)]


def _user(asked: Asked) -> list[Check]:
    named = asked.text("UserName")
    if not named and asked.who.kind == "user":
        return [asked.check(asked.who.arn)]
    known = _backend(asked).users.get(named)
    return [asked.check(known.arn if known else asked.arn(f"user{_path(asked)}{named}"))]


def _linked_role(asked: Asked) -> list[Check]:
    service = asked.text("AWSServiceName")
    role = asked.arn(f"role/aws-service-role/{service}/*")
    return [asked.check(role, {"iam:AWSServiceName": service})]


def _simulate(asked: Asked) -> list[Check]:
    return [asked.check(asked.text("PolicySourceArn") or "*")]


def _of(kind: str, checks: _Checks) -> Table:
    return dict.fromkeys(names(kind), checks)


TABLE: Table = {
    **_of(
        "AttachRolePolicy CreateRole DeleteRole DeleteRolePermissionsBoundary DeleteRolePolicy "
        "DetachRolePolicy GetRole GetRolePolicy ListAttachedRolePolicies "
        "ListInstanceProfilesForRole ListRolePolicies ListRoleTags PutRolePermissionsBoundary "
        "PutRolePolicy TagRole UntagRole UpdateAssumeRolePolicy UpdateRole UpdateRoleDescription",
        _role,
    ),
    **_of(
        "AddRoleToInstanceProfile CreateInstanceProfile DeleteInstanceProfile GetInstanceProfile "
        "RemoveRoleFromInstanceProfile TagInstanceProfile UntagInstanceProfile "
        "ListInstanceProfileTags",
        _profile,
    ),
    **_of(
        "CreatePolicy CreatePolicyVersion DeletePolicy DeletePolicyVersion GetPolicy "
        "GetPolicyVersion ListEntitiesForPolicy ListPolicyVersions",
        _policy,
    ),
    **_of(
        "GetUser GetUserPolicy ListAttachedUserPolicies ListUserPolicies ListAccessKeys "
        "CreateUser DeleteUser CreateAccessKey DeleteAccessKey PutUserPolicy AttachUserPolicy",
        _user,
    ),
    **_of(
        "GetAccountSummary ListInstanceProfiles ListPolicies ListRoles ListUsers "
        "GetAccountAuthorizationDetails",
        everything,
    ),
    "CreateServiceLinkedRole": _linked_role,
    "SimulatePrincipalPolicy": _simulate,
}


def _assume(asked: Asked) -> list[Check]:
    context = {"sts:RoleSessionName": asked.text("RoleSessionName")}
    return [asked.check(asked.text("RoleArn"), context)]


STS_TABLE: Table = {
    "AssumeRole": _assume,
    "GetCallerIdentity": lambda _: [],
}
