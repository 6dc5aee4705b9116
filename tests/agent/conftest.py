"""A cloud, an instance in it, and the agent as a real process."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from localcloud.imds import MetadataService, RoleCredentials

ROLE = "annex-role"
BUCKET = "annex-configuration"
ANNEX_ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
TRUST = json.dumps({
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "ec2.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
})  # fmt: skip
INTROSPECTION: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Action": [
            "iam:GetRolePolicy",
            "iam:GetPolicy",
            "iam:GetPolicyVersion",
            "iam:ListAttachedRolePolicies",
            "iam:ListRolePolicies",
        ],
        "Resource": "*",
    },
}


def may_get(*keys: str, bucket: str = BUCKET, action: str = "s3:GetObject") -> dict[str, Any]:
    """A policy document that grants these keys."""
    resources = [f"arn:aws:s3:::{bucket}/{key}" for key in keys]
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": action, "Resource": resources}],
    }


@dataclass
class Cloud:
    """moto over HTTP, with one role and one bucket."""

    endpoint: str
    iam: Any
    s3: Any
    credentials: RoleCredentials = field(default_factory=lambda: RoleCredentials("A", "S", "T"))

    def put(self, key: str, body: bytes) -> None:
        """Put an object into the bucket."""
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)

    def inline(self, name: str, document: Mapping[str, object]) -> None:
        """Give the role an inline policy."""
        self.iam.put_role_policy(
            RoleName=ROLE, PolicyName=name, PolicyDocument=json.dumps(document)
        )

    def attach(self, name: str, document: Mapping[str, object]) -> str:
        """Give the role a managed policy; its ARN."""
        made = self.iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(document))
        arn = str(made["Policy"]["Arn"])
        self.iam.attach_role_policy(RoleName=ROLE, PolicyArn=arn)
        return arn


@dataclass(frozen=True)
class Boot:
    """How one run of the agent ended."""

    status: int
    log: str
    output: str


@dataclass
class Machine:
    """An instance: its configuration and its environment."""

    root: Path
    environment: dict[str, str]

    @property
    def config_dir(self) -> Path:
        """Its config.d."""
        return self.root / "condor" / "config.d"

    def boot(self, *options: str, deadline: float = 20) -> Boot:
        """Run the agent as a boot does."""
        done = subprocess.run(
            [
                *(sys.executable, "-m", "instance_agent"),
                *("-config-dir", str(self.config_dir), "-deadline", str(deadline)),
                *options,
            ],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Boot(done.returncode, done.stderr, done.stdout)

    def files(self) -> dict[str, tuple[int, bytes]]:
        """Every file of the machine: its mode and content, by its path."""
        return {
            str(path.relative_to(self.root)): (path.stat().st_mode & 0o7777, path.read_bytes())
            for path in sorted(self.root.rglob("*"))
            if path.is_file()
        }


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    """A real moto server over HTTP."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def cloud(moto_endpoint: str) -> Cloud:
    """An empty cloud but for a role without policies and a bucket without objects."""
    reset = urllib.request.Request(f"{moto_endpoint}/moto-api/reset", method="POST")  # noqa: S310
    urllib.request.urlopen(reset, timeout=10).close()  # noqa: S310 - moto's, on the loopback
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    session = boto3.session.Session(region_name="us-east-1", **keys)
    made = Cloud(
        moto_endpoint,
        session.client("iam", endpoint_url=moto_endpoint),
        session.client("s3", endpoint_url=moto_endpoint),
    )
    made.iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=TRUST)
    made.s3.create_bucket(Bucket=BUCKET)
    sts = session.client("sts", endpoint_url=moto_endpoint)
    found = sts.assume_role(
        RoleArn=f"arn:aws:iam::123456789012:role/{ROLE}", RoleSessionName="instance"
    )["Credentials"]
    made.credentials = RoleCredentials(
        found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"]
    )
    return made


@pytest.fixture
def metadata(cloud: Cloud) -> Iterator[MetadataService]:
    """The metadata of an instance of that role."""
    tags = {"htcondor:annex-id": ANNEX_ID, "htcondor:annex-name": "trial"}
    with MetadataService(ROLE, cloud.credentials, tags=tags) as service:
        yield service


def environment_of(metadata_endpoint: str, aws_endpoint: str) -> dict[str, str]:
    """What a boot's environment holds: no keys, no region, no files of a user."""
    names = ("PATH", "PYTHONPATH", "COVERAGE_PROCESS_START")
    return {
        **{name: os.environ[name] for name in names if name in os.environ},
        "HOME": "/nonexistent",
        "AWS_ENDPOINT_URL": aws_endpoint,
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata_endpoint,
    }


@pytest.fixture
def machine(tmp_path: Path, cloud: Cloud, metadata: MetadataService) -> Machine:
    """An instance with an older configuration in place."""
    made = Machine(tmp_path, environment_of(metadata.endpoint, cloud.endpoint))
    made.config_dir.mkdir(parents=True)
    (made.config_dir / "00-old").write_text("OLD = true\n")
    return made
