"""Bucket policies that refuse requests without TLS. `install` puts it into moto once.

moto leaves conditions out, so that such a policy would refuse every request. The local cloud stands
for AWS's own endpoints, which speak TLS (IAM User Guide, "aws:SecureTransport").
"""

import json
from typing import Any

from moto.iam.access_control import IAMPolicy
from moto.s3.models import FakeBucket

from localcloud.patching import patch

__all__ = ["install"]

_KEY = "aws:securetransport"


def install() -> None:
    """Put AWS's behaviour into moto's class."""
    patch(FakeBucket, get_permission=_get_permission)


def _get_permission(self: Any, action: str, resource: str) -> Any:  # noqa: ANN401  (moto)
    document = json.loads(self.policy or '{"Statement": []}')
    stated = document["Statement"]
    statements = stated if isinstance(stated, list) else [stated]
    document["Statement"] = [one for one in statements if not _without_tls(one)]
    policy = IAMPolicy({"policy_document": json.dumps(document)})
    return policy.is_action_permitted(action, resource)


def _without_tls(statement: dict[str, Any]) -> bool:
    """Whether a statement is about requests without TLS alone."""
    asked = statement.get("Condition", {}).get("Bool", {})
    return "false" in [str(value).lower() for key, value in asked.items() if key.lower() == _KEY]
