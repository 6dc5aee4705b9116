"""-setup makes the stacks, brings them up to date, and mends them."""

import json
import os
import subprocess
import sys
from typing import Any

import boto3
import pytest

from htcondor_annex.setup.plans import MAX_TEMPLATE, Wishes, plan
from htcondor_annex.setup.stacks import ACTS, NONE, STACKS, Act, advice, removal
from htcondor_annex.templates import bucket_template, lease_template, security_group_template
from localcloud import LocalCloud
from localcloud.imds import MetadataService, RoleCredentials
from tests.setup.host import Host, end_state, make_bare_stack
from tests.support import ACCESS_KEY, ROOT, SECRET_KEY

NAMES = sorted(spec.name for spec in STACKS)
FUNCTION = "HTCondorAnnex-LeaseFunction"
BUCKET = "HTCondorAnnex-ConfigurationBucket"
GROUP = "HTCondorAnnex-SecurityGroup"


def _stack(cloud: LocalCloud, name: str) -> dict[str, Any]:
    client = cloud.client("cloudformation", looks=True)
    (stack,) = client.describe_stacks(StackName=name)["Stacks"]
    return dict(stack)


def _ingress(cloud: LocalCloud) -> list[str]:
    outputs = _stack(cloud, GROUP)["Outputs"]
    ec2 = cloud.client("ec2", looks=True)
    answer = ec2.describe_security_groups(GroupIds=[outputs[0]["OutputValue"]])
    (group,) = answer["SecurityGroups"]
    return sorted(
        f"{network['CidrIp']} {rule['FromPort']}-{rule['ToPort']}"
        for rule in group["IpPermissions"]
        for network in rule["IpRanges"]
    )


def test_an_empty_account_is_set_up_with_one_command(empty: LocalCloud, host: Host) -> None:
    """Every stack is there, complete, and carries our tag; the status is 0."""
    ended = host.setup()
    assert (ended.status, ended.out) == (0, ""), ended.err
    state = end_state(empty, host)
    assert state["stacks"] == NAMES
    tag = [{"Key": "htcondor:annex-setup", "Value": "1"}]
    assert all(state[name]["complete"] and state[name]["tags"] == tag for name in NAMES)


def test_progress_is_told_resource_by_resource(host: Host) -> None:
    """Standard error has a line when work on a resource begins and one when it is done."""
    lines = host.setup().err.splitlines()
    begun = lines.index(f"{FUNCTION}: LeaseFunctionRole is being created")
    done = [line.startswith(f"{FUNCTION}: LeaseFunctionRole created (") for line in lines]
    assert lines.index(f"{FUNCTION}: is being made") < begun < done.index(True)
    assert sum(line.startswith(f"{FUNCTION}: made (") for line in lines) == 1


def test_independent_stacks_come_up_side_by_side(empty: LocalCloud, host: Host) -> None:
    """The security group is begun before the bucket is done; what needs the bucket waits for it."""
    empty.stack_pace(0.1)
    lines = host.setup().err.splitlines()
    bucket = next(i for i, line in enumerate(lines) if line.startswith(f"{BUCKET}: made ("))
    assert lines.index(f"{GROUP}: is being made") < bucket
    assert lines.index(f"{FUNCTION}: is being made") > bucket


def test_repeating_changes_nothing(empty: LocalCloud, host: Host) -> None:
    """Every stack is up to date, and the file of the knobs is not even written again."""
    host.setup()
    before = end_state(empty, host), host.knob_file().stat().st_ino
    ended = host.setup()
    told = [line for line in ended.err.splitlines() if line.endswith(": is up to date")]
    assert (ended.status, sorted(told)) == (0, [f"{name}: is up to date" for name in NAMES])
    assert (end_state(empty, host), host.knob_file().stat().st_ino) == before


def test_an_older_stack_is_brought_up_to_date(empty: LocalCloud, host: Host) -> None:
    """A stack that an older version made is updated, and told so."""
    older = lease_template()
    older["Resources"]["LeaseFunction"]["Properties"]["MemorySize"] = 128
    make_bare_stack(empty, FUNCTION, older)
    ended = host.setup()
    assert (ended.status, f"{FUNCTION}: updated (" in ended.err) == (0, True), ended.err
    client = empty.client("cloudformation", looks=True)
    body = client.get_template(StackName=FUNCTION)["TemplateBody"]
    assert json.loads(json.dumps(body)) == lease_template()
    parameters = {
        one["ParameterKey"]: one["ParameterValue"] for one in _stack(empty, FUNCTION)["Parameters"]
    }
    assert parameters["ConfigurationBucket"].startswith("htcondorannex-")


def test_what_is_not_said_stays_as_it_is(empty: LocalCloud, host: Host) -> None:
    """Without the flags -setup keeps the ways in and the boundary; `none` closes the ways."""
    boundary = "arn:aws:iam::123456789012:policy/Bound"
    host.setup("-pool-address", "192.0.2.0/24,198.51.100.7", "-permissions-boundary", boundary)
    assert host.setup().status == 0
    kept = {
        one["ParameterKey"]: one["ParameterValue"] for one in _stack(empty, FUNCTION)["Parameters"]
    }
    ways = ["192.0.2.0/24 9618-9618", "198.51.100.7/32 9618-9618"]
    assert (_ingress(empty), kept["PermissionsBoundary"]) == (ways, boundary)
    assert (host.setup("-pool-address", "none").status, _ingress(empty)) == (0, [])


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0", "10.0.0.0/7", "192.0.2.1/24", "pool"])
def test_the_world_is_not_let_in(empty: LocalCloud, host: Host, network: str) -> None:
    """Networks too wide for a pool, and texts that are none, are refused before AWS is asked."""
    ended = host.setup("-pool-address", network)
    assert (ended.status, empty.requests()) == (1, [])
    assert "-pool-address" in ended.err


def test_a_door_that_somebody_opened_is_closed(empty: LocalCloud, host: Host) -> None:
    """What -setup could not have let in is no wish to be kept: -check-setup tells, -setup mends."""
    vpc = empty.client("ec2", looks=True).describe_vpcs()["Vpcs"][0]["VpcId"]
    opened = security_group_template(["192.0.2.0/24"])
    group = opened["Resources"]["SecurityGroup"]["Properties"]
    group["SecurityGroupIngress"][0]["CidrIp"] = "0.0.0.0/0"
    make_bare_stack(empty, GROUP, opened, VpcId=vpc)
    assert "another template than this version's" in host.check().out
    assert (host.setup().status, _ingress(empty)) == (0, [])


@pytest.mark.parametrize("name", NAMES)
def test_templates_are_small_enough_to_be_sent(name: str) -> None:
    """CloudFormation takes no larger one with the request."""
    text = plan(name, Wishes(), {}, {}, []).template
    assert len(text.encode()) <= MAX_TEMPLATE


def test_a_foreign_stack_is_not_touched(empty: LocalCloud, host: Host) -> None:
    """A stack of that name without our tag stays as it is; the others are made all the same."""
    make_bare_stack(empty, GROUP, bucket_template(), ours=False)
    before = _stack(empty, GROUP)
    ended = host.setup()
    assert (ended.status, _stack(empty, GROUP)) == (5, before)
    assert "did not make" in ended.err
    assert _stack(empty, FUNCTION)["StackStatus"] == "CREATE_COMPLETE"
    assert not host.knob_file().exists()


def test_a_failure_names_its_first_cause(empty: LocalCloud, host: Host) -> None:
    """The resource that failed and AWS's reason are told, not what came of it."""
    empty.fail_resource("LeaseFunctionRole", "Cannot exceed quota for RolesPerAccount: 1000")
    ended = host.setup()
    assert ended.status == 5
    expected = (
        f"  {FUNCTION}: LeaseFunctionRole could not be created: Cannot exceed quota for "
        "RolesPerAccount: 1000"
    )
    assert [line for line in ended.err.splitlines() if line.startswith("  ")] == [expected]


def test_a_stack_that_did_not_come_up_is_made_anew(empty: LocalCloud, host: Host) -> None:
    """What is ROLLBACK_COMPLETE is removed and made; that is said."""
    empty.fail_resource("LeaseFunctionRole", "no")
    host.setup()
    assert _stack(empty, FUNCTION)["StackStatus"] == "ROLLBACK_COMPLETE"
    ended = host.setup()
    assert (ended.status, end_state(empty, host)["stacks"]) == (0, NAMES), ended.err
    assert "is ROLLBACK_COMPLETE, with which nothing can be done" in ended.err


def test_what_aws_is_at_work_on_is_waited_for(empty: LocalCloud, host: Host) -> None:
    """A stack that somebody is making already is followed, and then brought up to date."""
    empty.stack_pace(0.15)
    make_bare_stack(empty, BUCKET, bucket_template())
    ended = host.setup()
    assert ended.status == 0, ended.err
    assert f"{BUCKET}: is CREATE_IN_PROGRESS since before; waiting for its end" in ended.err
    assert f"{BUCKET}: is up to date" in ended.err


def test_a_full_bucket_of_a_failed_removal_is_kept(empty: LocalCloud, host: Host) -> None:
    """A stack that could not be deleted for its bucket is made anew; the bucket stays."""
    host.setup()
    bucket = _stack(empty, BUCKET)["Outputs"][0]["OutputValue"]
    s3 = empty.client("s3", looks=True)
    s3.put_object(Bucket=bucket, Key="precious", Body=b"data")
    empty.client("cloudformation", looks=True).delete_stack(StackName=BUCKET)
    assert _stack(empty, BUCKET)["StackStatus"] == "DELETE_FAILED"
    ended = host.setup()
    assert (ended.status, f"The bucket {bucket} holds objects and is kept" in ended.err) == (
        0,
        True,
    ), ended.err
    assert s3.get_object(Bucket=bucket, Key="precious")["Body"].read() == b"data"
    assert _stack(empty, BUCKET)["Outputs"][0]["OutputValue"] != bucket


def test_throttling_is_waited_out(empty: LocalCloud, host: Host) -> None:
    """More refusals than botocore itself sits out do not end -setup."""
    empty.fail("CreateStack", "Throttling", times=4)
    ended = host.setup()
    assert (ended.status, "Throttling" in ended.err) == (0, True)


def test_a_call_without_an_answer_is_the_same_call_again(empty: LocalCloud, host: Host) -> None:
    """The repeated CreateStack has the same token, so that AWS knows it."""
    empty.lose("CreateStack", when="after")
    assert host.setup().status == 0
    asked = [seen.parameters for seen in empty.requests("CreateStack")]
    first = [one for one in asked if one["StackName"] == asked[0]["StackName"]]
    assert len(first) == 2
    assert len({one["ClientRequestToken"] for one in first}) == 1


def test_without_a_default_vpc_one_must_be_given(empty: LocalCloud, host: Host) -> None:
    """The message says so; with -vpc the group is made there."""
    ec2 = empty.client("ec2", looks=True)
    (usual,) = ec2.describe_vpcs()["Vpcs"]
    for subnet in ec2.describe_subnets()["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    for gateway in ec2.describe_internet_gateways()["InternetGateways"]:
        there = {"InternetGatewayId": gateway["InternetGatewayId"]}
        ec2.detach_internet_gateway(VpcId=usual["VpcId"], **there)
        ec2.delete_internet_gateway(**there)
    ec2.delete_vpc(VpcId=usual["VpcId"])
    own = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    refused = host.setup()
    assert (refused.status, "no default VPC. Give -vpc ID" in refused.err) == (5, True)
    ended = host.setup("-vpc", own)
    parameters = _stack(empty, GROUP)["Parameters"]
    assert (ended.status, parameters) == (0, [{"ParameterKey": "VpcId", "ParameterValue": own}])


def test_key_files_are_held_to_the_readers_rules(empty: LocalCloud, host: Host) -> None:
    """A file that is open to others, and a link, are refused before AWS is asked."""
    host.keys[1].chmod(0o644)
    opened = host.setup()
    host.keys[1].chmod(0o600)
    (host.directory / "link").symlink_to(host.keys[1])
    linked = host.tool("-setup", str(host.keys[0]), "link")
    assert (opened.status, linked.status, empty.requests()) == (5, 5, [])
    assert ("is open to others" in opened.err, "is a symbolic link" in linked.err) == (True, True)


def test_the_instance_profiles_keys_do(empty: LocalCloud, host: Host) -> None:
    """FROM INSTANCE takes the credentials of the instance, and writes no key files as knobs."""
    keys = RoleCredentials(ACCESS_KEY, SECRET_KEY, "token")
    with MetadataService("annexd", keys) as metadata:
        ended = host.tool(
            "-setup",
            "FROM",
            "INSTANCE",
            environment={"AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.endpoint},
        )
    assert ended.status == 0, ended.err
    assert "KEY_FILE" not in host.knob_file().read_text()
    assert {seen.access_key for seen in empty.requests()} == {ACCESS_KEY}


def test_what_is_kept_for_awss_own_tools_has_no_say(empty: LocalCloud, host: Host) -> None:
    """A profile that is not there and an endpoint in the environment change nothing."""
    strange = {"AWS_PROFILE": "missing", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    assert host.setup(environment=strange).status == 0
    assert empty.requests("CreateStack") != []


def test_without_boto3_the_tool_says_what_to_install(host: Host) -> None:
    """The message names the package; no traceback."""
    code = (
        "import sys; sys.modules['boto3'] = None; from htcondor_annex.tool.main import main; "
        "sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "-setup", *map(str, host.keys)],
        env={**host.environment, "PYTHONPATH": str(ROOT)},
        cwd=host.directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, "pip install 'htcondor-annex[tool]'" in done.stderr) == (5, True)
    assert "Traceback" not in done.stderr


def test_the_table_knows_every_status_of_aws() -> None:
    """Each StackStatus of botocore's model has an act, and each refusal an advice of its own."""
    model = boto3.session.Session()._session.get_service_model("cloudformation")
    statuses = set(model.shape_for("StackStatus").enum)
    assert ACTS.keys() - {NONE} == statuses
    refused = [status for status, act in ACTS.items() if act is Act.REFUSE]
    assert len({advice("x", status) for status in [*refused, "NEW_STATUS"]}) == len(refused) + 1


def test_a_stack_is_removed_after_those_that_need_it() -> None:
    """-teardown's order is -setup's, turned round."""
    needs = {spec.name: set(spec.needs) for spec in removal()}
    assert needs[BUCKET] == {FUNCTION, "HTCondorAnnex-InstanceRole"}
    assert needs[FUNCTION] == set()


def test_real_process_end_to_end(host: Host) -> None:
    """Started as users start it, the tool does the same."""
    assert os.environ.get("AWS_PROFILE") is None
    done = subprocess.run(
        [sys.executable, "-m", "htcondor_annex.tool.main", "-setup", *map(str, host.keys)],
        env=host.environment,
        cwd=host.directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
