"""Runs parliament on policies: run by the interpreter of its own environment, apart from ours.

It reads {name: policy} as JSON, and writes [[name, issue, what], ...].
"""

import json
import sys

# parliament is only in that other environment.
from parliament import analyze_policy_string, statement  # type: ignore[import-not-found]

__all__ = ["main"]

_known = statement.translate_documentation_types


def _types(name: str) -> str:
    """Return parliament's name of a condition key's type; 1.6.4 lacks one that its data has."""
    return "Arn" if name == "ArrayOfARN" else str(_known(name))


def main() -> int:
    """Check; return 0."""
    statement.translate_documentation_types = _types
    found = [
        [name, one.issue, f"{one.detail or one.location}"]
        for name, policy in json.load(sys.stdin).items()
        for one in analyze_policy_string(json.dumps(policy)).findings
    ]
    json.dump(found, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
