"""Lints the templates and all that is in them: `python -m tests.templates.lint [DIRECTORY]`.

What is looked at: CloudFormation by cfn-lint; inlined sources, which must compile, have their
handler, and pass ruff; every policy, by parliament and by rules of our own. parliament lives in an
environment of its own, which the Makefile makes.
"""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.templates.policies import Unresolved, policies

__all__ = ["DIRECTORY", "PARLIAMENT", "lint", "main"]

DIRECTORY = Path(__file__).resolve().parents[2] / "templates"
PARLIAMENT = Path(sys.prefix) / "parliament" / "bin" / "python"
"""The interpreter of parliament's environment."""

_BIN = Path(sys.executable).parent
_CHECK = Path(__file__).with_name("parliament_check.py")

# What parliament finds and we mean, each with its reason: policy, issue, words (policy and words
# are patterns).
_MUTED = [
    # -setup makes the bucket's policy; buckets are those of our own names.
    (
        "annexd-policy.json",
        "RESOURCE_POLICY_PRIVILEGE_ESCALATION",
        r".* on arn:aws:s3:::htcondorannex-\* .*",
    ),
    # Capacity comes from any image, subnet and group that a configuration names.
    ("annexd-policy.json", "RESOURCE_STAR", r"\['ec2:RequestSpotFleet', 'ec2:RunInstances'\]"),
    # parliament takes a role's trust, which has no Resource, for a policy of an identity.
    (".*/AssumeRolePolicyDocument", "MALFORMED", "Statement contains neither Resource .*"),
]

# What takes something away, or opens it to others.
_ENDS = re.compile(
    r"(Delete|Terminate|Cancel|Remove|Detach|Revoke|Authorize|Disable|Stop|Untag|Unpublish).*"
)


def lint(directory: Path = DIRECTORY, *, parliament: Path = PARLIAMENT) -> list[str]:
    """Return what is wrong with the templates of a directory, one line each.

    Args:
        directory: Its JSON files with Resources are templates, those with a Statement policies.
        parliament: The interpreter that has it.

    Raises:
        FileNotFoundError: If parliament's environment is not there.
    """
    documents = {path: json.loads(path.read_text()) for path in sorted(directory.glob("*.json"))}
    templates = {path: one for path, one in documents.items() if "Resources" in one}
    found = list(_cfn_lint([*templates]))
    named = {path.name: one for path, one in documents.items() if "Statement" in one}
    for path, template in templates.items():
        found += [f"{path.name}: {one}" for one in _inlined(template)]
        try:
            named |= {f"{path.name}: {name}": one for name, one in policies(template)}
        except Unresolved as error:
            found.append(f"{path.name}: {error}")
    found += [f"{name}: {one}" for name, policy in named.items() for one in _own_rules(policy)]
    return [*found, *_parliament(named, parliament)]


def _run(command: Sequence[str], given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=given, capture_output=True, text=True, check=False)


def _cfn_lint(paths: Sequence[Path]) -> Iterator[str]:
    if not paths:
        yield "there are no templates"
        return
    done = _run([str(_BIN / "cfn-lint"), "--format", "parseable", "--", *map(str, paths)])
    if done.returncode and not done.stdout:
        yield f"cfn-lint: {done.stderr.strip()}"
    yield from done.stdout.splitlines()


def _inlined(template: Mapping[str, Any]) -> Iterator[str]:
    """Give what is wrong with the sources of a template's functions."""
    for name, resource in template["Resources"].items():
        source = resource.get("Properties", {}).get("Code", {}).get("ZipFile")
        if source is None:
            continue
        try:
            tree = ast.parse(source)
            compile(source, "index.py", "exec")
        except (SyntaxError, ValueError) as error:
            yield f"{name}: the source does not compile: {error}"
            continue
        module, _, handler = resource["Properties"]["Handler"].partition(".")
        defined = {one.name for one in tree.body if isinstance(one, ast.FunctionDef)}
        if module != "index" or handler not in defined:
            yield f"{name}: there is no handler {module}.{handler}"
        # As it would be in the place of its modules, with their rules.
        at = str(DIRECTORY.parent / "htcondor_annex" / "lease" / "index.py")
        ruff = [str(_BIN / "ruff"), "check", "--no-cache", "--output-format", "concise"]
        done = _run([*ruff, "--ignore", "I001", "--stdin-filename", at, "-"], source)
        if done.returncode:
            yield from (f"{name}: {line}" for line in (done.stdout + done.stderr).splitlines())


def _listed(value: Any) -> list[Any]:  # noqa: ANN401  (JSON)
    return value if isinstance(value, list) else [value]


def _own_rules(policy: Mapping[str, Any]) -> Iterator[str]:
    """Give what a policy allows too widely."""
    for statement in _listed(policy["Statement"]):
        if statement.get("Effect") != "Allow":
            continue
        sid = statement.get("Sid", "?")
        actions = [str(one) for one in _listed(statement.get("Action", []))]
        wide = [one for one in _listed(statement.get("Resource", [])) if _is_wide(str(one))]
        if statement.get("Principal") in ("*", {"AWS": "*"}) and not statement.get("Condition"):
            yield f"{sid}: allows it to everyone"
        if turned := {"NotAction", "NotResource"} & set(statement):
            yield f"{sid}: allows all but what {sorted(turned)} names"
        yield from (f"{sid}: the action {one} has a wildcard" for one in actions if "*" in one)
        ends = [one for one in actions if _ENDS.fullmatch(one.partition(":")[2])]
        if ends and wide and not statement.get("Condition"):
            yield f"{sid}: {', '.join(ends)} on {', '.join(wide)} without a condition"


def _is_wide(resource: str) -> bool:
    """Whether a resource is every one of its kind: its last part is a wildcard alone.

    Objects within a bucket, and streams within a log group, are of that one.
    """
    if resource.startswith("arn:aws:s3:::") and not resource.endswith(":::*"):
        return resource.removeprefix("arn:aws:s3:::").startswith("*")
    return resource == "*" or (resource.endswith(("/*", ":*")) and ":log-group:" not in resource)


def _parliament(named: Mapping[str, Any], interpreter: Path) -> Iterator[str]:
    if not interpreter.exists():
        raise FileNotFoundError(f"parliament is not there ({interpreter}): make lint installs it")
    done = _run([str(interpreter), "-W", "ignore", str(_CHECK)], json.dumps(named))
    if done.returncode:
        yield f"parliament: {done.stderr.strip()}"
        return
    for name, issue, what in json.loads(done.stdout):
        if not any(
            muted == issue and re.fullmatch(policy, name) and re.fullmatch(pattern, what)
            for policy, muted, pattern in _MUTED
        ):
            yield f"{name}: {issue}: {what}"


def main(arguments: Sequence[str]) -> int:
    """Say what is wrong; return 1 if anything is."""
    found = lint(Path(arguments[0]) if arguments else DIRECTORY)
    sys.stdout.write("".join(f"{one}{os.linesep}" for one in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
