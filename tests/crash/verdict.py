"""What must hold between the journal and the cloud when nothing is under way. Pure."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from htcondor_annex import tags
from htcondor_annex.annex import Annex, AnnexState, LeaseMethod
from htcondor_annex.lease import rule
from localcloud import Contents
from tests.crash.books import Books

__all__ = ["disagreements"]


def _tag(thing: Mapping[str, Any], name: str) -> str:
    return next((tag["Value"] for tag in thing.get("Tags", []) if tag["Key"] == name), "")


def _of(things: Iterable[Mapping[str, Any]], annex_id: str) -> list[Mapping[str, Any]]:
    return [thing for thing in things if _tag(thing, tags.ANNEX_ID) == annex_id]


def _expected(expected: object, actual: object, what: str) -> list[str]:
    return [] if expected == actual else [f"{what}: expected {expected!r}, found {actual!r}"]


def _wrong_with(
    annex: Annex, seen: Contents, rule_tags: Mapping[str, Mapping[str, str]]
) -> list[str]:
    """Return what is wrong with an annex that should be whole."""
    annex_id, name = annex.identity.id, rule.rule_name(annex.identity.id)
    fleets, instances = _of(seen.fleets, annex_id), _of(seen.instances, annex_id)
    targets = [
        (target["Id"], target["Arn"], json.loads(target["Input"]))
        for target in seen.targets.get(name, ())
    ]
    has_rule = annex.lease.method is LeaseMethod.RULE
    wanted = rule.put_targets_parameters(annex.identity, annex.lease)["Targets"] if has_rule else []
    marks = tags.for_annex(annex.identity, annex.lease)
    return [
        *_expected(AnnexState.ACTIVE, annex.state, "state"),
        *_expected(annex.lease.expires, annex.expires, "lease's end that is promised"),
        *_expected([annex.capacity_id], [one["SpotFleetRequestId"] for one in fleets], "fleets"),
        *_expected(
            [(one["Id"], one["Arn"], json.loads(one["Input"])) for one in wanted],
            targets,
            "targets",
        ),
        *_expected(marks if has_rule else None, rule_tags.get(name), "rule's tags"),
        *(
            wrong
            for thing in (*fleets, *instances)
            for wrong in _expected(marks, {key: _tag(thing, key) for key in marks}, "tags")
        ),
    ]


def disagreements(
    books: Books, seen: Contents, rule_tags: Mapping[str, Mapping[str, str]]
) -> list[str]:
    """Return everything in which journal, history and cloud disagree, in sentences.

    Args:
        books: Each annex of the journal should be whole, each of the history be gone.
        seen: What lives in the cloud.
        rule_tags: Rule name to the rule's tags.
    """
    ids = {annex.identity.id for annex in books.living}
    records = Counter(annex.identity.id for annex in (*books.living, *books.ended))
    leaked = [
        *(one["SpotFleetRequestId"] for one in seen.fleets if _tag(one, tags.ANNEX_ID) not in ids),
        *(one["InstanceId"] for one in seen.instances if _tag(one, tags.ANNEX_ID) not in ids),
        *(
            one["Name"]
            for one in seen.rules
            if rule.annex_of(one["Name"]) and rule.annex_of(one["Name"]) not in ids
        ),
    ]
    return [
        *(f"nobody owns {one}" for one in leaked),
        *(
            f"annex {one} is in the books {times} times"
            for one, times in records.items()
            if times > 1
        ),
        *(f"annex {one.identity.id} has ended, {one.state}" for one in books.ended if not one.over),
        *(
            f"annex {annex.identity.name}: {wrong}"
            for annex in books.living
            for wrong in _wrong_with(annex, seen, rule_tags)
        ),
    ]
