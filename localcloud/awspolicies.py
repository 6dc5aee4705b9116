"""AWS's own managed policies. `install` puts it into moto once.

moto has their texts, but loads all of the thousand or none, and loading takes as long as a hundred
calls, at every reset. Here one is loaded when somebody attaches it.
"""

import functools
import json
from typing import Any

from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.models import AWSManagedPolicy, IAMBackend

from localcloud.patching import patch

__all__ = ["install"]

_moto_attach_role_policy = IAMBackend.attach_role_policy


def install() -> None:
    """Put AWS's policies into moto's class."""
    patch(IAMBackend, attach_role_policy=_attach_role_policy)


@functools.cache
def _texts() -> dict[str, Any]:
    texts: dict[str, Any] = json.loads(aws_managed_policies_data)
    return texts


def _attach_role_policy(self: Any, policy_arn: str, role_name: str) -> None:  # noqa: ANN401  (moto)
    name = policy_arn.rpartition("/")[2]
    if ":iam::aws:policy/" in policy_arn and policy_arn not in self.managed_policies:
        text = _texts().get(name)
        if text is not None:
            one = AWSManagedPolicy.from_data(name, self.account_id, self.region_name, text)
            self.managed_policies[one.arn] = one
    _moto_attach_role_policy(self, policy_arn, role_name)
