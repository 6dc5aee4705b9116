"""A handle on a local cloud: starts its process, gives clients of it, and looks into it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import boto3
from botocore.config import Config

from localcloud.closing import Closing
from localcloud.controls import Controls, Seen
from localcloud.shared import ACCESS_KEY, ONLOOKER, SECRET_KEY

__all__ = ["Contents", "LocalCloud", "Seen"]

REGION = "us-east-1"
_ROOT = Path(__file__).resolve().parents[1]
_TIMEOUT = 60
_RULES_OF_ANNEXES = "htcondor-annex-"
_ENDED = ("terminated", "shutting-down")


@dataclass(frozen=True, slots=True)
class Contents:
    """What lives in the cloud, in AWS's own descriptions; what has ended is left out.

    Attributes:
        fleets: SpotFleetRequestConfigs that are not cancelled.
        instances: Instances that are neither terminated nor shutting down.
        rules: EventBridge rules of the default bus.
        targets: Rule name to the rule's targets.
    """

    fleets: tuple[Mapping[str, Any], ...]
    instances: tuple[Mapping[str, Any], ...]
    rules: tuple[Mapping[str, Any], ...]
    targets: Mapping[str, tuple[Mapping[str, Any], ...]]

    @property
    def empty(self) -> bool:
        """Whether nothing of an annex is left; the rules of stacks are none of its."""
        rules = [rule for rule in self.rules if rule["Name"].startswith(_RULES_OF_ANNEXES)]
        return not (self.fleets or self.instances or rules)


class LocalCloud(Controls, Closing):
    """A local cloud in a process of its own; use it as a context manager, or call `stop`."""

    def __init__(
        self,
        *,
        access_keys: Mapping[str, str] | None = None,
        port: int = 0,
        endpoint: str = "",
    ) -> None:
        """Start one, or take up one that runs.

        Args:
            access_keys: Access key id to secret key: the only ones to be taken. None takes any.
            port: To listen on; 0 is any free one.
            endpoint: The URL of one that runs already, which `stop` leaves alone.

        Raises:
            RuntimeError: If it does not start, with what it said.
        """
        self._keys = dict(access_keys or {})
        self._clients: dict[tuple[str, str, bool], Any] = {}
        self._process: subprocess.Popen[str] | None = None
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  (closed by stop)
        self.endpoint = endpoint.rstrip("/") or self._start(port)
        if not endpoint and self._keys:
            self._control("POST", "access-keys", self._keys)

    def _start(self, port: int) -> str:
        """Start the process; return its endpoint."""
        path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(  # noqa: S603  (our own program)
            [sys.executable, "-m", "localcloud", "-until-eof", "-port", str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, "PYTHONPATH": path},
            text=True,
        )
        assert self._process.stdout is not None  # noqa: S101  (for mypy: a pipe was asked for)
        endpoint = self._process.stdout.readline().strip()
        if not endpoint:
            self._process.wait(_TIMEOUT)
            said = self.log()
            self.stop()
            raise RuntimeError(f"the local cloud did not start: {said}")
        return endpoint

    @classmethod
    def at(cls, endpoint: str, *, access_keys: Mapping[str, str] | None = None) -> Self:
        """Return a handle on one that runs already, which `stop` leaves alone.

        Args:
            endpoint: Its URL.
            access_keys: Those that it takes, for `client` and `environment`; None if any.
        """
        return cls(endpoint=endpoint, access_keys=access_keys)

    def stop(self) -> None:
        """End the process that this handle started; again is no error."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait(_TIMEOUT)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        self._log.close()

    close = stop

    def log(self) -> str:
        """Return what the process said on its standard error: moto's own troubles."""
        self._log.seek(0)
        return self._log.read()

    @property
    def pid(self) -> int:
        """The process that this handle started; 0 if it runs none."""
        return self._process.pid if self._process else 0

    # -- use -----------------------------------------------------------------------------------

    @property
    def credentials(self) -> tuple[str, str]:
        """An access key id and its secret that this cloud takes."""
        return next(iter(self._keys.items()), (ACCESS_KEY, SECRET_KEY))

    def environment(self) -> dict[str, str]:
        """Return the variables that send boto3, in any process, here."""
        key, secret = self.credentials
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            # Whatever the user has set up for the real AWS stays out of it.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def client(self, service: str, *, region: str = REGION, looks: bool = False) -> Any:  # noqa: ANN401
        """Return the boto3 client of a service here, made once; it tries each call once.

        Args:
            service: Such as `ec2`.
            region: The AWS region.
            looks: It is an onlooker's: no fault or latency meets it, and it is not recorded.
        """
        made = self._clients.get((service, region, looks))
        if made is None:
            key, secret = self.credentials
            made = boto3.client(
                service,
                region_name=region,
                endpoint_url=self.endpoint,
                aws_access_key_id=key,
                aws_secret_access_key=secret,
                config=Config(
                    retries={"total_max_attempts": 1},
                    user_agent_extra=ONLOOKER if looks else None,
                ),
            )
            self._clients[service, region, looks] = made
        return made

    def contents(self, *, region: str = REGION) -> Contents:
        """Look at what lives there; no fault meets these looks, and `requests` leaves them out."""
        ec2, events = (
            self.client(service, region=region, looks=True) for service in ("ec2", "events")
        )
        fleets = [
            fleet
            for page in ec2.get_paginator("describe_spot_fleet_requests").paginate()
            for fleet in page["SpotFleetRequestConfigs"]
            if not fleet["SpotFleetRequestState"].startswith("cancelled")
        ]
        instances = [
            instance
            for page in ec2.get_paginator("describe_instances").paginate()
            for reservation in page["Reservations"]
            for instance in reservation["Instances"]
            if instance["State"]["Name"] not in _ENDED
        ]
        rules = [
            rule for page in events.get_paginator("list_rules").paginate() for rule in page["Rules"]
        ]
        targets = {rule["Name"]: _targets(events, rule["Name"]) for rule in rules}
        return Contents(tuple(fleets), tuple(instances), tuple(rules), targets)


def _targets(events: Any, rule: str) -> tuple[Mapping[str, Any], ...]:  # noqa: ANN401  (boto3)
    """Return a rule's targets; none if it has gone since it was listed."""
    pages = events.get_paginator("list_targets_by_rule").paginate(Rule=rule)
    try:
        return tuple(target for page in pages for target in page["Targets"])
    except events.exceptions.ResourceNotFoundException:
        return ()
