"""-teardown removes what -setup made, and nothing while annexes live."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from htcondor_annex.setup import removal
from htcondor_annex.templates import security_group_template
from localcloud import LocalCloud
from tests.setup.host import Host, make_bare_stack
from tests.support import Annexd, console_config

BUCKET = "HTCondorAnnex-ConfigurationBucket"
GROUP = "HTCondorAnnex-SecurityGroup"
ANNEX = "11111111-2222-4333-8444-555555555555"
TAGS = [{"Key": "htcondor:annex-id", "Value": ANNEX}]


def _stacks(cloud: LocalCloud) -> list[str]:
    listed = cloud.client("cloudformation", looks=True).list_stacks()["StackSummaries"]
    return sorted(one["StackName"] for one in listed if one["StackStatus"] != "DELETE_COMPLETE")


def _bucket(cloud: LocalCloud) -> str:
    (bucket,) = cloud.client("s3", looks=True).list_buckets()["Buckets"]
    return str(bucket["Name"])


def _instance(cloud: LocalCloud) -> None:
    specification = [{"ResourceType": "instance", "Tags": TAGS}]
    cloud.client("ec2", looks=True).run_instances(
        ImageId="ami-12345678", MinCount=1, MaxCount=1, TagSpecifications=specification
    )


def _fleet(cloud: LocalCloud) -> None:
    specification = [{"ResourceType": "spot-fleet-request", "Tags": TAGS}]
    config = console_config(TagSpecifications=specification, TargetCapacity=0)
    cloud.client("ec2", looks=True).request_spot_fleet(SpotFleetRequestConfig=config)


def _rule(cloud: LocalCloud) -> None:
    cloud.client("events", looks=True).put_rule(
        Name=f"htcondor-annex-{ANNEX}", ScheduleExpression="rate(5 minutes)"
    )


def _forget(cloud: LocalCloud) -> None:
    """Let AWS show nothing of any annex."""
    ec2, events = (cloud.client(service, looks=True) for service in ("ec2", "events"))
    contents = cloud.contents()
    ec2.cancel_spot_fleet_requests(
        SpotFleetRequestIds=[one["SpotFleetRequestId"] for one in contents.fleets],
        TerminateInstances=True,
    )
    if contents.instances:
        ec2.terminate_instances(InstanceIds=[one["InstanceId"] for one in contents.instances])
    for rule, targets in contents.targets.items():
        if rule.startswith("htcondor-annex-"):
            events.remove_targets(Rule=rule, Ids=[one["Id"] for one in targets])
            events.delete_rule(Name=rule)


def test_nothing_is_left(empty: LocalCloud, host: Host) -> None:
    """Stacks, roles, the bucket with what annexes left in it, and the knobs go; twice is fine."""
    host.setup()
    s3 = empty.client("s3", looks=True)
    bucket = _bucket(empty)
    s3.put_object(Bucket=bucket, Key="config-1.tar.gz", Body=b"")
    first, second = host.teardown(), host.teardown()
    assert (first.status, second.status) == (0, 0), first.err
    assert (_stacks(empty), s3.list_buckets()["Buckets"], list(host.config_d.iterdir())) == (
        [],
        [],
        [],
    )
    roles = empty.client("iam", looks=True).list_roles()["Roles"]
    assert [role for role in roles if role["RoleName"].startswith("HTCondorAnnex-")] == []


def test_more_objects_than_one_page_go(
    empty: LocalCloud, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 lists and deletes so many at a time; all go."""
    host.setup()
    s3, bucket = empty.client("s3", looks=True), _bucket(empty)
    for number in range(5):
        s3.put_object(Bucket=bucket, Key=f"config-{number}.tar.gz", Body=b"")
    monkeypatch.setattr(removal, "_MOST", 2)
    assert (host.teardown().status, _stacks(empty)) == (0, [])
    asked = [len(empty.requests(action)) for action in ("ListObjectsV2", "DeleteObjects")]
    assert asked == [3, 3]


@pytest.mark.parametrize("make", [_instance, _fleet, _rule])
def test_refused_while_an_annex_lives_in_aws(empty: LocalCloud, host: Host, make: object) -> None:
    """An instance, a fleet, or a rule of an annex keeps everything where it is."""
    assert callable(make)
    host.setup()
    before = _stacks(empty)
    make(empty)
    ended = host.teardown()
    assert (ended.status, _stacks(empty), host.knob_file().exists()) == (5, before, True)
    assert f"of annex {ANNEX} is " in ended.err


def test_what_has_ended_keeps_nothing(empty: LocalCloud, host: Host) -> None:
    """Terminated instances and cancelled fleets are still seen in AWS, and are no annex."""
    host.setup()
    _instance(empty)
    _fleet(empty)
    _forget(empty)
    ended = host.teardown()
    assert (ended.status, _stacks(empty)) == (0, []), ended.err


def test_refused_while_annexd_knows_of_one(empty: LocalCloud, tmp_path: Path) -> None:
    """An annex that annexd has not ended keeps everything, though AWS shows nothing of it."""
    host = Host(tmp_path, empty.endpoint)
    host.setup()
    directory = tmp_path / "annexd"
    directory.mkdir()
    annexd = Annexd(directory, empty.endpoint, {"LOCAL_CONFIG_DIR": str(host.config_d)})
    annexd.start()
    try:
        made = annexd.ask(console_config(), arn=None)
        assert made.status == 0, made.err
        host.configure({**host.knobs, "ANNEXD_SOCKET": str(annexd.socket)})
        _forget(empty)
        ended = host.teardown()
    finally:
        annexd.stop()
    assert (ended.status, len(_stacks(empty))) == (5, 5)
    assert "is active" in ended.err


def test_refused_when_it_cannot_look(empty: LocalCloud, host: Host) -> None:
    """What AWS does not let us see may live."""
    host.setup()
    before = _stacks(empty)
    empty.fail("DescribeInstances", "UnauthorizedOperation", status=403)
    ended = host.teardown()
    assert (ended.status, _stacks(empty)) == (5, before)
    assert "cannot be told whether annexes live" in ended.err


def test_objects_that_no_annex_made_keep_the_bucket(empty: LocalCloud, host: Host) -> None:
    """The bucket stays whole, which is said; the other stacks go; emptied by hand, it goes too."""
    host.setup()
    s3, bucket = empty.client("s3", looks=True), _bucket(empty)
    for key in ("precious", "config-1.tar.gz"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    ended = host.teardown()
    kept = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert (ended.status, _stacks(empty), kept) == (5, [BUCKET], ["config-1.tar.gz", "precious"])
    assert "'precious'; it is kept" in ended.err
    s3.delete_object(Bucket=bucket, Key="precious")
    assert (host.teardown().status, _stacks(empty)) == (0, [])


def test_a_foreign_stack_is_left_alone(empty: LocalCloud, host: Host) -> None:
    """A stack without our tag stays, and is no failure."""
    vpc = empty.client("ec2", looks=True).describe_vpcs()["Vpcs"][0]["VpcId"]
    make_bare_stack(empty, GROUP, security_group_template(), ours=False, VpcId=vpc)
    ended = host.teardown()
    assert (ended.status, _stacks(empty)) == (0, [GROUP])
    assert f"{GROUP}: is not ours, and is left alone" in ended.err


def test_without_a_terminal_it_wants_to_be_told(empty: LocalCloud, host: Host) -> None:
    """Where nobody can be asked, -yes is needed."""
    host.setup()
    before = _stacks(empty)
    ended = host.tool("-teardown", *map(str, host.keys))
    assert (ended.status, _stacks(empty), "Give -yes." in ended.err) == (1, before, True)


@pytest.mark.parametrize(("answer", "left"), [("yes", 0), ("no", 5), ("y", 5)])
def test_on_a_terminal_it_asks(empty: LocalCloud, host: Host, answer: str, left: int) -> None:
    """Only `yes` is one."""
    host.setup()
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "htcondor_annex.tool.main", "-teardown", *map(str, host.keys)],
        stdin=theirs,
        stderr=subprocess.PIPE,
        env=host.environment,
        cwd=host.directory,
        text=True,
    ) as process:
        os.close(theirs)
        os.write(ours, f"{answer}\n".encode())
        _, err = process.communicate(timeout=60)
    os.close(ours)
    assert ("Is that OK? (Type 'yes')" in err, len(_stacks(empty))) == (True, left)
    assert (process.returncode == 0) == (left == 0)
