"""How AWS says that something may not be done. Pure.

After the IAM User Guide, "Troubleshoot access denied error messages", EC2's error codes, and S3's
"Troubleshoot access denied (403 Forbidden) errors".
"""

import base64
import json

from localcloud import wire
from localcloud.iamcallers import Caller
from localcloud.iamchecks import ANY, Check
from localcloud.iampolicy import Decision, Outcome

__all__ = ["not_authorized", "refusal"]

# protocol -> (code, status)
_CODES = {
    "ec2": ("UnauthorizedOperation", 403),
    "query": ("AccessDenied", 403),
    "json": ("AccessDeniedException", 400),
    "rest-json": ("AccessDeniedException", 403),
    "rest-xml": ("AccessDenied", 403),
}
_ROLE, _PROFILE = ":role/", ":instance-profile/"


def refusal(call: wire.Call, who: Caller, check: Check, decision: Decision) -> wire.Answer:
    """Return the answer to a call that may not be made."""
    code, status = _CODES[call.protocol]
    text = not_authorized(who, check, decision)
    if call.protocol == "ec2":
        said = json.dumps({"allowed": False, "action": check.action, "resource": check.resource})
        encoded = base64.urlsafe_b64encode(said.encode()).decode()
        text = (
            f"You are not authorized to perform this operation. {text}. "
            f"Encoded authorization failure message: {encoded}"
        )
    return wire.error(call.protocol, code, text, status)


def not_authorized(who: Caller, check: Check, decision: Decision) -> str:
    """Return AWS's sentence about who may not do what, and why."""
    service, _, _ = check.action.partition(":")
    # What knows no resources is said without.
    on = "" if check.resource == ANY else f" on resource: {_shown(service, check)}"
    if decision.outcome is Outcome.DENIED:
        why = f"with an explicit deny in {_article(decision.by)}"
    else:
        why = f"because no {decision.by} allows the {check.action} action"
    return f"User: {who.arn} is not authorized to perform: {check.action}{on} {why}"


def _article(kind: str) -> str:
    return f"{'an' if kind.startswith('i') else 'a'} {kind}"


def _shown(service: str, check: Check) -> str:
    """Return a resource as its service shows it."""
    if service == "s3":
        return f'"{check.resource}"'
    if service == "iam" and check.action != "iam:PassRole":
        for part, kind in ((_ROLE, "role"), (_PROFILE, "instance profile")):
            if part in check.resource:
                return f"{kind} {check.resource.rpartition('/')[2]}"
    return check.resource
