"""Another end for a lease: promised, then brought about in AWS, by the real programs."""

import json
import time
from typing import Any

import pytest

from localcloud import LocalCloud
from tests.support import Annexd, console_config, wait_for

_TAG = "htcondor:lease-expires"


def _ends(cloud: LocalCloud) -> dict[str, set[int]]:
    """Return the lease's end as each thing in the cloud tells it."""
    contents = cloud.contents()
    events = cloud.client("events", looks=True)

    def tagged(things: Any) -> set[int]:  # noqa: ANN401  (AWS's own descriptions)
        return {
            int(tag["Value"]) for one in things for tag in one.get("Tags", []) if tag["Key"] == _TAG
        }

    rules = [events.list_tags_for_resource(ResourceARN=rule["Arn"]) for rule in contents.rules]
    targets = [json.loads(one["Input"]) for found in contents.targets.values() for one in found]
    return {
        "target": {target["LeaseExpiration"] for target in targets},
        "fleet": tagged(contents.fleets),
        "instances": tagged(contents.instances),
        "rule": tagged(rules),
    }


def _everywhere(end: int) -> dict[str, set[int]]:
    return {name: {end} for name in ("target", "fleet", "instances", "rule")}


@pytest.mark.parametrize("duration", [5000, 100], ids=["longer", "shorter"])
def test_a_lease_is_updated_everywhere(annexd: Annexd, cloud: LocalCloud, duration: int) -> None:
    """Target, fleet, instances and rule tell the new end, and so does the tool."""
    annexd.ask(console_config(), "-annex-name", f"lease-{duration}", "-lease-duration", "1000")
    before = time.time()
    ended = annexd.plain("-annex-name", f"lease-{duration}", "-lease-duration", str(duration))
    (end,) = _ends(cloud)["target"]
    assert (ended.status, _everywhere(end)) == (0, _ends(cloud)), ended.err
    assert before + duration - 1 <= end <= time.time() + duration
    shown = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(end))
    assert ended.out == f"Lease updated. It ends at {shown}.\n"
    assert annexd.status(f"lease-{duration}")["lease_expires"] == end


def test_a_shortened_lease_ends_on_time(annexd: Annexd, cloud: LocalCloud) -> None:
    """Two seconds from now is two seconds from now."""
    annexd.ask(console_config(), "-annex-name", "soon", "-lease-duration", "1000")
    annexd.plain("-annex-name", "soon", "-lease-duration", "2")
    wait_for(lambda: cloud.contents().empty, "end of the lease")


def test_an_extended_lease_is_honoured(annexd: Annexd, cloud: LocalCloud) -> None:
    """Past its old end the annex lives."""
    annexd.ask(console_config(), "-annex-name", "longer", "-lease-duration", "3")
    assert annexd.plain("-annex-name", "longer", "-lease-duration", "1000").status == 0
    time.sleep(4)
    assert annexd.status("longer")["state"] == "active"
    assert len(cloud.contents().fleets) == 1


@pytest.mark.parametrize("action", ["PutTargets", "CreateTags", "DescribeRule", "TagResource"])
def test_a_refused_update_leaves_the_old_lease(
    annexd: Annexd, cloud: LocalCloud, action: str
) -> None:
    """Whichever call AWS refuses, the old end stands everywhere, and the tool says why."""
    name = f"refused-{action}"
    annexd.ask(console_config(), "-annex-name", name, "-lease-duration", "1000")
    before = _ends(cloud)
    cloud.fail(action, "AccessDeniedException", status=403)
    ended = annexd.plain("-annex-name", name, "-lease-duration", "5000")
    assert (ended.status, f"AWS refused {action}" in ended.err) == (5, True)
    assert before == _ends(cloud)
    assert {annexd.status(name)["lease_expires"]} == before["target"]


def test_an_update_goes_on_after_throttling(annexd: Annexd, cloud: LocalCloud) -> None:
    """Throttled, it is tried again."""
    annexd.ask(console_config(), "-annex-name", "throttled", "-lease-duration", "1000")
    cloud.fail("CreateTags", "RequestLimitExceeded", status=503, times=5)
    assert annexd.plain("-annex-name", "throttled", "-lease-duration", "3000").status == 0
    assert len(_ends(cloud)["fleet"] | _ends(cloud)["instances"] | _ends(cloud)["target"]) == 1


def test_a_rule_taken_away_comes_back_with_the_update(annexd: Annexd, cloud: LocalCloud) -> None:
    """Someone deleted the rule: the new lease stands with a rule and a target again."""
    annexd.ask(console_config(), "-annex-name", "no-rule", "-lease-duration", "1000")
    events = cloud.client("events", looks=True)
    (rule,) = cloud.contents().rules
    events.remove_targets(Rule=rule["Name"], Ids=[rule["Name"]])
    events.delete_rule(Name=rule["Name"])
    assert annexd.plain("-annex-name", "no-rule", "-lease-duration", "3000").status == 0
    (end,) = _ends(cloud)["target"]
    assert _ends(cloud) == _everywhere(end)


@pytest.mark.parametrize(
    ("duration", "why"),
    [(8 * 24 * 3600, "longer than ANNEX_MAX_LEASE"), (3000, "cannot end later")],
    ids=["the knob", "ValidUntil"],
)
def test_a_lease_beyond_what_may_be(
    annexd: Annexd, cloud: LocalCloud, duration: int, why: str
) -> None:
    """Neither beyond ANNEX_MAX_LEASE nor beyond AWS's own end of the fleet."""
    name = f"beyond-{duration}"
    annexd.ask(
        console_config(), "-annex-name", name, "-lease-duration", "1000", "-valid-until", "+2000"
    )
    before = _ends(cloud)
    ended = annexd.plain("-annex-name", name, "-lease-duration", str(duration))
    assert (ended.status, why in ended.err, _ends(cloud)) == (1, True, before)


def test_an_annex_that_is_not_there(annexd: Annexd) -> None:
    """No annex of that name: status 1, and the name."""
    ended = annexd.plain("-annex-name", "nobody", "-lease-duration", "100")
    assert (ended.status, "you have no annex named 'nobody'" in ended.err) == (1, True)


def test_half_a_command_line(annexd: Annexd) -> None:
    """Without config.json, a name and a duration are both needed; what is missing is said."""
    ended = annexd.plain("-annex-name", "x")
    assert (ended.status, "config.json is missing" in ended.err) == (1, True)
    assert "-lease-duration" in ended.err
