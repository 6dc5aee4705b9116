"""-setup writes the region's knobs where the caller may, and harms nothing there."""

import json
import os
import pwd
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from htcondor_annex.errors import RequestError, SetupError
from htcondor_annex.setup.knobfile import Place, place, users
from htcondor_annex.setup.regionknobs import check_value, is_default
from localcloud import LocalCloud
from tests.setup.host import Host
from tests.support import ROOT

FUNCTION = "ANNEX_DEFAULT_SFR_LEASE_FUNCTION_ARN"
BEGIN = "# >>> condor_annex -setup us-east-1 >>>"
END = "# <<< condor_annex -setup us-east-1 <<<"


def _read(host: Host, names: Sequence[str]) -> dict[str, str]:
    """Return knobs as HTCondor's own parser reads them."""
    code = (
        "import json, sys\n"
        "from htcondor_annex import condor\n"
        "print(json.dumps({name: condor.Params().get(name, '') for name in sys.argv[1:]}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *names],
        env={**host.environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


def _function(cloud: LocalCloud, region: str) -> str:
    client = cloud.client("cloudformation", region=region, looks=True)
    (stack,) = client.describe_stacks(StackName="HTCondorAnnex-LeaseFunction")["Stacks"]
    outputs = {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}
    return str(outputs["LeaseFunctionARN"])


def test_htcondor_reads_what_is_written(empty: LocalCloud, host: Host) -> None:
    """The plain knobs and the region's own name what the stacks gave, and the key files."""
    host.setup()
    arn = _function(empty, "us-east-1")
    region = "ANNEX_DEFAULT_AWS_REGION"
    access = "ANNEX_DEFAULT_ACCESS_KEY_FILE"
    seen = _read(host, [FUNCTION, f"us_east_1.{FUNCTION}", region, access])
    assert seen == {
        FUNCTION: arn,
        f"us_east_1.{FUNCTION}": arn,
        region: "us-east-1",
        access: str(host.keys[0]),
    }


def test_upstreams_names_are_written_for_later(empty: LocalCloud, host: Host) -> None:
    """Bucket, security group and instance profile have the names that HTCondor gave them."""
    host.setup()
    names = [f"ANNEX_DEFAULT_{name}" for name in ("S3_BUCKET", "ODI_SECURITY_GROUP_IDS")]
    profile = "ANNEX_DEFAULT_ODI_INSTANCE_PROFILE_ARN"
    seen = _read(host, [*names, profile])
    assert seen[names[0]] in [
        one["Name"] for one in empty.client("s3", looks=True).list_buckets()["Buckets"]
    ]
    assert seen[names[1]].startswith("sg-")
    assert ":instance-profile/HTCondorAnnex-InstanceRole-" in seen[profile]


def test_several_regions_stand_side_by_side(empty: LocalCloud, host: Host) -> None:
    """The first region is the default; each has a file and knobs of its own; one may go alone."""
    first, second = host.setup("-aws-region", "us-west-2"), host.setup("-aws-region", "eu-north-1")
    west, north = (_function(empty, region) for region in ("us-west-2", "eu-north-1"))
    names = [FUNCTION, f"us_west_2.{FUNCTION}", f"eu_north_1.{FUNCTION}"]
    assert (first.status, second.status) == (0, 0)
    assert _read(host, names) == dict(zip(names, (west, west, north), strict=True))
    assert _read(host, ["ANNEX_DEFAULT_AWS_REGION"])["ANNEX_DEFAULT_AWS_REGION"] == "us-west-2"
    assert host.check("-aws-region", "eu-north-1").status == 0
    host.teardown("-aws-region", "eu-north-1")
    assert host.check("-aws-region", "us-west-2").status == 0
    assert not host.knob_file("eu-north-1").exists()


def test_awss_own_endpoints_are_written_for_another_default(tmp_path: Path) -> None:
    """HTCondor's own defaults name us-east-1's endpoints: another default region has its own."""
    code = (
        "from htcondor_annex.aws.models import partitions, plain_core\n"
        "from htcondor_annex.setup.urls import own_urls, service_urls\n"
        "from htcondor_annex import condor\n"
        "known = partitions(plain_core())\n"
        "print(own_urls(service_urls('us-west-2', condor.Params(), known), known))"
    )
    (tmp_path / "condor_config").write_text("")
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "CONDOR_CONFIG": str(tmp_path / "condor_config")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert json.loads(done.stdout.replace("'", '"')) == {
        "ANNEX_DEFAULT_EC2_URL": "https://ec2.us-west-2.amazonaws.com",
        "ANNEX_DEFAULT_CWE_URL": "https://events.us-west-2.amazonaws.com",
        "ANNEX_DEFAULT_LAMBDA_URL": "https://lambda.us-west-2.amazonaws.com",
    }


def test_a_users_own_file_keeps_the_rest(empty: LocalCloud, host: Host) -> None:
    """Without a config.d the block goes into USER_CONFIG_FILE; -teardown leaves what was before."""
    own = host.directory / "user_config"
    rest = b"# mine\r\nMINE = \\\n  x\xff y\nLAST = no newline"
    own.write_bytes(rest)
    own.chmod(0o640)
    host.configure({**host.knobs, "LOCAL_CONFIG_DIR": "", "USER_CONFIG_FILE": str(own)})
    ended = host.setup()
    written = own.read_bytes()
    assert (ended.status, written.endswith(rest), written.count(BEGIN.encode())) == (0, True, 1)
    assert stat.S_IMODE(own.stat().st_mode) == 0o640
    assert _read(host, [FUNCTION])[FUNCTION] == _function(empty, "us-east-1")
    assert (host.setup().status, own.read_bytes()) == (0, written)
    assert (host.teardown().status, own.read_bytes()) == (0, rest)


def test_a_users_file_is_found_as_htcondor_finds_it() -> None:
    """A relative USER_CONFIG_FILE lies in .condor of the password database's home directory."""
    home = pwd.getpwuid(os.geteuid()).pw_dir
    found = users({"USER_CONFIG_FILE": "user_config"})
    assert found == Place(Path(home) / ".condor" / "user_config", shared=True)
    with pytest.raises(SetupError):
        place("us-east-1", {})


def test_a_file_that_is_not_ours_is_refused_before_anything_is_made(
    empty: LocalCloud, host: Host
) -> None:
    """A link, a second name, and a file that somebody else wrote stay; AWS is not asked."""
    target = host.directory / "target"
    target.write_text("MINE = 1\n")
    said = []
    for make in ("symlink_to", "hardlink_to", "write_text"):
        getattr(host.knob_file(), make)("MINE = 2\n" if make == "write_text" else target)
        ended = host.setup()
        said.append((ended.status, ended.err.splitlines()[0].partition(f"{host.knob_file()} ")[2]))
        host.knob_file().unlink()
    assert said == [
        (5, "is a symbolic link; it is left as it is"),
        (5, "has a second name (a hard link); it is left as it is"),
        (5, "is there and was not written by -setup; it is left as it is"),
    ]
    assert (target.read_text(), empty.requests()) == ("MINE = 1\n", [])


@pytest.mark.parametrize(
    "damaged",
    [
        f"{BEGIN}\nA = 1\n",
        f"A = 1\n{END}\n",
        f"{BEGIN}\n{END}\n{BEGIN}\n{END}\n",
        f"{END}\n{BEGIN}\n",
        f"{BEGIN}\n# >>> condor_annex -setup us-west-2 >>>\n{END}\n",
    ],
)
def test_a_damaged_block_is_left_as_it_is(tmp_path: Path, damaged: str) -> None:
    """Where the block begins and ends must be plain, or nothing is written."""
    own = Place(tmp_path / "user_config", shared=True)
    own.path.write_text(damaged)
    with pytest.raises(SetupError) as caught:
        own.write("us-east-1", ["A = 2"])
    assert str(own.path) in caught.value.message
    assert own.path.read_text() == damaged


def test_blocks_of_two_regions_do_not_meet(tmp_path: Path) -> None:
    """Each is written, changed and removed without the other."""
    own = Place(tmp_path / ".condor" / "user_config", shared=True)
    own.write("us-east-1", ["A = 1"])
    before = own.path.read_bytes()
    own.write("us-west-2", ["B = 1"])
    own.write("us-west-2", ["B = 2"])
    assert (b"B = 2" in own.path.read_bytes(), b"B = 1" in own.path.read_bytes()) == (True, False)
    assert (own.remove("us-west-2"), own.path.read_bytes()) == (True, before)
    assert stat.S_IMODE(own.path.parent.stat().st_mode) == 0o700


def test_a_knob_that_is_set_elsewhere_is_told(host: Host) -> None:
    """Where the user's own setting comes later, -setup says which and how to find it."""
    (host.config_d / "99mine").write_text(f"{FUNCTION} = arn:other\n")
    ended = host.setup()
    assert ended.status == 0
    assert f"Note: HTCondor's {FUNCTION} is arn:other" in ended.err


@pytest.mark.parametrize("path", ["/a/$(HOME)/key", "/a/b\\", "/a/b\nX = 1", " /a"])
def test_a_path_that_htcondor_would_read_otherwise_is_refused(path: str) -> None:
    """It is not written as it is, and not changed."""
    with pytest.raises(RequestError):
        check_value(path, "the path of the key file")


def test_the_default_region_is_the_first_or_the_one_that_is_said() -> None:
    """HTCondor says us-east-1 by itself: only with a lease function does that count."""
    usual = {"ANNEX_DEFAULT_AWS_REGION": "us-east-1"}
    assert is_default("us-west-2", usual)
    assert not is_default("us-west-2", {**usual, FUNCTION: "arn"})
    assert is_default("us-east-1", {**usual, FUNCTION: "arn"})
