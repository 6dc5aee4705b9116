"""Pages of EventBridge's rules and targets. `install` puts it into moto once.

moto's own tokens of targets name an ARN, which all annexes' rules share. After the EventBridge API
Reference ("ListRules", "ListRuleNamesByTarget", "ListTargetsByRule"): Limit is from 1 to 100.
"""

import json
from collections.abc import Mapping
from typing import Any

from moto.events.responses import EventsHandler

from localcloud.paging import page
from localcloud.patching import patch

__all__ = ["install"]

_LARGEST_PAGE = 100

Response = Any
"""moto's, which has no types."""

Written = tuple[str, Mapping[str, Any]]


def install() -> None:
    """Put AWS's behaviour into moto's class."""
    patch(
        EventsHandler,
        list_rules=_list_rules,
        list_rule_names_by_target=_list_rule_names_by_target,
        list_targets_by_rule=_list_targets_by_rule,
    )


def _list_rules(self: Response) -> Written:
    prefix = self._get_param("NamePrefix") or ""
    rules = _rules(self)
    names = sorted(name for name in rules if name.startswith(prefix))
    given, token = page(names, str, _limit(self), self._get_param("NextToken"))
    found = {"Rules": [rules[name].describe() for name in given], "NextToken": token}
    return json.dumps(found), self.response_headers


def _list_rule_names_by_target(self: Response) -> Written:
    arn = self._get_param("TargetArn")
    names = sorted(
        name
        for name, rule in _rules(self).items()
        if any(target["Arn"] == arn for target in rule.targets)
    )
    given, token = page(names, str, _limit(self), self._get_param("NextToken"))
    return json.dumps({"RuleNames": given, "NextToken": token}), self.response_headers


def _list_targets_by_rule(self: Response) -> Written:
    name = self._get_param("Rule")
    rule = _rules(self).get(name)
    if rule is None:
        refusal: Written = self.error("ResourceNotFoundException", f"Rule {name} does not exist.")
        return refusal
    targets = sorted(rule.targets, key=_identity)
    given, token = page(targets, _identity, _limit(self), self._get_param("NextToken"))
    return json.dumps({"Targets": given, "NextToken": token}), self.response_headers


def _identity(target: Mapping[str, Any]) -> str:
    return str(target["Id"])


def _limit(self: Response) -> int:
    return min(int(self._get_param("Limit") or _LARGEST_PAGE), _LARGEST_PAGE)


def _rules(self: Response) -> Mapping[str, Any]:
    """Return the rules of the bus that is asked for, by name."""
    backend = self.events_backend
    bus = backend._get_event_bus(  # noqa: SLF001  (moto's own way in)
        backend._normalize_event_bus_arn(self._get_param("EventBusName"))  # noqa: SLF001
    )
    rules: Mapping[str, Any] = bus.rules
    return rules
