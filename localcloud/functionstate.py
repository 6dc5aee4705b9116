"""How a Lambda function is, where moto falls short. `install` puts this into moto once.

After the Lambda API Reference ("GetFunction", "FunctionConfiguration") and the Developer Guide
("Lambda function states", "Configuring reserved concurrency"):

* A reserved concurrency of 0, which keeps a function from running, is told as any other.
* A function may be in another state than `Active`, with its reason; `LocalCloud.function_state`.
"""

from typing import Any

from moto.awslambda.models import LambdaFunction
from moto.backends import get_backend

from localcloud.patching import patch

__all__ = ["install", "set_state"]

_OURS = "localcloud_reason"

Function = Any
"""moto's, which has no types."""

_moto_get_code = LambdaFunction.get_code
_moto_get_configuration = LambdaFunction.get_configuration


def install() -> None:
    """Put AWS's behaviour into moto's class."""
    patch(LambdaFunction, get_code=_get_code, get_configuration=_get_configuration)


def _get_code(self: Function) -> dict[str, Any]:
    told: dict[str, Any] = _moto_get_code(self)
    if self.reserved_concurrency is not None:
        told["Concurrency"] = {"ReservedConcurrentExecutions": self.reserved_concurrency}
    return told


def _get_configuration(self: Function, **how: Any) -> dict[str, Any]:  # noqa: ANN401  (passed on)
    told: dict[str, Any] = _moto_get_configuration(self, **how)
    if reason := vars(self).get(_OURS):
        told["StateReason"] = reason
    return told


def set_state(arn: str, state: str, reason: str) -> None:
    """Let a function be in a state.

    Args:
        arn: The function's.
        state: Such as `Inactive` or `Failed`.
        reason: Why; may be empty.
    """
    region, account = arn.split(":")[3:5]
    found: Function = get_backend("lambda")[account][region].get_function(arn)
    found.state = state
    found.__dict__[_OURS] = reason
