"""-check-setup finds every kind of damage by looking, says how to mend it, and goes on."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from htcondor_annex.templates import lease_template, security_group_template
from localcloud import LocalCloud
from tests.setup.host import Host, make_bare_stack
from tests.support import Annexd

FUNCTION = "HTCondorAnnex-LeaseFunction"
ROLE = "HTCondorAnnex-InstanceRole"
GROUP = "HTCondorAnnex-SecurityGroup"
BUCKET = "HTCondorAnnex-ConfigurationBucket"
WORLD = {
    "IpProtocol": "tcp",
    "FromPort": 22,
    "ToPort": 22,
    "IpRanges": [{"CidrIp": "0.0.0.0/0"}],
}


def _outputs(cloud: LocalCloud, name: str) -> dict[str, str]:
    client = cloud.client("cloudformation", looks=True)
    (stack,) = client.describe_stacks(StackName=name)["Stacks"]
    return {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}


def _physical(cloud: LocalCloud, name: str, logical: str) -> str:
    client = cloud.client("cloudformation", looks=True)
    found = client.describe_stack_resources(StackName=name)["StackResources"]
    (one,) = [one for one in found if one["LogicalResourceId"] == logical]
    return str(one["PhysicalResourceId"])


def _iam(cloud: LocalCloud) -> Any:  # noqa: ANN401  (boto3)
    return cloud.client("iam", looks=True)


def _delete(cloud: LocalCloud) -> None:
    cloud.client("cloudformation", looks=True).delete_stack(StackName=GROUP)


def _foreign(cloud: LocalCloud) -> None:
    _delete(cloud)
    vpc = cloud.client("ec2", looks=True).describe_vpcs()["Vpcs"][0]["VpcId"]
    make_bare_stack(cloud, GROUP, security_group_template(), ours=False, VpcId=vpc)


def _failed(cloud: LocalCloud) -> None:
    _delete(cloud)
    vpc = cloud.client("ec2", looks=True).describe_vpcs()["Vpcs"][0]["VpcId"]
    cloud.fail_resource("SecurityGroup", "no")
    make_bare_stack(cloud, GROUP, security_group_template([]), VpcId=vpc)


def _older(cloud: LocalCloud) -> None:
    older = lease_template()
    older["Resources"]["LeaseFunction"]["Properties"]["MemorySize"] = 128
    cloud.client("cloudformation", looks=True).update_stack(
        StackName=FUNCTION,
        TemplateBody=json.dumps(older),
        Parameters=[{"ParameterKey": "ConfigurationBucket", "UsePreviousValue": True}],
        Capabilities=["CAPABILITY_IAM"],
    )


def _function_gone(cloud: LocalCloud) -> None:
    arn = _outputs(cloud, FUNCTION)["LeaseFunctionARN"]
    cloud.client("lambda", looks=True).delete_function(FunctionName=arn)


def _sweep_disabled(cloud: LocalCloud) -> None:
    name = _outputs(cloud, FUNCTION)["SweepRuleName"]
    cloud.client("events", looks=True).disable_rule(Name=name)


def _sweep_aimless(cloud: LocalCloud) -> None:
    name = _outputs(cloud, FUNCTION)["SweepRuleName"]
    cloud.client("events", looks=True).remove_targets(Rule=name, Ids=["sweep"])


def _not_permitted(cloud: LocalCloud) -> None:
    client = cloud.client("lambda", looks=True)
    arn = _outputs(cloud, FUNCTION)["LeaseFunctionARN"]
    policy = json.loads(client.get_policy(FunctionName=arn)["Policy"])
    for statement in policy["Statement"]:
        if "htcondor-annex-" in json.dumps(statement):
            client.remove_permission(FunctionName=arn, StatementId=statement["Sid"])


def _more(cloud: LocalCloud) -> None:
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    _iam(cloud).put_role_policy(
        RoleName=_physical(cloud, ROLE, "InstanceRole"),
        PolicyName="More",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [everything]}),
    )


def _changed(cloud: LocalCloud) -> None:
    role = _physical(cloud, ROLE, "InstanceRole")
    found = _iam(cloud).get_role_policy(RoleName=role, PolicyName="GetConfiguration")
    document = found["PolicyDocument"]
    document["Statement"][0]["Resource"] = "*"
    _iam(cloud).put_role_policy(
        RoleName=role, PolicyName="GetConfiguration", PolicyDocument=json.dumps(document)
    )


def _less(cloud: LocalCloud) -> None:
    _iam(cloud).delete_role_policy(
        RoleName=_physical(cloud, FUNCTION, "LeaseFunctionRole"), PolicyName="EndExpiredAnnexes"
    )


def _attached(cloud: LocalCloud) -> None:
    _iam(cloud).attach_role_policy(
        RoleName=_physical(cloud, ROLE, "InstanceRole"),
        PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess",
    )


def _detached(cloud: LocalCloud) -> None:
    _iam(cloud).detach_role_policy(
        RoleName=_physical(cloud, "HTCondorAnnex-FleetRole", "FleetRole"),
        PolicyArn="arn:aws:iam::aws:policy/service-role/AmazonEC2SpotFleetTaggingRole",
    )


def _trusting(cloud: LocalCloud) -> None:
    anybody = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    _iam(cloud).update_assume_role_policy(
        RoleName=_physical(cloud, ROLE, "InstanceRole"),
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [anybody]}),
    )


def _unheld(cloud: LocalCloud) -> None:
    _iam(cloud).remove_role_from_instance_profile(
        InstanceProfileName=_outputs(cloud, ROLE)["InstanceProfileName"],
        RoleName=_physical(cloud, ROLE, "InstanceRole"),
    )


def _public(cloud: LocalCloud) -> None:
    bucket = _outputs(cloud, BUCKET)["BucketName"]
    cloud.client("s3", looks=True).delete_public_access_block(Bucket=bucket)


def _plain_text(cloud: LocalCloud) -> None:
    bucket = _outputs(cloud, BUCKET)["BucketName"]
    cloud.client("s3", looks=True).delete_bucket_encryption(Bucket=bucket)


def _open(cloud: LocalCloud) -> None:
    group = _outputs(cloud, GROUP)["SecurityGroupID"]
    ec2 = cloud.client("ec2", looks=True)
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[WORLD])


SWEEP = "the rule of the lease function's sweep"
Damage = tuple[Callable[[LocalCloud], None], str, str]
DAMAGES: dict[str, list[Damage]] = {
    "changed in many places": [
        (_older, f"the stack {FUNCTION}", "another template than this version's"),
        (_sweep_disabled, SWEEP, "is DISABLED"),
        (_not_permitted, "the permission of EventBridge", "not for the rule htcondor-annex-"),
        (_less, "the lease function's role", "its policy EndExpiredAnnexes is gone"),
        (_more, "the instances' role", "it has a policy more, More"),
        (_detached, "the fleets' role", "AmazonEC2SpotFleetTaggingRole is not attached"),
        (_unheld, "the instance profile", "holds no role"),
        (_public, "the configuration bucket", "its public access is not blocked"),
        (_open, "the security group", "is open to 0.0.0.0/0 (tcp 22)"),
    ],
    "no function": [
        (_foreign, f"the stack {GROUP}", "it was not made by -setup"),
        (_function_gone, "the lease function (a dry run)", "ResourceNotFoundException"),
        (_sweep_aimless, SWEEP, "does not tell the function"),
        (_changed, "the instances' role", "its policy GetConfiguration was changed"),
        (_plain_text, "the configuration bucket", "it is not encrypted"),
    ],
    "no stack": [
        (_delete, f"the stack {GROUP}", "it is not there; `condor_annex -setup` makes it"),
        (_attached, "the instances' role", "AdministratorAccess is attached to it"),
    ],
    "a failed stack": [
        (_failed, f"the stack {GROUP}", "is ROLLBACK_COMPLETE; `condor_annex -setup` mends that"),
        (_trusting, "the instances' role", "others may take it than should"),
    ],
}


def test_all_is_well_after_setup(host: Host) -> None:
    """Every line says OK, and so does the status; annexd, which is not there, is a note."""
    host.setup()
    ended = host.check()
    lines = ended.out.splitlines()
    assert (ended.status, ended.err) == (0, "")
    assert [line for line in lines[:-1] if not line.endswith("... OK.")] == []
    assert (len(lines), lines[-1].startswith("Note: no condor_annexd answers")) == (17, True)


@pytest.mark.parametrize("damages", DAMAGES.values(), ids=DAMAGES)
def test_damage_is_found(empty: LocalCloud, host: Host, damages: Sequence[Damage]) -> None:
    """Each line says what is wrong, those about other things say OK, and all checks are made."""
    host.setup()
    for damage, _, _ in damages:
        damage(empty)
    ended = host.check()
    lines = ended.out.splitlines()
    about = {what: said for _, what, said in damages}
    found = {what: [one for one in lines if one.startswith(f"Checking {what}")] for what in about}
    assert (ended.status, len(lines)) == (5, 17), ended.out
    wrong = {what: line for what, (line,) in found.items() if about[what] not in line}
    assert wrong == {}
    for what in ("the lease function's role", "the configuration bucket"):
        (line,) = [one for one in lines if one.startswith(f"Checking {what}")]
        assert line.endswith("OK.") == (what not in about)


def test_wrong_keys_end_the_checks(host: Host) -> None:
    """Nothing can be looked at with keys that AWS does not take."""
    host.setup()
    host.write_key("secret", "not-the-secret-key-of-this")
    ended = host.check()
    first, *rest = ended.out.splitlines()
    assert (ended.status, first.startswith("Checking the keys... AWS refused")) == (5, True)
    assert [line for line in rest if line.startswith("Checking the stack")] == []


def test_knobs_that_name_something_else_are_found(host: Host) -> None:
    """A region's knob that is not the stack's output is said with both values."""
    host.setup()
    name = "us_east_1.ANNEX_DEFAULT_SFR_LEASE_FUNCTION_ARN"
    (host.config_d / "99other").write_text(f"{name} = arn:other\n")
    ended = host.check()
    assert (ended.status, f"{name} is arn:other, and should be arn:aws:lambda:" in ended.out) == (
        5,
        True,
    )


def test_nothing_set_up_is_said_of_every_part(host: Host) -> None:
    """In an empty account every check has its line, and none says OK but the keys'."""
    ended = host.check()
    lines = ended.out.splitlines()
    assert (ended.status, len(lines)) == (5, 17)
    assert [line for line in lines if line.endswith("OK.")] == ["Checking the keys... OK."]


def test_a_running_annexd_is_seen(empty: LocalCloud, tmp_path: Path) -> None:
    """The last line says that annexd answers."""
    host = Host(tmp_path, empty.endpoint)
    host.setup()
    directory = tmp_path / "annexd"
    directory.mkdir()
    annexd = Annexd(directory, empty.endpoint, {})
    annexd.start()
    try:
        host.configure({**host.knobs, "ANNEXD_SOCKET": str(annexd.socket)})
        assert host.check().out.splitlines()[-1] == "Checking annexd... OK."
    finally:
        annexd.stop()
