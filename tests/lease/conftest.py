"""The lease function as AWS runs it: compiled from the committed template's text."""

import json
import sys
import types
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from localcloud import LocalCloud

TEMPLATE = Path(__file__).resolve().parents[2] / "templates" / "lease-function.json"
Module = Any
"""The function: compiled from a text, so that no type is known."""
Run = Callable[..., Any]
"""Runs the handler: event, and by keyword `now` and `context`."""

EXPIRES = 1_800_000_000
LATER = EXPIRES + 1


@pytest.fixture(scope="session")
def source() -> str:
    """The function's text, out of the committed template."""
    template = json.loads(TEMPLATE.read_text())
    text: str = template["Resources"]["LeaseFunction"]["Properties"]["Code"]["ZipFile"]
    return text


@pytest.fixture(scope="session")
def function(source: str) -> Module:
    """The function as a module, compiled from that text."""
    module = types.ModuleType("index")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "index", module)  # where dataclasses look for it
        exec(compile(source, "index.py", "exec"), vars(module))  # noqa: S102  (as Lambda does)
    return module


@pytest.fixture
def cloud(cloud_process: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> LocalCloud:
    """An empty cloud, to which boto3 goes by its own environment variables, as in Lambda."""
    cloud_process.reset()
    for name, value in cloud_process.environment().items():
        monkeypatch.setenv(name, value)
    return cloud_process


@dataclass
class Annexes:
    """Makes annexes in the cloud, with nothing but AWS's calls."""

    cloud: LocalCloud

    def event(self, annex_id: str, **more: object) -> dict[str, Any]:
        """Return the input of an annex's rule."""
        rule = f"htcondor-annex-{annex_id}"
        return {"AnnexID": annex_id, "LeaseExpiration": EXPIRES, "RuleName": rule, **more}

    def rule(self, annex_id: str) -> None:
        """Make the annex's rule and target."""
        events, name = self.cloud.client("events", looks=True), f"htcondor-annex-{annex_id}"
        events.put_rule(Name=name, ScheduleExpression="rate(5 minutes)")
        arn = "arn:aws:lambda:us-east-1:123456789012:function:lease"
        target = {"Id": name, "Arn": arn, "Input": json.dumps(self.event(annex_id))}
        events.put_targets(Rule=name, Targets=[target])

    def fleet(
        self, annex_id: str | None, count: int = 1, *, instance_tags: bool = True, expires: str = ""
    ) -> str:
        """Request a fleet for an annex (or for none), and return its id."""
        config: dict[str, Any] = {
            "IamFleetRole": "arn:aws:iam::123456789012:role/fleet",
            "Type": "request",  # as the daemon's own: one that maintains would replace instances
            "TargetCapacity": count,
            "LaunchSpecifications": [{"ImageId": "ami-12345678", "InstanceType": "m5.large"}],
        }
        if annex_id:
            tags = [{"Key": "htcondor:annex-id", "Value": annex_id}]
            if expires:
                tags.append({"Key": "htcondor:lease-expires", "Value": expires})
            config["TagSpecifications"] = [{"ResourceType": "spot-fleet-request", "Tags": tags}]
            if instance_tags:
                config["LaunchSpecifications"][0]["TagSpecifications"] = [
                    {"ResourceType": "instance", "Tags": tags}
                ]
        ec2 = self.cloud.client("ec2", looks=True)
        return str(ec2.request_spot_fleet(SpotFleetRequestConfig=config)["SpotFleetRequestId"])

    def instances(self, annex_id: str, count: int) -> list[str]:
        """Launch instances of an annex without a fleet, and return their ids."""
        made = self.cloud.client("ec2", looks=True).run_instances(
            ImageId="ami-12345678",
            InstanceType="m5.large",
            MinCount=count,
            MaxCount=count,
            TagSpecifications=[
                {
                    "ResourceType": "instance",
                    "Tags": [{"Key": "htcondor:annex-id", "Value": annex_id}],
                }
            ],
        )
        return [instance["InstanceId"] for instance in made["Instances"]]

    def whole(self, count: int = 2) -> str:
        """Make an annex with a fleet and a rule, and return its id."""
        annex_id = str(uuid.uuid4())
        self.rule(annex_id)
        self.fleet(annex_id, count)
        return annex_id


@pytest.fixture
def annexes(cloud: LocalCloud) -> Annexes:
    """Makes annexes in the cloud."""
    return Annexes(cloud)


@pytest.fixture
def run(function: Module, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the handler at a given time."""

    def at(event: object, *, now: float = LATER, context: object = None) -> object:
        monkeypatch.setattr(function, "time", types.SimpleNamespace(time=lambda: now))
        report: object = function.handler(event, context)
        return report

    return at


@pytest.fixture
def actions(cloud: LocalCloud) -> Callable[[], Sequence[str]]:
    """What the function has asked of AWS so far, in order."""
    return lambda: [seen.action for seen in cloud.requests()]
