"""What a request asks for, and how each of AWS's protocols says an error. Pure.

Sources: the protocol of each service in botocore's models; Smithy's "AWS protocols" for the forms.
"""

import base64
import io
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any
from xml.sax.saxutils import escape

from moto.core.parse import PROTOCOL_PARSERS, RequestParserError
from moto.core.request import Request, determine_request_protocol
from moto.core.routing import get_service_router
from moto.core.utils import get_service_model
from werkzeug.exceptions import HTTPException

__all__ = ["Answer", "Call", "Environ", "credential_scope", "error", "read"]

Environ = dict[str, Any]
"""A WSGI environment."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, whole."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def line(self) -> str:
        """WSGI's status line."""
        return f"{self.status} {HTTPStatus(self.status).phrase}"


@dataclass(frozen=True, slots=True)
class Call:
    """One AWS call as it came over the wire.

    Attributes:
        service: The signing name, such as `ec2`; empty if the request is not signed.
        action: Such as `RequestSpotFleet`; empty if the service's model knows none like it.
        region: From the credential scope.
        access_key: The id that signed it; never the secret.
        protocol: `ec2`, `query`, `json`, `rest-json` or `rest-xml`.
        parameters: As botocore's model names them; times are ISO 8601 texts.
    """

    service: str
    action: str
    region: str
    access_key: str
    protocol: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


def credential_scope(authorization: str) -> tuple[str, str, str]:
    """Return access key id, region and service of an Authorization header; empty if unsigned."""
    _, _, rest = authorization.partition("Credential=")
    parts = rest.split(",")[0].strip().split("/")
    if len(parts) != 5:  # noqa: PLR2004  (id, date, region, service, aws4_request)
        return "", "", ""
    return parts[0], parts[2], parts[3].lower()


def read(environ: Environ, body: bytes) -> Call:
    """Read a request: which service, which action, which parameters."""
    access_key, region, service = credential_scope(environ.get("HTTP_AUTHORIZATION", ""))
    protocol = _guess(environ)
    if not service:
        return Call("", "", "", "", protocol)
    request = Request({**environ, "wsgi.input": io.BytesIO(body)})
    try:
        model = get_service_model(service)
        protocol = determine_request_protocol(model, request.content_type)
        operation, labels = get_service_router(service).match(request)
        parsed = PROTOCOL_PARSERS[protocol](operation).parse(
            {
                "method": request.method,
                "values": request.values,
                "headers": request.headers,
                "body": request.get_data(),
                "url_path": request.path,
                "url_params": labels,
            }
        )
    except (HTTPException, NotImplementedError, RequestParserError, ValueError, LookupError):
        # Not a call that the model knows: moto will say so in its answer.
        return Call(service, "", region, access_key, protocol)
    return Call(service, str(operation.name), region, access_key, protocol, _plain(parsed))


def _guess(environ: Environ) -> str:
    """Return the protocol that an unsigned request looks like."""
    if "HTTP_X_AMZ_TARGET" in environ:
        return "json"
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        return "query"
    return "rest-xml"


def _plain(value: object) -> Any:  # noqa: ANN401  (JSON)
    """Return what was parsed as JSON can hold it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat() + "Z"
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    return value


def error(protocol: str, code: str, message: str, status: int) -> Answer:
    """Return an error as AWS words it in a protocol.

    Args:
        protocol: As in `Call.protocol`.
        code: AWS's code, such as `RequestLimitExceeded`.
        message: For humans.
        status: The HTTP status.
    """
    request_id = str(uuid.uuid4())
    if protocol in ("json", "rest-json"):
        kind = "application/x-amz-json-1.1" if protocol == "json" else "application/json"
        body = json.dumps({"__type": code, "message": message}).encode()
        headers = (
            ("Content-Type", kind),
            ("x-amzn-ErrorType", code),
            ("x-amzn-RequestId", request_id),
        )
        return Answer(status, headers, body)
    what = f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
    if protocol == "ec2":
        text = (
            f"<Response><Errors><Error>{what}</Error></Errors>"
            f"<RequestID>{request_id}</RequestID></Response>"
        )
    elif protocol == "query":
        side = "Sender" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "Receiver"
        text = (
            f"<ErrorResponse><Error><Type>{side}</Type>{what}</Error>"
            f"<RequestId>{request_id}</RequestId></ErrorResponse>"
        )
    else:
        text = f"<Error>{what}<RequestId>{request_id}</RequestId></Error>"
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()
    return Answer(status, (("Content-Type", "text/xml"), ("x-amzn-RequestId", request_id)), body)
