"""CloudFormation, as far as the walk through the stacks needs it.

Sources: CloudFormation API reference; "ValidationError" is its code for nearly all that it refuses,
so its words must be read where two of them mean different things.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from htcondor_annex.errors import AwsError
from htcondor_annex.setup.aws import Aws
from htcondor_annex.setup.plans import Plan
from htcondor_annex.setup.stacks import TAG, TAG_VALUE, Found, Spec

__all__ = ["CloudFormation"]

_SERVICE = "cloudformation"
_NO_STACK = "does not exist"
_NO_UPDATES = "No updates are to be performed"
_TAGS = [{"Key": TAG, "Value": TAG_VALUE}]


def _refused(error: AwsError, words: str) -> bool:
    return error.aws_code == "ValidationError" and words in error.message


class CloudFormation:
    """The stacks of one region."""

    def __init__(self, aws: Aws) -> None:
        """Bind the region and its keys."""
        self._aws = aws

    def _call(self, action: str, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401  (as Aws.call)
        return self._aws.call(_SERVICE, action, **parameters)

    def find(self, name: str) -> Found | None:
        """Return a stack as it is, or None; by its id also one that has been deleted.

        Raises:
            AwsError: As `Aws.call`; so do the others.
        """
        try:
            answer = self._call("describe_stacks", StackName=name)
        except AwsError as error:
            if _refused(error, _NO_STACK):
                return None
            raise
        return Found.read(answer["Stacks"][0])

    def events(self, stack_id: str) -> Iterator[Mapping[str, Any]]:
        """Yield a stack's events, the newest first, as far back as the caller asks."""
        return self._aws.pages(_SERVICE, "describe_stack_events", "StackEvents", StackName=stack_id)

    def resources(self, stack_id: str) -> list[Mapping[str, Any]]:
        """Return what a stack holds."""
        answer = self._call("describe_stack_resources", StackName=stack_id)
        return list(answer["StackResources"])

    def template(self, stack_id: str) -> Any:  # noqa: ANN401  (JSON; text where it is YAML)
        """Return a stack's template as it was given."""
        answer = self._call("get_template", StackName=stack_id, TemplateStage="Original")
        return answer["TemplateBody"]

    def create(self, spec: Spec, plan: Plan, token: str) -> str:
        """Begin to make a stack, and return its id; the same token does it once."""
        answer = self._call("create_stack", **_request(spec, plan), ClientRequestToken=token)
        return str(answer["StackId"])

    def update(self, spec: Spec, plan: Plan, token: str) -> bool:
        """Begin to update a stack; False if nothing is to be changed."""
        try:
            self._call("update_stack", **_request(spec, plan), ClientRequestToken=token)
        except AwsError as error:
            if _refused(error, _NO_UPDATES):
                return False
            raise
        return True

    def delete(self, stack_id: str, token: str, *, retain: Sequence[str] = ()) -> None:
        """Begin to delete a stack.

        Args:
            stack_id: Its id.
            token: As for `create`.
            retain: Logical ids of what could not be deleted, and stays.
        """
        kept = {"RetainResources": list(retain)} if retain else {}
        self._call("delete_stack", StackName=stack_id, ClientRequestToken=token, **kept)


def _request(spec: Spec, plan: Plan) -> dict[str, Any]:
    return {
        "StackName": spec.name,
        "TemplateBody": plan.template,
        "Parameters": [
            {"ParameterKey": key, "ParameterValue": value} for key, value in plan.parameters.items()
        ],
        "Capabilities": ["CAPABILITY_IAM"] if spec.iam else [],
        "Tags": _TAGS,
    }
