"""The agent as a real process, against a real HTTP cloud."""

import io
import json
import os
import stat
import subprocess
import sys
import tarfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from localcloud.imds import MetadataService

from .conftest import (
    ANNEX_ID,
    BUCKET,
    INTROSPECTION,
    ROLE,
    Boot,
    Cloud,
    Machine,
    environment_of,
    may_get,
)

OLD = {"condor/config.d/00-old": (0o644, b"OLD = true\n")}
ROLE_SEES_ITSELF: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": [
                "iam:GetRolePolicy",
                "iam:ListAttachedRolePolicies",
                "iam:ListRolePolicies",
            ],
            "Resource": f"arn:aws:iam::123456789012:role/{ROLE}",
        },
        {
            "Effect": "Allow",
            "Action": ["iam:GetPolicy", "iam:GetPolicyVersion"],
            "Resource": "*",
        },
    ],
}
BODY = b"COLLECTOR_HOST = cm.example.org\n"


def tar(files: dict[str, tuple[int, bytes]], mode: str = "w:gz") -> bytes:
    """An archive of these files, with their modes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]  # any mode
        for name, (bits, content) in files.items():
            member = tarfile.TarInfo(name)
            member.mode, member.size = bits, len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def ended(boot: Boot, status: int, *parts: str) -> None:
    """The run ended so, silent on stdout, with a log that says these things and no secret."""
    assert boot.status == status, boot.log
    assert not boot.output
    assert "Traceback" not in boot.log
    for part in parts:
        assert part in boot.log


def test_a_plain_file_is_installed_under_its_own_name(cloud: Cloud, machine: Machine) -> None:
    """An exact key in an inline policy ends as a file of that name in config.d."""
    cloud.inline("see", INTROSPECTION)
    cloud.inline("get", may_get("pool/50-annex"))
    cloud.put("pool/50-annex", BODY)

    boot = machine.boot()

    ended(boot, 0, "installed: config.d/50-annex")
    assert machine.files() == {**OLD, "condor/config.d/50-annex": (0o644, BODY)}


def test_an_attached_policy_counts_in_its_default_version(cloud: Cloud, machine: Machine) -> None:
    """An older version of a managed policy does not."""
    arn = cloud.attach("get", may_get("old/40-old"))
    cloud.iam.create_policy_version(
        PolicyArn=arn,
        PolicyDocument=json.dumps(may_get("new/50-annex")),
        SetAsDefault=True,
    )
    cloud.put("old/40-old", b"WRONG = true\n")
    cloud.put("new/50-annex", BODY)

    ended(machine.boot(), 0)
    assert machine.files() == {**OLD, "condor/config.d/50-annex": (0o644, BODY)}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_an_archive_is_unpacked_by_its_content(cloud: Cloud, machine: Machine, mode: str) -> None:
    """Configuration, tokens and passwords go to their directories; secrets are for root alone."""
    cloud.inline("get", may_get("annex/object-without-an-ending"))
    files = {
        "./50-annex": (0o644, BODY),
        "config.d/51-more": (0o664, b"A = 1\n"),
        "60-secret": (0o600, b"B = 2\n"),
        "tokens.d/annex": (0o644, b"token\n"),
        "passwords.d/POOL": (0o644, b"\x00\x01"),
    }
    cloud.put("annex/object-without-an-ending", tar(files, mode))

    ended(machine.boot(), 0)

    assert machine.files() == {
        **OLD,
        "condor/config.d/50-annex": (0o644, BODY),
        "condor/config.d/51-more": (0o644, b"A = 1\n"),
        "condor/config.d/60-secret": (0o600, b"B = 2\n"),
        "condor/tokens.d/annex": (0o600, b"token\n"),
        "condor/passwords.d/POOL": (0o600, b"\x00\x01"),
    }
    for name in ("tokens.d", "passwords.d"):
        assert stat.S_IMODE((machine.root / "condor" / name).stat().st_mode) == 0o700


def test_the_star_of_htcondors_form_is_the_annex_id(cloud: Cloud, machine: Machine) -> None:
    """`config-*.tar.gz` is filled from the instance's own tag."""
    cloud.inline("get", may_get("config-*.tar.gz"))
    cloud.put(f"config-{ANNEX_ID}.tar.gz", tar({"50-annex": (0o644, BODY)}))
    cloud.put("config-other.tar.gz", tar({"50-other": (0o644, BODY)}))

    ended(machine.boot(), 0, f"config-{ANNEX_ID}.tar.gz")
    assert machine.files() == {**OLD, "condor/config.d/50-annex": (0o644, BODY)}


def test_a_second_boot_writes_the_same(cloud: Cloud, machine: Machine) -> None:
    """Nothing is appended, and a file that is as it should be is not even touched."""
    cloud.inline("get", may_get("a.tar"))
    cloud.put("a.tar", tar({"50-annex": (0o644, BODY), "tokens.d/t": (0o600, b"t")}))
    ended(machine.boot(), 0)
    first = machine.files()
    inode = (machine.config_dir / "50-annex").stat().st_ino

    ended(machine.boot(), 0)

    assert machine.files() == first
    assert (machine.config_dir / "50-annex").stat().st_ino == inode


def test_a_newer_object_replaces_the_file(cloud: Cloud, machine: Machine) -> None:
    """The next boot has the next configuration."""
    cloud.inline("get", may_get("50-annex"))
    cloud.put("50-annex", BODY)
    ended(machine.boot(), 0)
    cloud.put("50-annex", b"NEW = true\n")

    ended(machine.boot(), 0)

    assert machine.files() == {**OLD, "condor/config.d/50-annex": (0o644, b"NEW = true\n")}


def test_a_candidate_that_is_absent_gives_way_to_the_next(cloud: Cloud, machine: Machine) -> None:
    """Candidates are tried in their order."""
    cloud.inline("get", may_get("40-absent", "50-annex", "60-later"))
    cloud.put("50-annex", BODY)
    cloud.put("60-later", BODY)

    ended(machine.boot(), 0)
    assert machine.files() == {**OLD, "condor/config.d/50-annex": (0o644, BODY)}


def test_neither_keys_nor_content_are_logged(cloud: Cloud, machine: Machine) -> None:
    """Not even with -debug."""
    cloud.inline("get", may_get("50-annex", "sub/*"))
    cloud.put("50-annex", b"SECRET = swordfish\n")

    boot = machine.boot("-debug")

    ended(boot, 0, "wider than one object")
    secrets = (cloud.credentials.secret_key, cloud.credentials.token, "swordfish")
    assert [secret for secret in secrets if secret in boot.log] == []


def test_a_role_that_grants_nothing_ends_with_2(cloud: Cloud, machine: Machine) -> None:
    """At once, as all of the role can be seen; and it says what was left out."""
    cloud.inline("get", may_get("*"))
    ended(machine.boot(deadline=600), 2, "grants no object", "wider than one object")
    assert machine.files() == OLD


def test_a_role_without_policies_is_waited_for_and_ends_with_2(machine: Machine) -> None:
    """It may be new; by the deadline it is not."""
    ended(machine.boot(deadline=1), 2, "trying again", "grants no object")


@pytest.mark.usefixtures("cloud")
def test_an_instance_without_a_role_ends_with_2(cloud: Cloud, machine: Machine) -> None:
    """And is told what it lacks."""
    with MetadataService(None, None) as metadata:
        machine.environment = environment_of(metadata.endpoint, cloud.endpoint)
        ended(machine.boot(deadline=1), 2, "no IAM role")


def test_an_absent_object_ends_with_3_at_once(cloud: Cloud, machine: Machine) -> None:
    """S3 is strongly consistent: what is not there does not come."""
    cloud.inline("get", may_get("50-annex"))
    ended(machine.boot(deadline=600), 3, f"s3://{BUCKET}/50-annex: NoSuchKey")
    assert machine.files() == OLD


def test_a_cloud_that_is_down_ends_with_3_by_the_deadline(machine: Machine) -> None:
    """No connection is trouble that passes, until the deadline."""
    machine.environment["AWS_ENDPOINT_URL"] = "http://127.0.0.1:1"
    ended(machine.boot(deadline=2), 3, "by the deadline still", "EndpointConnectionError")
    assert machine.files() == OLD


def test_off_ec2_nothing_happens(machine: Machine) -> None:
    """No metadata service: the end at once, with 0, changing nothing."""
    machine.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = "http://127.0.0.1:1"
    ended(machine.boot(deadline=600), 0, "nothing to do")
    assert machine.files() == OLD


def test_a_refused_archive_ends_with_4_and_changes_nothing(cloud: Cloud, machine: Machine) -> None:
    """One bad member, and none of the good ones is installed."""
    cloud.inline("get", may_get("a.tar.gz"))
    cloud.put("a.tar.gz", tar({"00-old": (0o644, b"NEW"), "../../evil": (0o644, b"x")}))
    ended(machine.boot(), 4, "climbs", "the configuration is as it was")
    assert machine.files() == OLD


def test_an_object_that_is_too_large_ends_with_4(cloud: Cloud, machine: Machine) -> None:
    """It is not even kept."""
    cloud.inline("get", may_get("50-annex"))
    cloud.put("50-annex", b"#" * (4 * 1024 * 1024 + 1))
    ended(machine.boot(), 4, "larger than")
    assert machine.files() == OLD


def test_a_missing_config_dir_ends_with_4(cloud: Cloud, machine: Machine) -> None:
    """And says how to name another."""
    cloud.inline("get", may_get("50-annex"))
    ended(machine.boot("-config-dir", "/nonexistent/config.d"), 4, "-config-dir")


@contextmanager
def enforcing(cloud: Cloud) -> Iterator[None]:
    """IAM is asked about every request, as on AWS."""

    def after(count: bytes) -> None:
        request = urllib.request.Request(  # noqa: S310 - moto's, on the loopback
            f"{cloud.endpoint}/moto-api/reset-auth",
            data=count,
            headers={"Content-Type": "text/plain"},
        )
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 - the same

    after(b"0")
    try:
        yield
    finally:
        after(b"inf")


def test_no_request_is_denied_to_the_role_of_our_template(cloud: Cloud, machine: Machine) -> None:
    """Introspection of the role itself and one object are all that the agent needs."""
    cloud.inline("see", ROLE_SEES_ITSELF)
    cloud.inline("get", may_get("50-annex"))
    cloud.attach("more", may_get("60-more", action="s3:PutObject"))
    cloud.put("50-annex", BODY)
    with enforcing(cloud):
        ended(machine.boot(deadline=5), 0, "policies: 3 read\n")
    assert machine.files() == {**OLD, "condor/config.d/50-annex": (0o644, BODY)}


def test_what_the_role_may_not_see_is_said_and_done_without(cloud: Cloud, machine: Machine) -> None:
    """One readable policy with a grant is enough."""
    see = {**ROLE_SEES_ITSELF, "Statement": ROLE_SEES_ITSELF["Statement"][:1]}
    cloud.inline("see", see)
    cloud.inline("get", may_get("50-annex"))
    arn = cloud.attach("more", may_get("60-more"))
    cloud.put("50-annex", BODY)
    with enforcing(cloud):
        boot = machine.boot(deadline=5)
    ended(boot, 0, "policies: 2 read; could not read attached policy " + arn)
    assert machine.files() == {**OLD, "condor/config.d/50-annex": (0o644, BODY)}


def test_a_role_that_may_not_see_itself_ends_with_2(cloud: Cloud, machine: Machine) -> None:
    """After the time in which a new role settles, naming what was denied."""
    cloud.inline("get", may_get("50-annex"))
    cloud.put("50-annex", BODY)
    with enforcing(cloud):
        boot = machine.boot(deadline=1)
    ended(boot, 2, "could not read the inline policies of role annex-role", "AccessDenied")
    assert machine.files() == OLD


def test_a_role_whose_object_is_denied_ends_with_3(cloud: Cloud, machine: Machine) -> None:
    """By something that policies of the role do not show."""
    cloud.inline("see", ROLE_SEES_ITSELF)
    cloud.inline("get", may_get("50-annex"))
    cloud.put("50-annex", BODY)
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{BUCKET}/*"}  # fmt: skip
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    cloud.s3.put_bucket_policy(Bucket=BUCKET, Policy=policy)
    with enforcing(cloud):
        boot = machine.boot(deadline=2)
    ended(boot, 3, f"trying again: s3://{BUCKET}/50-annex: ", "Forbidden")
    assert machine.files() == OLD


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The agent with these arguments and no metadata service."""
    environment = {**os.environ, "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1"}
    return subprocess.run(
        [sys.executable, "-m", "instance_agent", *arguments],
        env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [
        ["-nonsense"],
        ["positional"],
        ["-deadline"],
        ["-deadline", "soon"],
        ["-deadline", "0"],
        ["-deadline", "-5"],
        ["-deadline", "nan"],
        ["-deadline", "inf"],
        ["-de", "5"],
        ["-config-dir", ""],
    ],
)
def test_a_wrong_option_ends_with_1(arguments: list[str]) -> None:
    """And with one line that says which."""
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("condor_annex_ec2: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [["-dea", "5"], ["-conf", "/tmp"], ["-deb"], ["-deadline=5"]],  # noqa: S108
)
def test_the_beginning_of_an_option_is_enough(arguments: list[str]) -> None:
    """As with HTCondor's own tools."""
    assert run(*arguments).returncode == 0


def test_help_and_version_go_to_stdout() -> None:
    """With status 0, and nothing else happens."""
    for option, part in (("-help", "exit status:"), ("-version", "condor_annex_ec2 ")):
        done = run(option)
        assert (done.returncode, done.stderr) == (0, "")
        assert part in done.stdout


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://u:p@h", "https://h", "http://h:x"])
def test_a_wrong_metadata_endpoint_is_a_usage_error(machine: Machine, url: str) -> None:
    """It is the environment's fault, and said so."""
    machine.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = url
    ended(machine.boot(), 1, "AWS_EC2_METADATA_SERVICE_ENDPOINT")
