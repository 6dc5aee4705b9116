"""The templates: what they allow, and that they are what is committed."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.validate import ParamValidator

from htcondor_annex.templates import (
    ObjectName,
    annexd_policy,
    bucket_template,
    fleet_role_template,
    lease_template,
    role_template,
    security_group_template,
)
from htcondor_annex.templates.files import DIRECTORY, as_text, committed, stale
from htcondor_annex.templates.lease import HANDLER, function_source
from htcondor_annex.templates.network import PoolAddressError, check_addresses
from htcondor_annex.templates.parts import policy
from htcondor_annex.templates.permissions import GRANTS
from htcondor_annex.templates.reasons import INSTANCE_ROLE, LEASE_FUNCTION
from localcloud import LocalCloud, stacks

NAME = ObjectName("my-bucket", "pool/config.tar.gz")
ENDS_SOMETHING = {"ec2:CancelSpotFleetRequests", "ec2:TerminateInstances"}


def statements(template: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give every statement of every policy of a template, conditional ones too."""
    for resource in template["Resources"].values():
        properties = resource["Properties"]
        documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
        if "PolicyDocument" in properties:
            documents.append(properties["PolicyDocument"])
        for document in documents:
            for statement in document["Statement"]:
                yield statement["Fn::If"][1] if "Fn::If" in statement else statement


def actions(statement: dict[str, Any]) -> set[str]:
    """Return a statement's actions as a set."""
    given = statement["Action"]
    return {given} if isinstance(given, str) else set(given)


TEMPLATES = {
    "lease": lease_template(),
    "role with parameters": role_template(),
    "role of an object": role_template(NAME),
    "bucket": bucket_template(),
    "fleet role": fleet_role_template(),
    "security group with parameters": security_group_template(),
    "security group of a pool": security_group_template(["192.0.2.0/24", "2001:db8::/32"]),
    "closed security group": security_group_template([]),
}
every_template = pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
with_roles = pytest.mark.parametrize(
    "template",
    [one for one in TEMPLATES.values() if "PermissionsBoundary" in one.get("Parameters", {})],
)


@pytest.mark.parametrize("name", committed())
def test_a_committed_file_is_as_generated(name: str) -> None:
    """`python -m htcondor_annex.templates write` would change nothing."""
    assert committed()[name] == (DIRECTORY / name).read_text()


def test_a_file_that_was_edited_is_found(tmp_path: Path) -> None:
    """One that differs by a blank, or is missing, is stale."""
    for name, text in committed().items():
        (tmp_path / name).write_text(text)
    (tmp_path / "config.json").write_text(committed()["config.json"] + " ")
    (tmp_path / "instance-role.json").unlink()
    assert {"config.json", "instance-role.json"} == set(stale(tmp_path))


@every_template
def test_cfn_lint_finds_nothing(template: dict[str, Any], tmp_path: Path) -> None:
    """AWS's own linter passes, warnings included."""
    path = tmp_path / "template.json"
    path.write_text(as_text(template))
    program = str(Path(sys.executable).with_name("cfn-lint"))
    done = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@every_template
def test_no_action_has_a_wildcard(template: dict[str, Any]) -> None:
    """Every permission is named; a refusal may be wide."""
    allowing = [one for one in statements(template) if one["Effect"] == "Allow"]
    assert not [one for one in allowing if "*" in "".join(actions(one))]


@with_roles
def test_the_boundary_may_be_given(template: dict[str, Any]) -> None:
    """Every role takes the optional permissions boundary."""
    roles = [
        resource["Properties"]["PermissionsBoundary"]
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::IAM::Role"
    ]
    wanted = {"Ref": "PermissionsBoundary"}, {"Ref": "AWS::NoValue"}
    assert [{"Fn::If": ["HasPermissionsBoundary", *wanted]}] == roles
    assert template["Parameters"]["PermissionsBoundary"]["Default"] == ""


def test_what_can_end_something_asks_for_the_annexs_tag() -> None:
    """Fleets and instances of others are out of the function's reach."""
    ending = [one for one in statements(lease_template()) if actions(one) & ENDS_SOMETHING]
    tags = "annex-id", "lease-expires"
    tagged = [{"Null": {f"aws:ResourceTag/htcondor:{tag}": "false"}} for tag in tags]
    assert tagged == [one.get("Condition") for one in ending]


def test_only_looking_is_allowed_everywhere() -> None:
    """No other statement has all resources for its own."""
    wide = [actions(one) for one in statements(lease_template()) if one["Resource"] == "*"]
    looks = {"ec2:DescribeInstances", "ec2:DescribeSpotFleetRequests", "events:ListRules"}
    assert [looks] == wide


def test_rules_of_annexes_may_run_the_function_and_no_others() -> None:
    """The function's permission names the rules and the account."""
    permission = lease_template()["Resources"]["LeaseFunctionPermission"]["Properties"]
    rules = "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:rule/htcondor-annex-*"
    assert ({"Fn::Sub": rules}, {"Ref": "AWS::AccountId"}, "events.amazonaws.com") == (
        permission["SourceArn"],
        permission["SourceAccount"],
        permission["Principal"],
    )


def test_the_sweep_may_run_the_function_by_its_own_rule_alone() -> None:
    """The second permission names the stack's own rule, which is enabled and asks for a sweep."""
    resources = lease_template()["Resources"]
    sweep = resources["Sweep"]["Properties"]
    assert {"Fn::GetAtt": ["Sweep", "Arn"]} == resources["SweepPermission"]["Properties"][
        "SourceArn"
    ]
    assert ("ENABLED", "rate(5 minutes)") == (sweep["State"], sweep["ScheduleExpression"])
    assert [{"Sweep": True}] == [json.loads(target["Input"]) for target in sweep["Targets"]]


def test_the_bucket_is_private() -> None:
    """Public access is blocked, objects are encrypted and do not stay, TLS is asked for."""
    resources = bucket_template()["Resources"]
    bucket = resources["ConfigurationBucket"]["Properties"]
    assert {True} == set(bucket["PublicAccessBlockConfiguration"].values())
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert [30] == [one["ExpirationInDays"] for one in bucket["LifecycleConfiguration"]["Rules"]]
    assert ["Deny"] == [one["Effect"] for one in statements(bucket_template())]


def test_nothing_may_come_in_from_the_world() -> None:
    """The group has the pool's addresses alone, and without any it is closed."""
    template = security_group_template(["192.0.2.0/24", "2001:db8::/32"])
    ways = template["Resources"]["SecurityGroup"]["Properties"]["SecurityGroupIngress"]
    assert ["192.0.2.0/24", "2001:db8::/32"] == [
        one.get("CidrIp") or one.get("CidrIpv6") for one in ways
    ]
    closed = security_group_template([])["Resources"]["SecurityGroup"]["Properties"]
    assert [] == closed["SecurityGroupIngress"]


@pytest.mark.parametrize("text", ["0.0.0.0/0", "::/0", "0.0.0.0/7", "192.0.2.1/24", "pool", ""])
def test_a_network_that_is_no_pools_is_refused(text: str) -> None:
    """The world, half of it, and what is no network."""
    with pytest.raises(PoolAddressError, match="network"):
        check_addresses([text])


def test_a_single_address_is_a_network_of_one() -> None:
    """The pool's one host may be given by its address."""
    assert ["192.0.2.1/32", "2001:db8::1/128"] == check_addresses(["192.0.2.1", "2001:db8::1"])


def test_every_permission_has_its_reason() -> None:
    """What the stacks' roles may do is in the table that the reference shows."""
    allowed = [
        {action for one in statements(template) for action in actions(one)}
        for template in (lease_template(), role_template())
    ]
    assert allowed == [set(LEASE_FUNCTION), set(INSTANCE_ROLE)]
    assert all(reason for grant in GRANTS for reason in grant.actions.values())


def resources(statement: dict[str, Any]) -> list[str]:
    """Return a statement's resources as a list."""
    given = statement["Resource"]
    return [given] if isinstance(given, str) else given


def policy_statements() -> list[dict[str, Any]]:
    """Return the statements of annexd-policy.json."""
    found: list[dict[str, Any]] = annexd_policy()["Statement"]
    return found


def test_the_policy_fits_into_a_managed_policy() -> None:
    """IAM counts at most 6,144 characters, blanks left out (IAM User Guide, "IAM quotas")."""
    assert len("".join(json.dumps(annexd_policy()).split())) <= 6144


def test_the_policy_names_every_action() -> None:
    """No wildcard stands for permissions."""
    assert not [one for one in policy_statements() if "*" in "".join(one["Action"])]


def test_the_policy_ends_nothing_without_a_tag() -> None:
    """Keys of an annex's owner cannot end what is of no annex."""
    ending = [one for one in policy_statements() if set(one["Action"]) & ENDS_SOMETHING]
    tagged = {"Null": {"aws:ResourceTag/htcondor:annex-id": "false"}}
    assert [tagged] == [one["Condition"] for one in ending]


def test_the_policy_passes_roles_to_named_services_alone() -> None:
    """PassRole without that would hand any role to anything."""
    passing = [one for one in policy_statements() if "iam:PassRole" in one["Action"]]
    services = [one["Condition"]["StringLike"]["iam:PassedToService"] for one in passing]
    assert ["spotfleet.amazonaws.com*", "ec2.amazonaws.com*", "lambda.amazonaws.com*"] == services
    assert not [one for one in passing if "*" in resources(one)]


def test_the_policy_is_everywhere_that_of_its_partition() -> None:
    """In China no ARN is of AWS's main partition."""
    arns = [one for grant in annexd_policy("aws-cn")["Statement"] for one in resources(grant)]
    assert {"aws-cn"} == {arn.split(":")[1] for arn in arns if arn != "*"}


def test_a_policy_has_iams_version() -> None:
    """An older version of the language would take variables for text."""
    assert policy()["Version"] == annexd_policy()["Version"] == "2012-10-17"


def test_the_inlined_source_has_the_handler() -> None:
    """The template's text compiles, and the handler it names is in it."""
    properties = lease_template()["Resources"]["LeaseFunction"]["Properties"]
    tree = ast.parse(properties["Code"]["ZipFile"])
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert HANDLER == properties["Handler"] == "index.handler"
    assert "handler" in functions


def test_the_source_stands_alone() -> None:
    """It imports the standard library and what Lambda brings along, and nothing else."""
    imported = set()
    for node in ast.walk(ast.parse(function_source())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module).partition(".")[0])
    assert {"boto3", "botocore"} == imported - sys.stdlib_module_names


def test_the_role_may_get_one_object() -> None:
    """The ARN names bucket and key, in whatever partition the stack is."""
    granted = [one for one in statements(role_template(NAME)) if "s3:GetObject" in actions(one)]
    arn = "arn:${AWS::Partition}:s3:::my-bucket/pool/config.tar.gz"
    assert [{"Fn::Sub": arn}] == [one["Resource"] for one in granted]


def test_the_role_may_read_itself_and_no_other_role() -> None:
    """Introspection ends at the role's own policies."""
    reading = [one for one in statements(role_template(NAME)) if "s3:GetObject" not in actions(one)]
    assert [one["Resource"] for one in reading] == [{"Fn::GetAtt": ["InstanceRole", "Arn"]}]
    assert {"iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies"} == actions(
        reading[0]
    )


def test_the_example_is_what_aws_takes() -> None:
    """Botocore's own model of RequestSpotFleet finds no fault in config.json."""
    client = boto3.client(
        "ec2", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    shape = client.meta.service_model.operation_model("RequestSpotFleet").input_shape
    config = json.loads((DIRECTORY / "config.json").read_text())
    report = ParamValidator().validate({"SpotFleetRequestConfig": config}, shape)
    assert report.generate_report() == ""


def test_the_example_has_what_a_console_writes() -> None:
    """Several pools, a role, and the times that the tool leaves out."""
    config = json.loads((DIRECTORY / "config.json").read_text())
    assert len({pool["InstanceType"] for pool in config["LaunchSpecifications"]}) > 2
    assert {
        "IamFleetRole",
        "AllocationStrategy",
        "TargetCapacity",
        "ValidFrom",
        "ValidUntil",
        "TerminateInstancesWithExpiration",
        "Type",
    } == set(config) - {"LaunchSpecifications"}


@pytest.fixture
def cloud(cloud_process: LocalCloud) -> LocalCloud:
    """An empty cloud."""
    cloud_process.reset()
    return cloud_process


def test_the_lease_stack_gives_the_functions_arn(cloud: LocalCloud) -> None:
    """The output LeaseFunctionARN is the ARN of a function that is there."""
    arn = stacks.make_lease_stack(cloud)
    found = cloud.client("lambda").get_function(FunctionName=arn)["Configuration"]
    assert (arn, "python3.13") == (found["FunctionArn"], found["Runtime"])


def test_the_lease_stack_takes_a_bucket(cloud: LocalCloud) -> None:
    """With a bucket given, its objects may be deleted, and none of another."""
    parameters = {"ConfigurationBucket": "my-configurations"}
    stacks.make_stack(cloud, "lease", lease_template(), parameters)
    iam = cloud.client("iam")
    role = iam.list_roles()["Roles"][0]["RoleName"]
    document = iam.get_role_policy(RoleName=role, PolicyName="EndExpiredAnnexes")["PolicyDocument"]
    deleting = [one for one in document["Statement"] if one["Action"] == "s3:DeleteObject"]
    assert [one["Resource"] for one in deleting] == ["arn:aws:s3:::my-configurations/*"]


def test_the_role_stack_gives_the_profile(cloud: LocalCloud) -> None:
    """Both outputs name an instance profile that holds the role."""
    outputs = stacks.make_role_stack(cloud, NAME.bucket, NAME.key)
    iam = cloud.client("iam")
    name = outputs["InstanceProfileName"]
    profile = iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    assert outputs["InstanceProfileARN"] == profile["Arn"]
    role = profile["Roles"][0]["RoleName"]
    policies = iam.list_role_policies(RoleName=role)["PolicyNames"]
    assert sorted(policies) == ["GetConfiguration", "ReadOwnPolicies"]


def test_the_parameters_of_the_role_stack_name_the_object(cloud: LocalCloud) -> None:
    """The committed template grants what its parameters say."""
    template = json.loads((DIRECTORY / "instance-role.json").read_text())
    stacks.make_stack(cloud, "role", template, {"Bucket": NAME.bucket, "Key": NAME.key})
    iam = cloud.client("iam")
    role = iam.list_roles()["Roles"][0]["RoleName"]
    document = iam.get_role_policy(RoleName=role, PolicyName="GetConfiguration")["PolicyDocument"]
    arns = [one["Resource"] for one in document["Statement"]]
    assert arns == ["arn:aws:s3:::my-bucket/pool/config.tar.gz"]
