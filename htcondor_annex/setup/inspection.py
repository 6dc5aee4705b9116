"""-check-setup: looks at everything that -setup makes, one line each, and goes on after a failure.

Each check returns what is wrong, in words, with how to mend it; or nothing.
"""

import ipaddress
import json
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

from htcondor_annex import strictjson
from htcondor_annex.aws.endpoints import parse_lambda_arn
from htcondor_annex.errors import AnnexError, AwsError, SetupError
from htcondor_annex.lease import permission, sweep
from htcondor_annex.lease.rule import rule_arn, rule_name
from htcondor_annex.setup import stacks
from htcondor_annex.setup.aws import Aws
from htcondor_annex.setup.cloudformation import CloudFormation
from htcondor_annex.setup.expected import role_of, same_document, values_of
from htcondor_annex.setup.plans import addresses_of, template
from htcondor_annex.setup.regionknobs import Made
from htcondor_annex.setup.stacks import COMPLETE, STACKS, Found, advice, in_progress
from htcondor_annex.templates.network import MIN_PREFIX

__all__ = ["Inspection", "inspect"]

_MEND = "`condor_annex -setup` mends that"
# CloudFormation sees no need to update what its template has not changed.
_ANEW = "undo that in the AWS console, or run `condor_annex -teardown` and -setup"
_ANY_ANNEX = "00000000-0000-4000-8000-000000000000"
_ROLES = (
    ("lease function's role", stacks.FUNCTION, "LeaseFunctionRole"),
    ("instances' role", stacks.ROLE, "InstanceRole"),
    ("fleets' role", stacks.FLEET_ROLE, "FleetRole"),
)

Check = Callable[[], str]


class Inspection:
    """Looks at one region."""

    def __init__(self, aws: Aws) -> None:
        """Bind the region; nothing is asked yet."""
        self._aws = aws
        self._cloudformation = CloudFormation(aws)
        self._found: dict[str, Found | None] = {}

    # -- what the checks go by -------------------------------------------------------------------

    def found(self, name: str) -> Found | None:
        """Return a stack as it is, asked for once."""
        if name not in self._found:
            self._found[name] = self._cloudformation.find(name)
        return self._found[name]

    def output(self, name: str, output: str) -> str:
        """Return what a stack gives.

        Raises:
            SetupError: If it is not there, not ours, or gives no such thing.
        """
        found = self.found(name)
        if found is None or not found.ours or output not in found.outputs:
            raise SetupError(f"cannot be looked at: the stack {name} does not tell of it")
        return found.outputs[output]

    def made(self) -> Made:
        """Return what the region's stacks give for the knobs; raises as `output`."""
        return Made.read(self.output)

    @cached_property
    def _function(self) -> str:
        return self.output(stacks.FUNCTION, "LeaseFunctionARN")

    def _resources(self, name: str) -> dict[str, str]:
        """Return a stack's logical ids to its physical ones."""
        found = self.found(name)
        if found is None or not found.ours:
            raise SetupError(f"cannot be looked at: the stack {name} does not tell of it")
        return {
            one["LogicalResourceId"]: one.get("PhysicalResourceId", "")
            for one in self._cloudformation.resources(found.stack_id)
        }

    # -- the checks ------------------------------------------------------------------------------

    def checks(self) -> Iterator[tuple[str, Check]]:
        """Yield each check with what it is about."""
        for spec in STACKS:
            yield f"the stack {spec.name}", lambda name=spec.name: self.stack(name)  # type: ignore[misc]
        yield "the lease function (a dry run)", self.function
        yield "the rule of the lease function's sweep", self.sweep
        yield "the permission of EventBridge to run the lease function", self.permission
        for what, stack, logical in _ROLES:
            yield f"the {what}", lambda one=stack, two=logical: self.role(one, two)  # type: ignore[misc]
        yield "the instance profile", self.profile
        yield "the configuration bucket", self.bucket
        yield "the security group", self.security_group

    def stack(self, name: str) -> str:
        """Look whether a stack is there, ours, complete, and as this version makes it."""
        found = self.found(name)
        if found is None:
            return "it is not there; `condor_annex -setup` makes it"
        if not found.ours:
            return (
                f"it was not made by -setup (it has no tag {stacks.TAG}); delete it if nobody "
                "needs it, and run `condor_annex -setup`"
            )
        if in_progress(found.status):
            return f"AWS is at work on it ({found.status}); look again when it is done"
        if found.status not in COMPLETE:
            acts = stacks.ACTS.get(found.status)
            mend = advice(name, found.status) if acts is stacks.Act.REFUSE else _MEND
            return f"it is {found.status}; {mend}"
        given = self._cloudformation.template(found.stack_id)
        if isinstance(given, str):
            try:
                given = json.loads(given)
            except ValueError:
                given = {}
        if given != template(name, addresses_of(given)):
            return (
                "it was made from another template than this version's; `condor_annex -setup` "
                "brings it up to date"
            )
        return ""

    def function(self) -> str:
        """Let the function look at everything, and end nothing."""
        event = json.dumps({**sweep.INPUT, "DryRun": True})
        answer = self._aws.call("lambda", "invoke", FunctionName=self._function, Payload=event)
        try:
            told = strictjson.loads(answer.get("Payload") or b"null")
        except strictjson.JsonError:
            told = None
        if answer.get("FunctionError") or not isinstance(told, Mapping):
            said = told.get("errorMessage") if isinstance(told, Mapping) else None
            return f"it failed: {said or answer.get('FunctionError') or 'no answer'}; {_ANEW}"
        if told.get("sweep") is not True or told.get("dry_run") is not True:
            return f"it does not know of a dry run, so it is not this version's; {_MEND}"
        if failures := told.get("failures"):
            return f"it may not do all that it must: {'; '.join(map(str, failures))}; {_ANEW}"
        return ""

    def sweep(self) -> str:
        """Look whether the sweep's rule runs the function."""
        name = self.output(stacks.FUNCTION, "SweepRuleName")
        rule = self._aws.call("events", "describe_rule", Name=name)
        targets = list(self._aws.pages("events", "list_targets_by_rule", "Targets", Rule=name))
        if why := sweep.problem(rule, targets, self._function):
            return f"{name} {why}; {_ANEW} (a disabled one: aws events enable-rule --name {name})"
        return ""

    def permission(self) -> str:
        """Look whether EventBridge may run the function for the sweep's and for annexes' rules."""
        answer = self._aws.call("lambda", "get_policy", FunctionName=self._function)
        parsed = parse_lambda_arn(self._function)
        for name in (self.output(stacks.FUNCTION, "SweepRuleName"), rule_name(_ANY_ANNEX)):
            run = permission.Run(self._function, rule_arn(parsed, name), parsed.account)
            if why := permission.refusal(answer["Policy"], run):
                return f"not for the rule {name}: {why}; {_ANEW}"
        return ""

    def role(self, stack: str, logical: str) -> str:
        """Look whether a role may do what its template says, and nothing else."""
        found = self.found(stack)
        physical = self._resources(stack)
        name = physical.get(logical, "")
        if found is None or not name:
            raise SetupError(f"cannot be looked at: the stack {stack} has none")
        logs = frozenset({"LeaseFunctionLog"})
        values = values_of(found.stack_id, found.parameters, physical, logs)
        wanted = role_of(template(stack), logical, values)
        problems = [*self._inline(name, wanted.inline), *self._attached(name, wanted.attached)]
        role = self._aws.call("iam", "get_role", RoleName=name)["Role"]
        if not same_document(role.get("AssumeRolePolicyDocument"), wanted.trust):
            problems.append("others may take it than should")
        boundary = role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", "")
        if boundary != wanted.boundary:
            problems.append(f"its permissions boundary is {boundary or 'gone'}")
        if not problems:
            return ""
        return f"{name}: {'; '.join(problems)}; {_ANEW}"

    def _inline(self, role: str, wanted: Mapping[str, Any]) -> Iterator[str]:
        paging = ("Marker", "Marker")
        names = set(
            self._aws.pages("iam", "list_role_policies", "PolicyNames", paging, RoleName=role)
        )
        for name in sorted(names - wanted.keys()):
            yield f"it has a policy more, {name}"
        for name in sorted(wanted):
            if name not in names:
                yield f"its policy {name} is gone"
                continue
            answer = self._aws.call("iam", "get_role_policy", RoleName=role, PolicyName=name)
            if not same_document(answer["PolicyDocument"], wanted[name]):
                yield f"its policy {name} was changed"

    def _attached(self, role: str, wanted: frozenset[str]) -> Iterator[str]:
        paging = ("Marker", "Marker")
        pages = self._aws.pages(
            "iam", "list_attached_role_policies", "AttachedPolicies", paging, RoleName=role
        )
        arns = {one["PolicyArn"] for one in pages}
        yield from (f"{arn} is attached to it" for arn in sorted(arns - wanted))
        yield from (f"{arn} is not attached to it" for arn in sorted(wanted - arns))

    def profile(self) -> str:
        """Look whether the instance profile holds the instances' role, and no other."""
        name = self.output(stacks.ROLE, "InstanceProfileName")
        role = self._resources(stacks.ROLE).get("InstanceRole")
        answer = self._aws.call("iam", "get_instance_profile", InstanceProfileName=name)
        held = [one["RoleName"] for one in answer["InstanceProfile"]["Roles"]]
        if held != [role]:
            return (
                f"{name} holds {', '.join(held) or 'no role'}, not {role}; put that role into it "
                "(aws iam add-role-to-instance-profile)"
            )
        return ""

    def bucket(self) -> str:
        """Look whether the bucket is closed to the public, and encrypted."""
        name = self.output(stacks.BUCKET, "BucketName")
        problems = []
        try:
            answer = self._aws.call("s3", "get_public_access_block", Bucket=name)
        except AwsError as error:
            if error.aws_code != "NoSuchPublicAccessBlockConfiguration":
                raise
            answer = {}
        blocks = answer.get("PublicAccessBlockConfiguration", {})
        wanted = template(stacks.BUCKET)["Resources"]["ConfigurationBucket"]["Properties"]
        if blocks != wanted["PublicAccessBlockConfiguration"]:
            problems.append("its public access is not blocked")
        try:
            self._aws.call("s3", "get_bucket_encryption", Bucket=name)
        except AwsError as error:
            if error.aws_code != "ServerSideEncryptionConfigurationNotFoundError":
                raise
            problems.append("it is not encrypted")
        if problems:
            return f"{name}: {' and '.join(problems)}; set that in the S3 console"
        return ""

    def security_group(self) -> str:
        """Look whether the group lets in no more than pools' networks."""
        group = self.output(stacks.GROUP, "SecurityGroupID")
        answer = self._aws.call("ec2", "describe_security_groups", GroupIds=[group])
        open_to = [
            f"{network} ({rule['IpProtocol']} {rule.get('FromPort', 'any port')})"
            for rule in answer["SecurityGroups"][0].get("IpPermissions", [])
            for network in (
                *(one["CidrIp"] for one in rule.get("IpRanges", [])),
                *(one["CidrIpv6"] for one in rule.get("Ipv6Ranges", [])),
            )
            if _wide(network)
        ]
        if open_to:
            return f"{group} is open to {', '.join(open_to)}; remove that rule in the EC2 console"
        return ""


def _wide(network: str) -> bool:
    found = ipaddress.ip_network(network, strict=False)
    return found.prefixlen < MIN_PREFIX[found.version]


def inspect(inspection: Inspection, say: Callable[[str], None]) -> bool:
    """Make every check; tell whether all is well.

    Args:
        inspection: Of a region.
        say: Hears each check's line.
    """
    try:
        inspection.found(STACKS[0].name)
    except AnnexError as error:
        say(f"Checking the keys... {_words(error)}")
        return False
    say("Checking the keys... OK.")
    well = True
    for what, check in inspection.checks():
        try:
            problem = check()
        except AnnexError as error:
            problem = _words(error)
        say(f"Checking {what}... {problem + '.' if problem else 'OK.'}")
        well = well and not problem
    return well


def _words(error: AnnexError) -> str:
    return ". ".join(filter(None, [error.message, error.advice.rstrip(".")]))
