"""Which one S3 object do these policies grant? Pure: documents in, candidates and remarks out.

The rules are IAM's (IAM User Guide, "IAM JSON policy elements reference" and "Policy evaluation
logic"), read so that doubt never widens a grant: an Allow that cannot be decided is left out, a
Deny that cannot be decided applies. AWS itself still has the last word when the object is asked
for, so nothing here guards a secret; it guards against asking for the wrong object.

An object is meant when a statement names it and it alone:

* an exact key, `arn:aws:s3:::bucket/path/name`, is taken as it stands;
* `config-*.tar.gz` as the last part of a key, HTCondor's own form, has its `*` filled with the
  annex's id;
* anything wider names no object and is no candidate.

Candidates come in this order: exact keys before filled ones; within each, as the policies, their
statements and the statements' resources are ordered. The first naming of an object counts.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from instance_agent.patterns import Pattern, Wild, matches, parse

__all__ = ["Candidate", "Findings", "Policy", "find"]

ACTION = "s3:getobject"
"""What the agent asks for; IAM compares actions without regard to case."""

VARIABLES_VERSION = "2012-10-17"
"""Only in this version of the language is `${...}` a variable; before it is plain text."""

TEMPLATE_START = "config-"
TEMPLATE_END = ".tar.gz"

MAX_KEY_BYTES = 1024
MAX_REMARKS = 50

# S3 User Guide, "General purpose bucket naming rules".
_OBJECT = re.compile(
    r"arn:(?P<partition>[a-z0-9-]+):s3:::"
    r"(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<key>.+)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Policy:
    """One policy of the role.

    Attributes:
        name: How remarks call it.
        document: The parsed JSON, not yet looked at.
    """

    name: str
    document: object


@dataclass(frozen=True)
class Candidate:
    """An object that the role may get.

    Attributes:
        bucket: Its bucket.
        key: Its key, exact.
        policy: The name of the policy that grants it.
    """

    bucket: str
    key: str
    policy: str

    @property
    def url(self) -> str:
        """How the log calls it."""
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class Findings:
    """What the policies say.

    Attributes:
        candidates: The objects that are meant, the first to be tried first.
        remarks: What was left out, and why, one line each.
        wants_annex_id: Whether knowing the annex's id would give further candidates.
    """

    candidates: tuple[Candidate, ...]
    remarks: tuple[str, ...]
    wants_annex_id: bool = False


@dataclass(frozen=True)
class _Statement:
    """One statement about getting objects, its resources parsed."""

    where: str
    policy: str
    allow: bool
    conditional: bool
    resources: tuple[Pattern, ...]
    inverted: bool


class _MalformedError(Exception):
    """This is not what IAM would have stored."""


def find(policies: Sequence[Policy], *, partition: str, annex_id: str | None = None) -> Findings:
    """Find the objects that these policies name and grant.

    Args:
        policies: The role's, inline and attached, in the order in which they are to count.
        partition: Where the role lives: `aws`, `aws-cn` or `aws-us-gov`. A bucket of the same
            name in another partition is somebody else's.
        annex_id: Fills the `*` of `config-*.tar.gz`; None if it is not known.
    """
    remarks: list[str] = []
    statements = [item for policy in policies for item in _statements(policy, remarks)]
    denials = [item for item in statements if not item.allow]
    exact: dict[tuple[str, str], Candidate] = {}
    filled: dict[tuple[str, str], Candidate] = {}
    wanting = False
    for statement in statements:
        if not statement.allow:
            continue
        if statement.conditional:
            remarks.append(f"{statement.where}: its Condition cannot be decided here; left out")
            continue
        if statement.inverted:
            remarks.append(f"{statement.where}: NotResource names no object; left out")
            continue
        for pattern in statement.resources:
            arn, is_filled = _name(pattern, annex_id)
            wanting = wanting or (arn is None and is_filled)
            if arn is None:
                remarks.append(f"{statement.where}: {_unnamed(pattern, template=is_filled)}")
                continue
            candidate = _candidate(arn, statement, partition, remarks)
            if candidate and not _denied(arn, candidate, denials, remarks):
                known = filled if is_filled else exact
                known.setdefault((candidate.bucket, candidate.key), candidate)
    candidates = tuple({**filled, **exact}[name] for name in {**exact, **filled})
    if len(remarks) > MAX_REMARKS:
        remarks[MAX_REMARKS:] = [f"and {len(remarks) - MAX_REMARKS} more remarks"]
    return Findings(candidates, tuple(remarks), wanting)


def _statements(policy: Policy, remarks: list[str]) -> list[_Statement]:
    """The statements of a policy that speak of getting objects."""
    found: list[_Statement] = []
    if not isinstance(policy.document, Mapping):
        remarks.append(f"{policy.name}: the document is no JSON object; left out")
        return found
    variables = policy.document.get("Version") == VARIABLES_VERSION
    raw = policy.document.get("Statement")
    for number, statement in enumerate(raw if isinstance(raw, list) else [raw], start=1):
        where = f"{policy.name}, statement {number}"
        try:
            parsed = _statement(statement, policy.name, where, variables=variables)
        except _MalformedError as error:
            remarks.append(f"{where}: {error}; left out")
            continue
        if parsed:
            found.append(parsed)
    return found


def _statement(raw: object, policy: str, where: str, *, variables: bool) -> _Statement | None:
    """One statement, or None if it does not speak of getting objects."""
    if not isinstance(raw, Mapping):
        raise _MalformedError("not a JSON object")
    effect = raw.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise _MalformedError("Effect is neither Allow nor Deny")
    actions, not_actions = _either(raw, "Action", "NotAction")
    named = any(matches(parse(action.lower(), variables=False), ACTION) for action in actions)
    resources, not_resources = _either(raw, "Resource", "NotResource")
    if named == not_actions:
        return None
    condition = raw.get("Condition", {})
    if not isinstance(condition, Mapping):
        raise _MalformedError("Condition is not a JSON object")
    return _Statement(
        where=where,
        policy=policy,
        allow=effect == "Allow",
        conditional=bool(condition),
        resources=tuple(parse(resource, variables=variables) for resource in resources),
        inverted=not_resources,
    )


def _either(raw: Mapping[str, object], plain: str, inverted: str) -> tuple[list[str], bool]:
    """The texts of the one of two elements that is there, and whether it is the inverted one."""
    if (plain in raw) == (inverted in raw):
        raise _MalformedError(f"needs one of {plain} and {inverted}")
    name = plain if plain in raw else inverted
    value = raw[name]
    items: list[object] = value if isinstance(value, list) else [value]
    texts = [item for item in items if isinstance(item, str)]
    if not texts or len(texts) != len(items):
        raise _MalformedError(f"{name} is neither a text nor a list of texts")
    return texts, name == inverted


def _name(pattern: Pattern, annex_id: str | None) -> tuple[str | None, bool]:
    """The ARN that a pattern stands for, if for one; and whether it is HTCondor's form."""
    wild = [token for token in pattern if isinstance(token, Wild)]
    if not wild:
        return "".join(str(token) for token in pattern), False
    if wild != [Wild.ANY]:
        return None, False
    place = pattern.index(Wild.ANY)
    before = "".join(str(token) for token in pattern[:place])
    after = "".join(str(token) for token in pattern[place + 1 :])
    if not before.endswith(f"/{TEMPLATE_START}") or after != TEMPLATE_END:
        return None, False
    return (None if annex_id is None else f"{before}{annex_id}{after}"), True


def _unnamed(pattern: Pattern, *, template: bool) -> str:
    """Why a resource names no object."""
    text = show(pattern)
    if template:
        return f"{text} needs the annex's id, which is not known"
    if Wild.UNKNOWN in pattern:
        return f"{text} holds a policy variable, which cannot be decided here; left out"
    return f"{text} is wider than one object; left out"


def show(pattern: Pattern) -> str:
    """A pattern as a remark shows it: shortened, and on one line."""
    text = "".join(token.value if isinstance(token, Wild) else token for token in pattern)
    return repr(text if len(text) <= 200 else f"{text[:200]}...")  # noqa: PLR2004 - as it reads


def _candidate(
    arn: str, statement: _Statement, partition: str, remarks: list[str]
) -> Candidate | None:
    """The object of an exact ARN, or None if there is none to be had under it."""
    found = _OBJECT.fullmatch(arn)
    if not found:
        # Other services' resources, and buckets as such, are granted for other purposes.
        if ":s3:" in arn and "/" in arn:
            remarks.append(f"{statement.where}: {arn[:200]!r} is no object of a bucket; left out")
        return None
    key = found["key"]
    problem = None
    if found["partition"] != partition:
        problem = f"is in partition {found['partition']}, this role in {partition}"
    elif len(key.encode(errors="surrogatepass")) > MAX_KEY_BYTES:
        problem = f"has a key longer than S3's {MAX_KEY_BYTES} bytes"
    elif not key.isprintable() or {"", ".", ".."} & set(key.split("/")):
        problem = "has a key with an empty, '.' or '..' part, or with unprintable characters"
    if problem:
        remarks.append(f"{statement.where}: {arn[:200]!r} {problem}; left out")
        return None
    return Candidate(bucket=found["bucket"], key=key, policy=statement.policy)


def _denied(
    arn: str, candidate: Candidate, denials: Sequence[_Statement], remarks: list[str]
) -> bool:
    """Whether a Deny covers, or may cover, this object."""
    for denial in denials:
        # A variable in a pattern matches like `*` here: for a Deny doubt is a match, for its
        # NotResource doubt is none.
        covered = [
            pattern
            for pattern in denial.resources
            if not (denial.inverted and Wild.UNKNOWN in pattern) and matches(pattern, arn)
        ]
        if bool(covered) != denial.inverted:
            how = "may be denied (by a Condition)" if denial.conditional else "is denied"
            remarks.append(f"{candidate.url} of {candidate.policy} {how} by {denial.where}")
            return True
    return False
