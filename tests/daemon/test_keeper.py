"""The keeper: what happens in AWS behind the daemon's back is seen, and acted on when certain."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localcloud import LocalCloud
from tests.support import FUNCTION_ARN, SECRET_KEY, Annexd, console_config, wait_for

_STRANGER = "11111111-2222-4333-8444-555555555555"


@pytest.fixture
def keeper(cloud: LocalCloud, tmp_path: Path) -> Iterator[Annexd]:
    """A daemon that looks every second, and believes after two."""
    knobs = {
        "ANNEXD_POLL_INTERVAL": "1",
        "ANNEXD_RECONCILE_INTERVAL": "1",
        "ANNEXD_ORPHAN_GRACE": "2",
    }
    annexd = Annexd(tmp_path, cloud.endpoint, knobs)
    annexd.start()
    yield annexd
    assert annexd.stop() == 0


def _seen(annexd: Annexd, name: str, **wanted: Any) -> bool:  # noqa: ANN401  (JSON)
    found = annexd.status(name)
    return {key: found.get(key) for key in wanted} == wanted


def _tags(annexd_id: str, annex_id: str = _STRANGER) -> list[dict[str, str]]:
    found = {
        "htcondor:annex-id": annex_id,
        "htcondor:annex-name": "stranger",
        "htcondor:annexd": annexd_id,
        "htcondor:lease-expires": "4000000000",
    }
    return [{"Key": key, "Value": value} for key, value in found.items()]


def _annexd_id(cloud: LocalCloud) -> str:
    (fleet,) = cloud.contents().fleets
    return str(next(tag["Value"] for tag in fleet["Tags"] if tag["Key"] == "htcondor:annexd"))


def _make_fleet(cloud: LocalCloud, tags: list[dict[str, str]]) -> str:
    """Make a fleet with these tags behind the daemon's back."""
    config = console_config(
        TagSpecifications=[{"ResourceType": "spot-fleet-request", "Tags": tags}]
    )
    config["LaunchSpecifications"][0]["TagSpecifications"] = [
        {"ResourceType": "instance", "Tags": tags}
    ]
    made = cloud.client("ec2", looks=True).request_spot_fleet(SpotFleetRequestConfig=config)
    return str(made["SpotFleetRequestId"])


def _make_rule(cloud: LocalCloud, tags: list[dict[str, str]]) -> None:
    name = f"htcondor-annex-{_STRANGER}"
    events = cloud.client("events", looks=True)
    events.put_rule(Name=name, ScheduleExpression="rate(5 minutes)", Tags=tags)
    events.put_targets(Rule=name, Targets=[{"Id": name, "Arn": FUNCTION_ARN, "Input": "{}"}])


def test_instances_are_followed(keeper: Annexd, cloud: LocalCloud) -> None:
    """What the daemon tells of an annex has its instances by state; status shows them."""
    keeper.ask(console_config(), "-annex-name", "seen")
    wait_for(lambda: _seen(keeper, "seen", instances={"running": 2}), "both instances")
    assert "2 running" in keeper.plain("status").out
    (one, _) = cloud.contents().instances
    cloud.client("ec2", looks=True).terminate_instances(InstanceIds=[one["InstanceId"]])
    wait_for(lambda: _seen(keeper, "seen", instances={"running": 1}), "one instance")


def test_a_fleet_that_someone_cancelled_is_noticed(keeper: Annexd, cloud: LocalCloud) -> None:
    """The annex ends, its rule with it, and its record says why."""
    fleet = keeper.ask(console_config(), "-annex-name", "taken").out.strip()
    ec2 = cloud.client("ec2", looks=True)
    ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=[fleet], TerminateInstances=True)
    wait_for(lambda: _seen(keeper, "taken", state="ended"), "end of the annex")
    assert cloud.contents().empty
    assert "someone else cancelled it" in keeper.status("taken")["last_error"]


def test_a_fleet_cancelled_without_its_instances_goes_on(keeper: Annexd, cloud: LocalCloud) -> None:
    """Its instances run, so the annex lives, and shows its fleet's state."""
    fleet = keeper.ask(console_config(), "-annex-name", "lives").out.strip()
    ec2 = cloud.client("ec2", looks=True)
    ec2.cancel_spot_fleet_requests(SpotFleetRequestIds=[fleet], TerminateInstances=False)
    wait_for(lambda: _seen(keeper, "lives", fleet_state="cancelled_running"), "its fleet's state")
    looks = len(cloud.requests("DescribeInstances"))
    wait_for(lambda: len(cloud.requests("DescribeInstances")) > looks + 3, "more looks")
    assert _seen(keeper, "lives", state="active", instances={"running": 2})


def test_instances_with_an_older_lease_are_tagged_anew(keeper: Annexd, cloud: LocalCloud) -> None:
    """An instance launched after an extension has the old end in its tag: it gets the new one."""
    keeper.ask(console_config(), "-annex-name", "retag", "-lease-duration", "1000")
    (one, _) = cloud.contents().instances
    tag = {"Key": "htcondor:lease-expires", "Value": "1000000000"}
    cloud.client("ec2", looks=True).create_tags(Resources=[one["InstanceId"]], Tags=[tag])
    end = str(keeper.status("retag")["lease_expires"])

    def ends() -> set[str]:
        return {
            tag["Value"]
            for instance in cloud.contents().instances
            for tag in instance["Tags"]
            if tag["Key"] == "htcondor:lease-expires"
        }

    assert len(ends()) == 2
    wait_for(lambda: ends() == {end}, "the lease's end on every instance")


@pytest.mark.parametrize("what", ["fleet", "rule", "both"])
def test_orphans_are_ended(keeper: Annexd, cloud: LocalCloud, what: str) -> None:
    """A fleet or a rule with this daemon's tag that the journal does not know is ended."""
    keeper.ask(console_config(), "-annex-name", "known")
    tags = _tags(_annexd_id(cloud))
    if what != "rule":
        _make_fleet(cloud, tags)
    if what != "fleet":
        _make_rule(cloud, tags)
    wait_for(
        lambda: (len(cloud.contents().fleets), len(cloud.contents().rules)) == (1, 1),
        "end of the orphan",
    )
    wait_for(lambda: _seen(keeper, _STRANGER, state="ended"), "the orphan's record")
    assert _seen(keeper, "known", state="active")
    assert len(cloud.contents().instances) == 2


def test_orphans_are_found_after_the_last_annex_ended(keeper: Annexd, cloud: LocalCloud) -> None:
    """With no living annex the accounts of late are looked at."""
    keeper.ask(console_config(), "-annex-name", "last")
    annexd_id = _annexd_id(cloud)
    keeper.plain("off", "-annex-name", "last")
    _make_fleet(cloud, _tags(annexd_id))
    wait_for(lambda: cloud.contents().empty, "end of the orphan")


@pytest.mark.parametrize("owner", ["another", "longer", "shorter", "none"])
def test_what_is_not_this_daemons_is_never_touched(
    keeper: Annexd, cloud: LocalCloud, owner: str
) -> None:
    """Another daemon's fleet and rule live on, however near its id comes to this daemon's."""
    keeper.ask(console_config(), "-annex-name", "known")
    own = _annexd_id(cloud)
    annexd_id = {"another": _STRANGER, "longer": own + "0", "shorter": own[:-1], "none": ""}[owner]
    _make_fleet(cloud, _tags(annexd_id))
    _make_rule(cloud, _tags(annexd_id))
    time.sleep(5)  # more than the grace: nothing that could be waited for happens
    contents = cloud.contents()
    assert (len(contents.fleets), len(contents.instances), len(contents.rules)) == (2, 4, 2)


def test_what_is_being_made_is_no_orphan(keeper: Annexd, cloud: LocalCloud) -> None:
    """However slowly AWS answers, an annex under way is not ended as an orphan."""
    cloud.latency(4000, "RequestSpotFleet")
    ended = keeper.ask(console_config(), "-annex-name", "slow")
    cloud.latency(0, "RequestSpotFleet")
    time.sleep(3)
    assert (ended.status, len(cloud.contents().fleets)) == (0, 1)
    assert "orphan" not in keeper.said()


def test_the_end_waits_for_a_key_file_that_has_gone(keeper: Annexd, cloud: LocalCloud) -> None:
    """The annex says what it waits for, and ends when the file is back."""
    keeper.ask(console_config(), "-annex-name", "keyless", "-lease-duration", "6")
    keeper.secret_key.unlink()
    keeper.stop(signal.SIGKILL)
    keeper.start()
    wait_for(lambda: "the key file" in keeper.status("keyless")["waiting_for"], "what it waits for")
    assert len(cloud.contents().fleets) == 1
    keeper.write_key("secret", SECRET_KEY)
    wait_for(lambda: cloud.contents().empty, "end of the annex")


def test_keys_that_were_changed_are_read_again(keeper: Annexd, cloud: LocalCloud) -> None:
    """AWS refuses the keys in the file; with the right ones there the end goes on."""
    keeper.ask(console_config(), "-annex-name", "rotated", "-lease-duration", "6")
    keeper.write_key("secret", SECRET_KEY[::-1])
    keeper.stop(signal.SIGKILL)
    keeper.start()
    wait_for(lambda: "AuthFailure" in keeper.status("rotated")["waiting_for"], "the refusal")
    keeper.write_key("secret", SECRET_KEY)
    wait_for(lambda: cloud.contents().empty, "end of the annex", 60)


def test_an_update_that_a_crash_cut_off_is_finished(keeper: Annexd, cloud: LocalCloud) -> None:
    """Killed between the target and the tags, the daemon brings both to the promised end."""
    keeper.ask(console_config(), "-annex-name", "cut", "-lease-duration", "1000")
    journal = keeper.directory / "annexd.journal"
    annex_id = keeper.status("cut")["id"]
    keeper.stop(signal.SIGKILL)
    end = int(time.time()) + 5000
    with journal.open("a") as file:
        file.write(f"105 \n103 {annex_id} LeaseWanted {end}\n106 \n")
    keeper.start()
    assert keeper.status("cut")["lease_expires"] == end

    def target() -> int:
        ((one,),) = cloud.contents().targets.values()
        return int(json.loads(one["Input"])["LeaseExpiration"])

    wait_for(lambda: target() == end, "the new end in the target")
    wait_for(lambda: "LeaseWanted" not in _ad(journal, annex_id), "the end of the update")


def _ad(journal: Path, annex_id: str) -> set[str]:
    """Return the names of the attributes that an annex has in the journal."""
    names: set[str] = set()
    for line in journal.read_text().splitlines():
        code, _, rest = line.partition(" ")
        if rest.startswith(annex_id):
            name = rest.split(" ")[1] if code in {"103", "104"} else ""
            names = (names | {name}) if code == "103" else names - {name}
    return names


def test_the_keepers_calls_are_pages_not_annexes(keeper: Annexd, cloud: LocalCloud) -> None:
    """Twelve annexes take as many calls a look as one."""

    def calls_a_look() -> float:
        cloud.forget()
        wait_for(lambda: len(cloud.requests("DescribeSpotFleetRequests")) >= 4, "looks")
        calls = [seen.action for seen in cloud.requests()]
        return len(calls) / calls.count("DescribeSpotFleetRequests")

    keeper.ask(console_config(), "-annex-name", "first")
    alone = calls_a_look()
    for number in range(11):
        keeper.ask(console_config(), "-annex-name", f"more-{number}")
    together = calls_a_look()
    assert together <= alone + 1  # a look may have begun before the counting did
