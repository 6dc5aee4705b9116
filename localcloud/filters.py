"""EC2's filters, those that moto lacks among them.

Source: EC2 User Guide, "List and filter your resources using the CLI and API": values of a filter
are joined with OR, filters with AND; `*` stands for any text, `?` for one character, and a
backslash takes their meaning; values are case-sensitive; a filter has at most 200 values.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.utils import passes_filter_dict

from localcloud.ec2xml import time_text

__all__ = ["instance_test", "read", "value_test"]

Tags = Mapping[str, Mapping[str, str]]

_MOST_VALUES = 200
_NONE: Mapping[str, str] = {}
_VALUES: dict[str, Callable[[Any], str]] = {
    "client-token": lambda instance: instance.client_token or "",
    "instance-id": lambda instance: instance.id,
    "instance-lifecycle": lambda instance: instance.lifecycle or "",
    "instance-state-code": lambda instance: str(instance.state_code),
    "instance-state-name": lambda instance: instance.state,
    "instance-type": lambda instance: instance.instance_type,
    "launch-time": lambda instance: time_text(instance.launch_time),
}


def read(given: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return a request's filters by name.

    Raises:
        EC2ClientError: If a filter has no name, or too many values.
    """
    found: dict[str, list[str]] = {}
    for one in given:
        if "Name" not in one:
            raise EC2ClientError("InvalidParameterValue", "The filter 'null' is invalid")
        found[one["Name"]] = list(one.get("Values") or [])
    if any(len(values) > _MOST_VALUES for values in found.values()):
        raise EC2ClientError(
            "FilterLimitExceeded",
            "The maximum number of filter values specified on a single call is 200",
        )
    return found


def value_test(patterns: Iterable[str]) -> Callable[[str | None], bool]:
    """Return what tells whether a text is one of these values, wildcards counting; None is not."""
    exact, wild = set(), []
    for pattern in patterns:
        if re.search(r"[*?\\]", pattern):
            wild.append(re.compile(_expression(pattern), re.DOTALL))
        else:
            exact.add(pattern)
    if not wild:
        return exact.__contains__
    return lambda text: (
        text is not None and (text in exact or any(one.fullmatch(text) for one in wild))
    )


def _expression(pattern: str) -> str:
    """Return a pattern with wildcards as a regular expression."""
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    wildcards = {"*": ".*", "?": "."}
    return "".join(
        wildcards.get(part) or re.escape(part[1:] if len(part) > 1 else part) for part in parts
    )


def instance_test(given: Mapping[str, list[str]], tags: Tags) -> Callable[[Any], bool]:
    """Return what tells whether an instance passes DescribeInstances' filters.

    Args:
        given: What `read` returned.
        tags: Resource id to its tags.
    """
    tests = [_one_test(name, values, tags) for name, values in given.items()]
    if len(tests) == 1:
        return tests[0]
    return lambda instance: all(test(instance) for test in tests)


def _one_test(name: str, values: list[str], tags: Tags) -> Callable[[Any], bool]:
    passes = value_test(values)
    if name.startswith("tag:"):
        key = name.removeprefix("tag:")
        return lambda instance: passes(tags.get(instance.id, _NONE).get(key))
    if name == "tag-key":
        return lambda instance: any(map(passes, tags.get(instance.id, _NONE)))
    if name in _VALUES:
        value_of = _VALUES[name]
        return lambda instance: passes(value_of(instance))
    return lambda instance: bool(passes_filter_dict(instance, {name: values}))
