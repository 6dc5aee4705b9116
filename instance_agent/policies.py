"""The policies of the instance's role, as far as the role may see them.

Inline policies and the default versions of attached ones. What the role may not read is said and
left out: one readable policy with a grant is enough.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from urllib.parse import unquote

from instance_agent.aws import IAMClient, asking
from instance_agent.bounded import together
from instance_agent.errors import AgentError, AWSError, Healing
from instance_agent.grants import Policy

__all__ = ["View", "look", "parse_document"]

T = TypeVar("T")

MAX_POLICIES = 100
"""Of each kind. IAM's own quota is 20 attached ones, and 10,240 characters of inline ones."""

MAX_DOCUMENT_CHARACTERS = 128 * 1024
"""IAM's quotas are 6,144 and 10,240 without white space, URL-encoded up to three times as long."""


@dataclass(frozen=True)
class View:
    """What was seen of the role.

    Attributes:
        policies: Inline ones, then attached ones, each in the order of their names.
        lacked: What could not be read, and why, one line each.
    """

    policies: tuple[Policy, ...]
    lacked: tuple[str, ...]


def look(iam: IAMClient, role: str, left: Callable[[], float]) -> View:
    """Read the role's policies; what needs no other answer is asked for at the same time.

    Args:
        iam: A client that leaves documents as texts.
        role: The role's name.
        left: Seconds for the next round of questions; there are two.

    Raises:
        AWSError: AWS cannot answer now, or the question is wrong.
    """
    lacked: list[str] = []
    try:
        names, arns = together(
            [
                partial(_seen, lacked, partial(_inline_names, iam, role)),
                partial(_seen, lacked, partial(_attached_arns, iam, role)),
            ],
            left(),
        )
        documents = together(
            [
                *(partial(_seen, lacked, partial(_inline, iam, role, name)) for name in names),
                *(partial(_seen, lacked, partial(_attached, iam, arn)) for arn in arns),
            ],
            left(),
        )
    except TimeoutError as error:
        raise AWSError(f"IAM: {error}", code="", healing=Healing.ALWAYS) from error
    policies: list[Policy] = []
    for name, text in (item for found in documents for item in found):
        try:
            policies.append(Policy(name, parse_document(text)))
        except ValueError as error:
            lacked.append(f"{name}: {error}")
    return View(tuple(policies), tuple(sorted(lacked)))


def parse_document(text: object) -> object:
    """The JSON of a policy document as IAM sends it: URL-encoded (RFC 3986).

    Raises:
        ValueError: It is none, or is larger than IAM stores; the text says which.
    """
    if not isinstance(text, str):
        raise ValueError("the answer holds no document")  # noqa: TRY004 - one kind for the caller
    if len(text) > MAX_DOCUMENT_CHARACTERS:
        raise ValueError(f"the document has {len(text)} characters, more than IAM stores")
    try:
        return json.loads(unquote(text))
    except (ValueError, RecursionError) as error:
        raise ValueError("the document is not JSON") from error


def _seen(lacked: list[str], read: Callable[[], list[T]]) -> list[T]:
    """What `read` finds; nothing, and a line in `lacked`, if the role may not see it."""
    try:
        return read()
    except AgentError as error:
        if error.healing is not Healing.SETTLING:
            raise
        lacked.append(str(error))
        return []


def _inline_names(iam: IAMClient, role: str) -> list[str]:
    with asking(f"the inline policies of role {role}"):
        pages = iam.get_paginator("list_role_policies").paginate(
            RoleName=role, PaginationConfig={"MaxItems": MAX_POLICIES}
        )
        return sorted(str(name) for page in pages for name in page.get("PolicyNames", []))


def _attached_arns(iam: IAMClient, role: str) -> list[str]:
    with asking(f"the attached policies of role {role}"):
        pages = iam.get_paginator("list_attached_role_policies").paginate(
            RoleName=role, PaginationConfig={"MaxItems": MAX_POLICIES}
        )
        found = [item for page in pages for item in page.get("AttachedPolicies", [])]
    return [str(item["PolicyArn"]) for item in sorted(found, key=lambda x: str(x["PolicyName"]))]


def _inline(iam: IAMClient, role: str, name: str) -> list[tuple[str, object]]:
    with asking(f"inline policy {name}"):
        answer = iam.get_role_policy(RoleName=role, PolicyName=name)
    return [(f"inline policy {name}", answer.get("PolicyDocument"))]


def _attached(iam: IAMClient, arn: str) -> list[tuple[str, object]]:
    with asking(f"attached policy {arn}"):
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        answer = iam.get_policy_version(PolicyArn=arn, VersionId=version)
    return [(f"attached policy {arn}", answer["PolicyVersion"].get("Document"))]
