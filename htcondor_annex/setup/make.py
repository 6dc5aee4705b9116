"""What -setup does with a stack, in whatever state it is."""

from collections.abc import Mapping
from dataclasses import replace

from htcondor_annex.errors import SetupError
from htcondor_annex.setup import stacks
from htcondor_annex.setup.aws import Aws
from htcondor_annex.setup.cloudformation import CloudFormation
from htcondor_annex.setup.plans import Plan, Wishes, addresses_of, plan
from htcondor_annex.setup.stacks import ACTS, NONE, Act, Found, Spec, advice
from htcondor_annex.setup.walk import Begun, Outcome

__all__ = ["Make"]

_BUCKET_TYPE = "AWS::S3::Bucket"


class Make:
    """Makes a stack, brings it up to date, or mends it: a `walk.Task`."""

    def __init__(self, aws: Aws, cloudformation: CloudFormation, wishes: Wishes) -> None:
        """Bind the region and what the user wants."""
        self._aws = aws
        self._cloudformation = cloudformation
        self._wishes = wishes
        self.remarks: list[str] = []
        """What the user must know at the end."""

    def foreign(self, spec: Spec) -> Outcome:
        """Refuse: it is somebody else's.

        Raises:
            SetupError: Always.
        """
        raise SetupError(
            f"a stack named {spec.name} is there that -setup did not make (it has no tag "
            f"{stacks.TAG}); it is left alone",
            advice="If nobody needs it, delete it in the CloudFormation console, then repeat",
        )

    def begin(
        self, spec: Spec, found: Found | None, done: Mapping[str, Found], token: str
    ) -> Begun:
        """Do what `stacks.ACTS` says; see `walk.Task`."""
        status = found.status if found else NONE
        act = ACTS.get(status, Act.REFUSE)
        if act is Act.CREATE:
            made = self._cloudformation.create(spec, self._plan(spec, None, done), f"make{token}")
            return Begun("is being made", made, "CREATE_COMPLETE", Outcome.CREATED)
        if found is None or act is Act.REFUSE:
            raise SetupError(f"it is {status}", advice=advice(spec.name, status).rstrip("."))
        if act is Act.REPLACE:
            kept = self._kept_back(found)
            # Its token is another, for what has one token is one request.
            self._cloudformation.delete(found.stack_id, f"mend{token}", retain=kept)
            what = f"is {status}, with which nothing can be done: is removed and made anew"
            return Begun(what, found.stack_id, "DELETE_COMPLETE")
        if self._cloudformation.update(spec, self._plan(spec, found, done), f"make{token}"):
            return Begun("is being updated", found.stack_id, "UPDATE_COMPLETE", Outcome.UPDATED)
        return Begun(outcome=Outcome.UNCHANGED)

    def _plan(self, spec: Spec, found: Found | None, done: Mapping[str, Found]) -> Plan:
        outputs = {key: value for name in spec.needs for key, value in done[name].outputs.items()}
        kept = found.parameters if found else {}
        wishes, addresses = self._wishes, []
        if spec.name == stacks.GROUP:
            if found and wishes.addresses is None:
                addresses = addresses_of(self._cloudformation.template(found.stack_id))
            if wishes.vpc is None and "VpcId" not in kept:
                wishes = replace(wishes, vpc=self._default_vpc())
        return plan(spec.name, wishes, outputs, kept, addresses)

    def _default_vpc(self) -> str:
        only = [{"Name": "is-default", "Values": ["true"]}]
        found = self._aws.call("ec2", "describe_vpcs", Filters=only)["Vpcs"]
        defaults = [vpc["VpcId"] for vpc in found if vpc.get("IsDefault")]
        if not defaults:
            raise SetupError(
                f"{self._aws.region} has no default VPC",
                advice="Give -vpc ID: the VPC in whose subnets the instances will run",
            )
        return str(defaults[0])

    def _kept_back(self, found: Found) -> list[str]:
        """Return what keeps a stack from being deleted, and is left where it is: full buckets."""
        if found.status != "DELETE_FAILED":
            return []
        kept = [
            one
            for one in self._cloudformation.resources(found.stack_id)
            if one["ResourceType"] == _BUCKET_TYPE and one["ResourceStatus"] == "DELETE_FAILED"
        ]
        for one in kept:
            self.remarks.append(
                f"The bucket {one.get('PhysicalResourceId')} holds objects and is kept; it belongs "
                "to no stack any more. Delete it when nobody needs them."
            )
        return [str(one["LogicalResourceId"]) for one in kept]
