"""Users and roles, their keys and their policies: what moto's IAM keeps, as authority needs it.

A managed policy takes 6,144 characters, spaces left out (IAM User Guide, "IAM and AWS STS
quotas").
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.iam.models import iam_backends
from moto.iam.policy_validation import IAMPolicyDocumentValidator
from moto.sts.models import sts_backends

from localcloud.iampolicy import Policy, PolicyError, parse

__all__ = ["Caller", "Grants", "Key", "assume", "find", "grants", "make_user", "role"]

PARTITION = "aws"
_REGION = "us-east-1"  # IAM has none: it says the partition
_LARGEST_POLICY = 6144
_SESSION = "localcloud"
_SESSION_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose credentials a request was signed with.

    Attributes:
        account: The account's number.
        kind: `user` or `role`.
        name: The user's or the role's name.
        arn: As AWS names it: of the user, or of the role's session.
        principal: The user's ARN, or the role's.
        identity: The id of the user, or of the role and its session.
        session: The policy that was given when the role was assumed; empty if none was.
    """

    account: str
    kind: str
    name: str
    arn: str
    principal: str
    identity: str
    session: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """An access key: its secret, the session token that goes with it, and whose it is."""

    id: str
    secret: str
    token: str
    caller: Caller


@dataclass(frozen=True, slots=True)
class Grants:
    """What limits a caller: own policies, permissions boundary and session policy."""

    policies: tuple[Policy, ...]
    boundary: Policy | None
    session: Policy | None


def find(access_key: str) -> Key | None:
    """Return an access key of a user or of an assumed role, or None if IAM knows none such."""
    for account, partitions in list(iam_backends.items()):
        known = partitions[PARTITION].access_keys.get(access_key)
        if known is None or known.status != "Active":
            continue
        if known.user_name is not None:
            user = partitions[PARTITION].users.get(known.user_name)
            if user is None:
                return None
            return Key(access_key, known.secret_access_key, "", _user(account, user))
        session = sts_backends[account][PARTITION].get_assumed_role_from_access_key(access_key)
        if session is not None:
            caller = _session(session)
            return Key(access_key, session.secret_access_key, session.session_token, caller)
    return None


def _user(account: str, user: Any) -> Caller:  # noqa: ANN401  (moto)
    return Caller(account, "user", user.name, user.arn, user.arn, user.id)


def _session(session: Any) -> Caller:  # noqa: ANN401  (moto)
    name = session.role_arn.rpartition("/")[2]
    return Caller(
        session.account_id,
        "role",
        name,
        session.arn,
        session.role_arn,
        session.user_id,
        session.policy or "",
    )


def role(arn: str) -> Caller:
    """Return a service that acts in a role's name.

    Raises:
        ValueError: If there is no such role.
    """
    account = _account_of(arn)
    try:
        known = iam_backends[account][PARTITION].get_role_by_arn(arn)
    except ServiceException as error:
        raise ValueError(f"there is no role {arn}") from error
    session = f"arn:{PARTITION}:sts::{account}:assumed-role/{known.name}/{_SESSION}"
    return Caller(account, "role", known.name, session, known.arn, f"{known.id}:{_SESSION}")


def assume(arn: str) -> Key:
    """Return temporary credentials of a role; its trust is not asked.

    Raises:
        ValueError: If there is no such role.
    """
    account = role(arn).account
    session = sts_backends[account][PARTITION].assume_role(
        region_name=_REGION,
        role_session_name=_SESSION,
        role_arn=arn,
        policy="",
        duration=_SESSION_SECONDS,
        external_id="",
    )
    found = find(session.access_key_id)
    if found is None:
        raise ValueError(f"there are no credentials of {arn}")
    return found


def _account_of(arn: str) -> str:
    parts = arn.split(":")
    return parts[4] if len(parts) > 5 and parts[4] else DEFAULT_ACCOUNT_ID  # noqa: PLR2004


def grants(caller: Caller) -> Grants:
    """Return what a caller's policies are now.

    Raises:
        PolicyError: If one cannot be read, or if the caller is gone.
    """
    backend = iam_backends[caller.account][PARTITION]
    kept = (backend.users if caller.kind == "user" else _roles(backend)).get(caller.name)
    if kept is None:
        raise PolicyError(f"{caller.arn} is gone")
    owners = [kept]
    if caller.kind == "user":
        owners += [group for group in backend.groups.values() if kept in group.users]
    documents = [text for owner in owners for text in owner.policies.values()]
    documents += [_document(one) for owner in owners for one in owner.managed_policies.values()]
    boundary = getattr(kept, "permissions_boundary_arn", None)
    return Grants(
        tuple(parse(one) for one in documents),
        _boundary(backend, boundary) if boundary else None,
        parse(caller.session) if caller.session else None,
    )


def _roles(backend: Any) -> dict[str, Any]:  # noqa: ANN401  (moto)
    return {one.name: one for one in backend.get_roles()}


def _boundary(backend: Any, arn: str) -> Policy:  # noqa: ANN401  (moto)
    kept = backend.managed_policies.get(arn)
    if kept is None:
        raise PolicyError(f"there is no policy {arn}, which bounds permissions")
    return parse(_document(kept))


def _document(policy: Any) -> str:  # noqa: ANN401  (moto)
    """Return a managed policy's default version."""
    version = next(one for one in policy.versions if one.version_id == policy.default_version_id)
    return str(version.document)


def make_user(name: str, policy: Mapping[str, Any]) -> tuple[str, str]:
    """Give a user, new or not, one managed policy and no other.

    Returns:
        The id and the secret of its access key, which it keeps.

    Raises:
        ValueError: If IAM would not take the policy, or if it is too large.
    """
    text = json.dumps(policy)
    size = len("".join(json.dumps(policy, separators=(",", ":")).split()))
    if size > _LARGEST_POLICY:
        raise PolicyError(f"the policy has {size} characters, and IAM takes {_LARGEST_POLICY}")
    parse(text)
    try:
        IAMPolicyDocumentValidator(text).validate()
    except ServiceException as error:
        raise PolicyError(f"IAM refuses the policy: {error.message}") from error
    backend = iam_backends[DEFAULT_ACCOUNT_ID][PARTITION]
    user = backend.users.get(name) or backend.create_user(_REGION, name)
    user.policies.clear()
    for old in list(user.managed_policies.values()):
        old.detach_from(user)
        backend.managed_policies.pop(old.arn)
    backend.create_policy("", "/", text, name, []).attach_to(user)
    key = user.access_keys[0] if user.access_keys else backend.create_access_key(name)
    return key.access_key_id, key.secret_access_key
