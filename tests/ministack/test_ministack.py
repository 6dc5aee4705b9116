"""The stack as it is committed, on ministack: its own schedule fires, and no daemon runs.

ministack knows no Spot Fleet, so the function is also seen here to end what it can while one of its
looks fails in every run.
"""

import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.support import ROOT, wait_for

_PYTHON = Path(sys.prefix) / "ministack" / "bin" / "python"
_FASTER = 60
"""Five minutes of the schedule are five seconds of ours."""


class Ministack:
    """A ministack in a process of its own."""

    def __init__(self, directory: Path) -> None:
        """Start it, and wait until it answers."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._clients: dict[str, Any] = {}
        self.endpoint = f"http://127.0.0.1:{port}"
        self._log = (directory / "log").open("w+")
        self.process = subprocess.Popen(
            [str(_PYTHON), str(Path(__file__).with_name("launch.py")), str(port), str(_FASTER)],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            cwd=directory,
            env={"PATH": os.environ["PATH"], "TMPDIR": str(directory), "HOME": str(directory)},
        )

    def client(self, service: str) -> Any:  # noqa: ANN401  (boto3 is untyped)
        """Return a boto3 client, made once."""
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,
                region_name="us-east-1",
                endpoint_url=self.endpoint,
                aws_access_key_id="test",
                aws_secret_access_key="test",
            )
        return self._clients[service]

    def answers(self) -> bool:
        """Whether it does; fails if it has ended."""
        self._log.seek(0)
        assert self.process.poll() is None, self._log.read()
        try:
            self.client("ec2").describe_instances()
        except (BotoCoreError, ClientError):
            return False
        return True

    def launch(self, expires: int | None, *, annex: bool = True) -> str:
        """Launch an instance under a lease (or none), and return its id."""
        tags = [] if expires is None else [{"Key": "htcondor:lease-expires", "Value": str(expires)}]
        if annex:
            tags.append({"Key": "htcondor:annex-id", "Value": str(uuid.uuid4())})
        made = self.client("ec2").run_instances(
            ImageId="ami-12345678",
            InstanceType="m5.large",
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}] if tags else [],
        )
        return str(made["Instances"][0]["InstanceId"])

    def state(self, instance: str) -> str:
        """Return an instance's state; one that it shows no more has ended."""
        pages = self.client("ec2").get_paginator("describe_instances").paginate()
        states = {
            one["InstanceId"]: str(one["State"]["Name"])
            for page in pages
            for reservation in page["Reservations"]
            for one in reservation["Instances"]
        }
        return states.get(instance, "terminated")

    def ended(self, *instances: str) -> bool:
        """Whether all have; asked now and then."""
        time.sleep(0.3)
        return {"terminated"} == {self.state(one) for one in instances}

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(30)
        self._log.close()


@pytest.fixture(scope="module")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ministack]:
    """One that holds the lease function's stack, made from the committed template."""
    if not _PYTHON.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{_PYTHON} is not there: make test makes it")
        pytest.skip("ministack's environment is not there: make test makes it")
    running = Ministack(tmp_path_factory.mktemp("ministack"))
    try:
        wait_for(running.answers, "answer of ministack")
        cloudformation = running.client("cloudformation")
        template = (ROOT / "templates" / "lease-function.json").read_text()
        cloudformation.create_stack(
            StackName="lease", TemplateBody=template, Capabilities=["CAPABILITY_IAM"]
        )
        waiter = cloudformation.get_waiter("stack_create_complete")
        waiter.wait(StackName="lease", WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        yield running
    finally:
        running.stop()


def log_lines(ministack: Ministack) -> list[dict[str, Any]]:
    """Return the JSON lines of the function's log."""
    logs = ministack.client("logs")
    return [
        json.loads(event["message"])
        for group in logs.describe_log_groups()["logGroups"]
        for stream in logs.describe_log_streams(logGroupName=group["logGroupName"])["logStreams"]
        for event in logs.get_log_events(
            logGroupName=group["logGroupName"], logStreamName=stream["logStreamName"]
        )["events"]
        if event["message"].startswith("{")
    ]


def test_the_schedule_ends_what_has_expired_and_nothing_else(ministack: Ministack) -> None:
    """The rule fires by itself; expired instances end, others live; and it fires again."""
    now = int(time.time())
    expired, alone = ministack.launch(now - 5), ministack.launch(now - 5, annex=False)
    living, stranger = ministack.launch(now + 3600), ministack.launch(None, annex=False)
    wait_for(lambda: ministack.ended(expired, alone), "end of the expired instances", 60)
    later = ministack.launch(now - 5)
    wait_for(lambda: ministack.ended(later), "second run of the schedule", 60)
    assert ["running", "running"] == [ministack.state(one) for one in (living, stranger)]
    runs = [line for line in log_lines(ministack) if line["message"] == "done"]
    assert {(True, False)} == {(line["sweep"], line["dry_run"]) for line in runs}


def test_the_rule_of_the_stack_asks_for_a_sweep(ministack: Ministack) -> None:
    """The stack's output names the rule; it is enabled, and its target is the function."""
    stack = ministack.client("cloudformation").describe_stacks(StackName="lease")["Stacks"][0]
    outputs = {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}
    events, name = ministack.client("events"), outputs["SweepRuleName"]
    rule, targets = (
        events.describe_rule(Name=name),
        events.list_targets_by_rule(Rule=name)["Targets"],
    )
    assert ("ENABLED", "rate(5 minutes)") == (rule["State"], rule["ScheduleExpression"])
    assert [(outputs["LeaseFunctionARN"], '{"Sweep": true}')] == [
        (target["Arn"], target["Input"]) for target in targets
    ]
