"""Bad input: one clear error, a status that is not 0, nothing left in AWS, a daemon still up."""

import os
from pathlib import Path

import pytest

from localcloud import LocalCloud
from tests.support import ACCESS_KEY, SECRET_KEY, Annexd, Ended, console_config

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 and not os.environ.get("CI"), reason="giving a file away needs root"
)


def _refused(ended: Ended, cloud: LocalCloud, status: int, text: str) -> None:
    """Assert that the tool ended so, said so, printed no ID, and nothing is left."""
    assert (ended.status, ended.out) == (status, ""), ended.err
    assert text in ended.err
    assert "Traceback" not in ended.err
    assert cloud.contents().empty


def test_no_lease_function_arn(annexd: Annexd, cloud: LocalCloud) -> None:
    """A missing ARN is said, with what to give, before anything is asked of AWS."""
    ended = annexd.ask(console_config(), arn=None)
    _refused(ended, cloud, 1, "no lease function was given")
    assert "-lease-function-arn" in ended.err
    assert cloud.requests() == []


def test_the_daemon_restarts_after_a_missing_arn(own_annexd: Annexd, cloud: LocalCloud) -> None:
    """After that failure the daemon can be started again, and works."""
    own_annexd.start()
    own_annexd.ask(console_config(), arn=None)
    assert own_annexd.stop() == 0
    own_annexd.start()
    assert own_annexd.ask(console_config()).status == 0
    assert len(cloud.contents().fleets) == 1


def test_arn_of_no_function(annexd: Annexd, cloud: LocalCloud) -> None:
    """An ARN that names no function is told as such."""
    arn = "arn:aws:lambda:us-east-1:123456789012:function:nobody"
    ended = annexd.ask(console_config(), arn=arn)
    _refused(ended, cloud, 5, f"there is no lease function {arn}")


@pytest.mark.parametrize(
    "arn",
    [
        "",
        "annex-lease",
        "arn:aws:s3:::bucket",
        "arn:aws:lambda:us-east-1:12345:function:short-account",
        "arn:aws:lambda:us-east-1:123456789012:layer:x",
    ],
)
def test_what_is_no_arn(arn: str, annexd: Annexd, cloud: LocalCloud) -> None:
    """Something else in the ARN's place is refused before AWS is asked."""
    ended = annexd.ask(console_config(), arn=arn)
    _refused(ended, cloud, 1, "lease function")
    assert cloud.requests() == []


def test_function_in_another_region(annexd: Annexd, cloud: LocalCloud) -> None:
    """A lease function elsewhere could not end the annex, and is refused naming both regions."""
    arn = "arn:aws:lambda:eu-west-1:123456789012:function:annex-lease"
    ended = annexd.ask(console_config(), arn=arn)
    _refused(ended, cloud, 1, "the lease function is in eu-west-1, the endpoints are in us-east-1")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is not JSON: it is empty"),
        (b"  \n", "is not JSON: it is empty"),
        (b'{"TargetCapacity": 1', "line 1, column 21"),
        (b'{"a": 1,\n "b": }', "line 2, column 7"),
        (b'{"a": NaN}', "NaN is no JSON number"),
        (b'{"a": 1, "a": 2}', '"a" stands twice'),
        (b"\xff\xfe{}", "byte 0 is not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "must hold a JSON object"),
        (b"{}" + b" " * 5_000_000, "is larger than 1048576 bytes"),
    ],
    ids=["empty", "blank", "cut", "syntax", "nan", "twice", "utf16", "deep", "list", "5MB"],
)
def test_malformed_json(content: bytes, text: str, annexd: Annexd, cloud: LocalCloud) -> None:
    """What is not the JSON we take is said with its place."""
    config = annexd.directory / "bad.json"
    config.write_bytes(content)
    ended = annexd.tool(str(config))
    _refused(ended, cloud, 2, text)
    assert "bad.json" in ended.err


def test_a_file_that_is_not_there(annexd: Annexd, cloud: LocalCloud) -> None:
    """A missing config.json is named."""
    _refused(annexd.tool("nowhere.json"), cloud, 2, "nowhere.json cannot be read: No such file")


def test_all_problems_are_listed_at_once(annexd: Annexd, cloud: LocalCloud) -> None:
    """An unknown field, a missing one and a wrong type deep inside come in one answer."""
    config = console_config(IamFleetRole=None, TargetCapacty=3)
    config["LaunchSpecifications"][0]["BlockDeviceMappings"] = [
        {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": "eight"}}
    ]
    ended = annexd.ask(config)
    _refused(ended, cloud, 2, 'TargetCapacty is no field that AWS knows; did you mean "TargetCap')
    assert "IamFleetRole is missing" in ended.err
    path = "LaunchSpecifications[0].BlockDeviceMappings[0].Ebs.VolumeSize"
    assert f"{path} must be a number, not 'eight'" in ended.err
    assert cloud.requests() == []


@pytest.mark.parametrize("duration", ["0", "-5", "ten", "1.5", ""])
def test_a_duration_that_is_none(duration: str, annexd: Annexd, cloud: LocalCloud) -> None:
    """A lease of nothing, less than nothing, or no number is refused by the tool."""
    ended = annexd.ask(console_config(), "-lease-duration", duration)
    _refused(ended, cloud, 1, "-lease-duration")


def test_a_lease_that_is_too_long(annexd: Annexd, cloud: LocalCloud) -> None:
    """A lease longer than ANNEX_MAX_LEASE is refused."""
    ended = annexd.ask(console_config(), "-lease-duration", str(7 * 24 * 3600 + 1))
    _refused(ended, cloud, 1, "longer than ANNEX_MAX_LEASE (604800)")


def _with_secret(annexd: Annexd, path: Path | str) -> Ended:
    keys = ["-access", str(annexd.access_key), "-secret", str(path)]
    return annexd.ask(console_config(), *keys, keys=False)


def test_a_key_file_open_to_others(annexd: Annexd, cloud: LocalCloud) -> None:
    """A key file that others can read is refused with its mode and the mend."""
    path = annexd.write_key("open", SECRET_KEY, 0o644)
    ended = _with_secret(annexd, path)
    _refused(ended, cloud, 5, f"the key file {path} is open to others (mode 0644)")
    assert f"chmod 600 {path}" in ended.err


@needs_root
def test_a_key_file_of_someone_else(annexd: Annexd, cloud: LocalCloud) -> None:
    """A key file owned by another user is refused, even for root."""
    path = annexd.write_key("foreign", SECRET_KEY)
    os.chown(path, 1, 1)
    _refused(_with_secret(annexd, path), cloud, 5, f"{path} is owned by daemon, not by root")


def test_a_key_file_that_is_a_directory(annexd: Annexd, cloud: LocalCloud) -> None:
    """A directory is no key file."""
    _refused(_with_secret(annexd, annexd.directory), cloud, 5, "is a directory")


def test_a_key_file_that_is_a_link(annexd: Annexd, cloud: LocalCloud) -> None:
    """A symbolic link is refused: who may change it may name any file."""
    link = annexd.directory / "link"
    link.unlink(missing_ok=True)
    link.symlink_to(annexd.secret_key)
    _refused(_with_secret(annexd, link), cloud, 5, f"{link} is a symbolic link")


def test_a_key_file_that_is_a_pipe(annexd: Annexd, cloud: LocalCloud) -> None:
    """A named pipe neither hangs the daemon nor passes."""
    pipe = annexd.directory / "pipe"
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe, 0o600)
    _refused(_with_secret(annexd, pipe), cloud, 5, f"{pipe} is not a regular file")


def test_a_key_file_that_is_missing(annexd: Annexd, cloud: LocalCloud) -> None:
    """A missing key file is named with the reason."""
    path = annexd.directory / "none"
    _refused(_with_secret(annexd, path), cloud, 5, f"{path} cannot be opened by")


@pytest.mark.parametrize("content", ["", "two words", "x" * 5000], ids=["empty", "words", "long"])
def test_a_key_file_that_holds_no_key(content: str, annexd: Annexd, cloud: LocalCloud) -> None:
    """A file without a key in it is refused, and its content shown nowhere."""
    path = annexd.write_key("nokey", content)
    ended = _with_secret(annexd, path)
    _refused(ended, cloud, 5, f"{path}")
    assert not content or content not in ended.err + annexd.said()


@pytest.mark.parametrize("kind", ["access", "secret"])
def test_wrong_keys(kind: str, annexd: Annexd, cloud: LocalCloud) -> None:
    """Keys that AWS does not take are told as such."""
    wrong = {"access": ACCESS_KEY[:-1] + "X", "secret": SECRET_KEY[:-1] + "X"}
    paths = {"access": annexd.access_key, "secret": annexd.secret_key}
    paths[kind] = annexd.write_key("wrong", wrong[kind])
    keys = ["-access", str(paths["access"]), "-secret", str(paths["secret"])]
    ended = annexd.ask(console_config(), *keys, keys=False)
    _refused(ended, cloud, 5, "Check that the two key files belong together")


def test_an_endpoint_that_is_down(annexd: Annexd, cloud: LocalCloud) -> None:
    """No one at the endpoint: the call and the URL are named."""
    nobody = "http://127.0.0.1:9"
    ended = annexd.ask(
        console_config(), "-ec2-url", nobody, "-events-url", nobody, "-lambda-url", nobody
    )
    _refused(ended, cloud, 5, f"at {nobody} got no answer")


def test_one_endpoint_that_is_down(annexd: Annexd, cloud: LocalCloud) -> None:
    """EC2 alone unreachable: the rule and its target are undone."""
    ended = annexd.ask(console_config(), "-service-url", "http://127.0.0.1:9")
    _refused(ended, cloud, 5, "RequestSpotFleet at http://127.0.0.1:9 got no answer")


def test_endpoints_of_different_regions(annexd: Annexd, cloud: LocalCloud) -> None:
    """Mixed regions are refused, naming each."""
    ended = annexd.ask(console_config(), "-ec2-url", "https://ec2.eu-central-1.amazonaws.com")
    _refused(ended, cloud, 1, "endpoints are of different regions")
    assert "EC2: eu-central-1" in ended.err
    assert "events: us-east-1" in ended.err


@pytest.mark.parametrize("url", ["ftp://x", "ec2", "http://", "http://u:p@h", "http://h:port"])
def test_what_is_no_endpoint(url: str, annexd: Annexd, cloud: LocalCloud) -> None:
    """Something else in an endpoint's place is refused."""
    _refused(annexd.ask(console_config(), "-ec2-url", url), cloud, 1, "is no URL")


@pytest.mark.parametrize("name", ["", "-x", "a b", "é", "x" * 65, "a\nb"])
def test_a_name_that_is_none(name: str, annexd: Annexd, cloud: LocalCloud) -> None:
    """Names are kept to what neither AWS nor HTCondor needs quoted."""
    ended = annexd.ask(console_config(), f"-annex-name={name}")
    _refused(ended, cloud, 1, "the annex name")


def test_no_daemon(own_annexd: Annexd, cloud: LocalCloud) -> None:
    """Without a daemon the tool says where it looked and what to look at."""
    ended = own_annexd.ask(console_config())
    _refused(ended, cloud, 3, f"no condor_annexd answers at {own_annexd.socket}")


def test_no_file_named(annexd: Annexd, cloud: LocalCloud) -> None:
    """Without config.json the tool says so."""
    _refused(annexd.tool(), cloud, 1, "config.json")


def test_an_ambiguous_flag(annexd: Annexd, cloud: LocalCloud) -> None:
    """A prefix that could be two flags is refused, naming them."""
    ended = annexd.ask(console_config(), "-lease", "5")
    _refused(ended, cloud, 1, "ambiguous option: -lease could match -lease-duration, -lease-func")


def test_every_one_of_these_leaves_the_daemon_up(annexd: Annexd, cloud: LocalCloud) -> None:
    """After all the above, a good request still succeeds."""
    assert annexd.ask(console_config()).status == 0
    assert len(cloud.contents().fleets) == 1
