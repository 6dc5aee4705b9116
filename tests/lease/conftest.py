"""The lease function as AWS runs it: compiled from the committed template's text."""

import json
import sys
import types
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from localcloud import LocalCloud
from localcloud.closing import Closing
from localcloud.runtime import Credentials, Function, Result, Runtime

TEMPLATE = Path(__file__).resolve().parents[2] / "templates" / "lease-function.json"
Module = Any
"""The function: compiled from a text, so that no type is known."""
Run = Callable[..., Any]
"""Runs the handler: event, and by keyword `now` and `context`."""

EXPIRES = 1_800_000_000
LATER = EXPIRES + 1
BUCKET = "annex-configurations"
SWEEP = {"Sweep": True}
FUNCTION_ARN = "arn:aws:lambda:us-east-1:123456789012:function:lease"
SESSION_TOKEN = "a-session-token-that-nobody-may-read"


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
        given = {"AnnexID": annex_id, "LeaseExpiration": EXPIRES, "RuleName": rule}
        return {**given, **more}

    def rule(self, annex_id: str, *, arn: str = FUNCTION_ARN, **changes: object) -> None:
        """Make the annex's rule and target, or let the target have a changed input."""
        events, name = self.cloud.client("events", looks=True), f"htcondor-annex-{annex_id}"
        events.put_rule(Name=name, ScheduleExpression="rate(5 minutes)")
        target = {"Id": name, "Arn": arn, "Input": json.dumps(self.event(annex_id, **changes))}
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

    def instances(
        self, annex_id: str | None, count: int, *, expires: str = "", **more: object
    ) -> list[str]:
        """Launch instances of an annex (or of none) without a fleet, and return their ids."""
        given = {"htcondor:annex-id": annex_id, "htcondor:lease-expires": expires}
        tags = [{"Key": key, "Value": value} for key, value in given.items() if value]
        specifications = [{"ResourceType": "instance", "Tags": tags}] if tags else []
        made = self.cloud.client("ec2", looks=True).run_instances(
            ImageId="ami-12345678",
            InstanceType="m5.large",
            MinCount=count,
            MaxCount=count,
            TagSpecifications=specifications,
            **more,
        )
        return [instance["InstanceId"] for instance in made["Instances"]]

    def configuration(self, annex_id: str) -> None:
        """Put an annex's configuration object into the bucket, which is made."""
        s3 = self.cloud.client("s3", looks=True)
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key=f"config-{annex_id}.tar.gz", Body=b"secret")

    def objects(self) -> list[str]:
        """Return the keys of the objects that are left."""
        s3 = self.cloud.client("s3", looks=True)
        if BUCKET not in [one["Name"] for one in s3.list_buckets()["Buckets"]]:
            return []
        return [one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]

    def tag(self, expires: int, *ids: str) -> None:
        """Let the lease's tag of fleets and instances say another time."""
        tags = [{"Key": "htcondor:lease-expires", "Value": str(expires)}]
        self.cloud.client("ec2", looks=True).create_tags(Resources=list(ids), Tags=tags)

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


class Lambda(Closing):
    """The function in AWS's own runtime client: one process for many events, as on AWS."""

    def __init__(self, source: str, cloud: LocalCloud) -> None:
        """Take the function's text, and the cloud that it sees."""
        bucket = {"CONFIGURATION_BUCKET": BUCKET}
        self._function = Function.of_text(
            FUNCTION_ARN, source, "index.handler", 280, memory=256, variables=bucket
        )
        around = cloud.environment()
        key, secret = around.pop("AWS_ACCESS_KEY_ID"), around.pop("AWS_SECRET_ACCESS_KEY")
        self._credentials, self._around = Credentials(key, secret, SESSION_TOKEN), around
        self._runtime: Runtime | None = None

    def run(
        self,
        event: object,
        *,
        now: float = LATER,
        clock_offset: float | None = None,
        timeout: float | None = None,
    ) -> Result:
        """Run the function once.

        Args:
            event: JSON; bytes are sent as they are.
            now: The time at which its clock stands.
            clock_offset: Seconds by which its clock, which runs, is ahead, in the place of `now`.
            timeout: Seconds, if not the function's own.
        """
        if self._runtime is None or not self._runtime.warm:
            self.close()
            self._runtime = Runtime(self._function, self._credentials, self._around)
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        if clock_offset is not None:
            return self._runtime.invoke(body, clock_offset=clock_offset, timeout=timeout)
        return self._runtime.invoke(body, at=now, timeout=timeout)

    def close(self) -> None:
        """End its process."""
        if self._runtime is not None:
            self._runtime.close()


@pytest.fixture(scope="session")
def lambda_process(source: str, cloud_process: LocalCloud) -> Iterator[Lambda]:
    """One process of the function for the whole run."""
    with Lambda(source, cloud_process) as made:
        yield made


@pytest.fixture
def lambda_(cloud: LocalCloud, lambda_process: Lambda) -> Lambda:
    """The function in AWS's runtime before an empty cloud."""
    assert cloud.endpoint
    return lambda_process


def lines(result: Result) -> list[dict[str, Any]]:
    """Return the log's lines, all of which must be JSON."""
    return [json.loads(line) for line in result.log.splitlines()]
