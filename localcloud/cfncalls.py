"""What CloudFormation does with a resource: calls of AWS's API, made in somebody's name.

The calls are botocore's, with its own checks, and go to moto in this very process; whether they are
permitted is asked of `localcloud.authority` first. So the permissions that a stack needs follow
from what `localcloud.cfniam` and its neighbours call: it is what the handlers of AWS's resource
type schemas list, as far as the properties in use need it.

Source: CloudFormation User Guide, "CloudFormation access control": without a service role,
CloudFormation acts with the credentials of whoever asks.
"""

import re
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError, ParamValidationError
from botocore.session import Session
from moto.core.botocore_stubber import BotocoreStubber

from localcloud.authority import Caller, authority

__all__ = ["Failure", "Hand", "gone"]

Answer = Mapping[str, Any]

_GONE = re.compile(r"NoSuch|NotFound|^404$")
_LOOKS = ("Get", "List", "Describe", "Head")
_HANDLER_CODES = {
    "AccessDenied": "AccessDenied",
    "AlreadyExists": "AlreadyExists",
    "BucketAlreadyOwnedByYou": "AlreadyExists",
    "EntityAlreadyExists": "AlreadyExists",
    "ResourceAlreadyExistsException": "AlreadyExists",
    "ResourceConflictException": "AlreadyExists",
}
_CONFIG = Config(
    retries={"total_max_attempts": 1},
    s3={"addressing_style": "path"},
    ignore_configured_endpoint_urls=True,
)

_session = Session()
_clients: dict[tuple[str, str], Any] = {}
_stubber = BotocoreStubber()
_stubber.enabled = True


class Failure(Exception):  # noqa: N818  (AWS's word)
    """A resource that could not be made, changed or removed; the text is the event's reason."""

    def __init__(self, reason: str, code: str = "") -> None:
        """Keep the reason, and the code of AWS's error if it was one."""
        super().__init__(reason)
        self.code = code


def gone(failure: Failure) -> bool:
    """Whether what was asked for is not there."""
    return bool(_GONE.search(failure.code))


def _client(service: str, region: str) -> Any:  # noqa: ANN401  (botocore)
    """Return a client whose calls stay in this process; made once."""
    made = _clients.get((service, region))
    if made is None:
        made = _session.create_client(
            service,
            region_name=region,
            aws_access_key_id="cloudformation",
            aws_secret_access_key="cloudformation",  # noqa: S106  (opens nothing)
            config=_CONFIG,
        )
        made.meta.events.register("before-send", _stubber)
        _clients[service, region] = made
    return made


@dataclass(slots=True)
class Hand:
    """Acts in a Region in somebody's name.

    Attributes:
        region: The AWS region.
        who: Whose permissions count; None may do all.
        writes: How many calls that change something were made.
    """

    region: str
    who: Caller | None = None
    writes: int = field(default=0)

    def ask(
        self, service: str, action: str, /, *, fine: Collection[str] = (), **given: object
    ) -> Answer:
        """Make a call.

        Args:
            service: botocore's name of it.
            action: Of the API, such as `CreateRole`.
            fine: Codes of errors that mean that there is nothing to do; `gone` is any that says
                that the thing is not there.
            given: The call's parameters; None leaves one out.

        Raises:
            Failure: If AWS refuses it, with the words that CloudFormation's events have.
        """
        client = _client(service, self.region)
        shape = client.meta.service_model.operation_model(action).input_shape
        asked = {
            name: _fitting(shape.members.get(name), value)
            for name, value in given.items()
            if value is not None
        }
        if self.who is not None:
            signing = client.meta.service_model.signing_name
            refused = authority.may(
                self.who, signing, action, asked, self.region, via="cloudformation"
            )
            if refused:
                raise _failure(refused, service, 403, "AccessDenied")
        try:
            answer: Answer = client._make_api_call(action, asked)  # noqa: SLF001  (by its API name)
        except ParamValidationError as error:
            raise Failure(f"Properties validation failed: {error}") from error
        except ClientError as error:
            said = error.response["Error"]
            failure = _failure(
                said.get("Message", ""),
                service,
                error.response["ResponseMetadata"]["HTTPStatusCode"],
                said["Code"],
            )
            if said["Code"] in fine or ("gone" in fine and gone(failure)):
                return {}
            raise failure from error
        self.writes += not action.startswith(_LOOKS)
        return answer


def _failure(message: str, service: str, status: int, code: str) -> Failure:
    """Return what the event of a resource whose handler failed says."""
    handler = _HANDLER_CODES.get(
        code, "NotFound" if _GONE.search(code) else "GeneralServiceException"
    )
    return Failure(
        f'Resource handler returned message: "{message} (Service: {service.capitalize()}, '
        f'Status Code: {status}, Request ID: {uuid.uuid4()})" '
        f"(RequestToken: {uuid.uuid4()}, HandlerErrorCode: {handler})",
        code,
    )


def _fitting(shape: Any, value: Any) -> Any:  # noqa: ANN401  (botocore's, and JSON)
    """Return a value of a template as the API takes it: numbers and truths may come as texts."""
    kind = getattr(shape, "type_name", "")
    if isinstance(value, Mapping):
        members = shape.members if kind == "structure" else {}
        inner = shape.value if kind == "map" else None
        return {name: _fitting(members.get(name, inner), one) for name, one in value.items()}
    if isinstance(value, list):
        return [_fitting(getattr(shape, "member", None), one) for one in value]
    return _fitting_plain(kind, value)


def _fitting_plain(kind: str, value: Any) -> Any:  # noqa: ANN401  (JSON)
    if kind in ("integer", "long") and isinstance(value, str) and re.fullmatch(r"-?\d+", value):
        return int(value)
    if kind == "boolean" and value in ("true", "false"):
        return value == "true"
    if kind == "string" and isinstance(value, bool):
        return str(value).lower()
    return str(value) if kind == "string" and isinstance(value, int | float) else value
