"""The instance's own metadata, by IMDSv2 only.

Source: EC2 User Guide, "Use the Instance Metadata Service to access instance metadata". A token is
asked for first (PUT) and sent with each request; version 1, without a token, is never tried.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError, MaxRetryError, NewConnectionError

from instance_agent.bounded import in_time
from instance_agent.errors import (
    AgentError,
    Healing,
    MetadataError,
    MetadataRefusedError,
    NotOnEC2Error,
    UsageError,
)

__all__ = ["Credentials", "Metadata", "endpoint_from", "looks_like_ec2"]

ENDPOINT_IPV4 = "http://169.254.169.254"
ENDPOINT_IPV6 = "http://[fd00:ec2::254]"

CONNECT_SECONDS = 1.0
READ_SECONDS = 2.0
WHOLE_SECONDS = 5.0
"""For one request, however the answer trickles in."""

MAX_ANSWER_BYTES = 64 * 1024
TOKEN_LIFE_SECONDS = 3600

_ROLE = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
_REGION = re.compile(r"[a-z]{2,8}(-[a-z]{2,12}){1,3}-\d{1,2}")
_INSTANCE = re.compile(r"i-[0-9a-f]{8,32}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)", re.ASCII)
_HEADER = re.compile(r"[\x21-\x7e]{1,1024}")


class _RoleNotReadyError(MetadataError):
    """The role is not there (yet)."""

    exit_status = 2
    healing = Healing.SETTLING


@dataclass(frozen=True)
class Credentials:
    """The role's temporary keys.

    Attributes:
        access_key: Its id.
        secret_key: Never shown.
        token: Never shown.
        expiration: ISO 8601, UTC.
    """

    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(repr=False)
    expiration: str


def endpoint_from(environ: Mapping[str, str]) -> tuple[str, bool]:
    """Where metadata is, and whether the environment says so.

    The variables are botocore's: AWS_EC2_METADATA_SERVICE_ENDPOINT, or else
    AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE, which is IPv4 or IPv6.

    Raises:
        UsageError: They hold something else.
    """
    given = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "").strip()
    mode = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "").strip().lower()
    if not given:
        if mode not in ("", "ipv4", "ipv6"):
            raise UsageError(
                f"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE is {mode!r}; it may be IPv4 or IPv6"
            )
        return (ENDPOINT_IPV6 if mode == "ipv6" else ENDPOINT_IPV4), False
    try:
        parts = urlsplit(given)
        usable = parts.scheme == "http" and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.username is not None or parts.query or parts.fragment:
        raise UsageError(
            "AWS_EC2_METADATA_SERVICE_ENDPOINT must be a URL such as http://169.254.169.254"
        )
    return given.rstrip("/"), True


def looks_like_ec2(sys: Path = Path("/sys")) -> bool:
    """Whether the (virtual) hardware says that it is EC2's.

    Nitro and bare-metal instances name their vendor, Xen ones have a UUID that begins with "ec2"
    (EC2 User Guide, "Detect whether a host is an EC2 instance").
    """
    for name, start in (("class/dmi/id/sys_vendor", "amazon ec2"), ("hypervisor/uuid", "ec2")):
        try:
            with (sys / name).open(encoding="ascii", errors="replace") as file:
                text = file.read(64)
        except OSError:
            continue  # not this kind of machine
        if text.strip().lower().startswith(start):
            return True
    return False


class Metadata:
    """The metadata service of this instance.

    Args:
        endpoint: Its URL, without a path.
        expected: Whether a metadata service must be here, so that one that answers wrongly is an
            error. Elsewhere that is only a sign of not being on EC2.
        booting: Whether this is EC2 for certain, so that one that cannot be reached yet will be.
    """

    def __init__(self, endpoint: str, *, expected: bool, booting: bool) -> None:
        """Nothing is asked yet."""
        self._endpoint = endpoint
        self._expected = expected or booting
        self._booting = booting
        self._token = ""
        self._session = requests.Session()
        # Neither proxies nor .netrc: what is asked here never leaves the machine.
        self._session.trust_env = False

    def connect(self) -> None:
        """Get a token, the proof that a metadata service is here.

        Raises:
            NotOnEC2Error: Nothing answers, or something else does.
            MetadataError: It is there, and may answer properly if asked again.
            MetadataRefusedError: It is there, and refuses.
        """
        try:
            status, text = self._ask(
                "PUT",
                "api/token",
                {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_LIFE_SECONDS)},
            )
            if status != requests.codes.ok:
                message = f"{self._endpoint} gives no IMDSv2 token (HTTP {status})"
                if _passes(status):
                    raise MetadataError(message)
                raise MetadataRefusedError(f"{message}; is metadata on for this instance?")
            if not _HEADER.fullmatch(text):
                raise MetadataError(f"{self._endpoint} answered with something that is no token")
        except NotOnEC2Error:
            raise
        except AgentError as error:
            if self._expected:
                raise
            raise NotOnEC2Error(f"no EC2 metadata service here: {error}") from error
        self._token = text

    def role(self) -> str:
        """Name of the instance's role.

        Raises:
            MetadataError: There is none, which heals only while it is being attached.
        """
        text = self._get("iam/security-credentials/")
        name = text.splitlines()[0].strip() if text else ""
        if not name:
            raise _RoleNotReadyError(
                "this instance has no IAM role, so nothing is granted to it; "
                "give its launch specification an instance profile"
            )
        return _checked(_ROLE, name, "a role's name")

    def region(self) -> str:
        """Region of the instance, such as `us-east-1`."""
        return _checked(_REGION, self._get("placement/region") or "", "a region")

    def instance_id(self) -> str:
        """Id of the instance, such as `i-0123456789abcdef0`."""
        return _checked(_INSTANCE, self._get("instance-id") or "", "an instance id")

    def tag(self, key: str) -> str | None:
        """A tag of the instance; None if it has none, or if tags are not to be seen here."""
        return self._get(f"tags/instance/{key}")

    def credentials(self, role: str) -> Credentials:
        """The role's temporary keys.

        Raises:
            MetadataError: They are not there, or not yet.
        """
        text = self._get(f"iam/security-credentials/{role}")
        try:
            found = json.loads(text or "null")
        except (ValueError, RecursionError) as error:
            raise MetadataError("the role's credentials are no JSON") from error
        if not isinstance(found, dict) or found.get("Code") != "Success":
            code = found.get("Code") if isinstance(found, dict) else None
            raise _RoleNotReadyError(
                f"the instance's role {role} has no credentials (yet): {str(code)[:100]!r}"
            )
        values = [found.get(k) for k in ("AccessKeyId", "SecretAccessKey", "Token", "Expiration")]
        texts = [value for value in values if isinstance(value, str) and value]
        if len(texts) != len(values):
            raise MetadataError("the role's credentials are not complete")
        if not _TIME.fullmatch(texts[-1]):
            raise MetadataError("the role's credentials have no time at which they end")
        return Credentials(*texts)

    def _get(self, path: str) -> str | None:
        """Text at a path under meta-data, None if there is nothing."""
        for _ in range(2):
            headers = {"X-aws-ec2-metadata-token": self._token}
            status, text = self._ask("GET", f"meta-data/{path}", headers)
            if status == requests.codes.ok:
                return text
            if status == requests.codes.not_found:
                return None
            if status != requests.codes.unauthorized:
                break
            self.connect()  # the token has ended
        message = f"the metadata service answered HTTP {status} to {path}"
        if status == requests.codes.unauthorized or _passes(status):
            raise MetadataError(message)
        raise MetadataRefusedError(message)

    def _ask(self, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, str]:
        """Status and text of one answer, however the other side behaves."""
        try:
            return in_time(lambda: self._exchange(method, path, headers), WHOLE_SECONDS)
        except TimeoutError as error:
            raise MetadataError(f"the metadata service: {error} to {path}") from error
        except requests.ConnectionError as error:
            if _unreached(error) and not self._booting and not self._token:
                raise NotOnEC2Error(
                    f"no metadata service answers at {self._endpoint}: not an EC2 instance"
                ) from error
            raise MetadataError(f"the metadata service gave no answer to {path}") from error
        except (requests.RequestException, HTTPError, OSError) as error:
            raise MetadataError(
                f"the metadata service gave no whole answer to {path} ({type(error).__name__})"
            ) from error

    def _exchange(self, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, str]:
        with self._session.request(
            method,
            f"{self._endpoint}/latest/{path}",
            headers={**headers, "Accept-Encoding": "identity"},
            timeout=(CONNECT_SECONDS, READ_SECONDS),
            allow_redirects=False,
            stream=True,
        ) as response:
            body = bytearray()
            for chunk in response.raw.stream(8192, decode_content=False):
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise MetadataError(
                        f"the metadata service's answer to {path} is longer than "
                        f"{MAX_ANSWER_BYTES} bytes"
                    )
            try:
                return response.status_code, body.decode()
            except UnicodeDecodeError as error:
                raise MetadataError(f"the metadata's answer to {path} is no text") from error


def _passes(status: int) -> bool:
    """Whether an HTTP status is of trouble that passes."""
    busy: int = requests.codes.too_many_requests
    broken: int = requests.codes.server_error
    return status == busy or status >= broken


def _unreached(error: requests.ConnectionError) -> bool:
    """Whether no connection came about, rather than one that broke."""
    cause = error.args[0] if error.args else None
    return isinstance(error, requests.ConnectTimeout) or (
        isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)
    )


def _checked(form: re.Pattern[str], text: str, what: str) -> str:
    """The text, if it has the form that AWS documents."""
    if not form.fullmatch(text.strip()):
        raise MetadataError(f"the metadata service says {text[:80]!r} where {what} belongs")
    return text.strip()
