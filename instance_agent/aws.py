"""The door to AWS: clients with the role's own keys, and AWS's errors in named sets.

botocore and not boto3: the agent needs two clients and nothing that boto3 adds to them. The
import is slow, so `main` imports this module only once metadata has answered.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import botocore.exceptions
import botocore.session
from botocore.config import Config
from botocore.credentials import CredentialResolver, RefreshableCredentials
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    ResponseStreamingError,
    UnknownRegionError,
)
from botocore.handlers import json_decode_policies
from botocore.parsers import ResponseParserError

from instance_agent.errors import AgentError, AWSError, Healing, MetadataRefusedError
from instance_agent.metadata import Credentials

__all__ = ["Account", "IAMClient", "S3Client", "asking", "healing_of"]

THROTTLING = frozenset({
    "BandwidthLimitExceeded",
    "LimitExceededException",
    "PriorRequestNotComplete",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
})  # fmt: skip
"""AWS asks us to come back later."""

SERVER = frozenset({
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceFailure",
    "ServiceUnavailable",
    "ServiceUnavailableException",
})  # fmt: skip
"""AWS's own troubles."""

CLOCK = frozenset({
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "RequestTimeTooSkewed",
})  # fmt: skip
"""The machine's clock is not set yet, or the keys have just ended: both change by themselves."""

SETTLING = frozenset({
    "403",  # botocore's code for a refusal without a body
    "AccessDenied",
    "AccessDeniedException",
    "AuthFailure",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidToken",
    "NoSuchEntity",
    "UnauthorizedOperation",
    "UnrecognizedClientException",
})  # fmt: skip
"""Normal while a new role spreads, final afterwards. S3 also says AccessDenied for an object that
is not there to whoever may not list the bucket, as our role may not. NoSuchKey and NoSuchBucket are
not here: S3 is strongly consistent, and the object is put before capacity is asked for."""

NETWORK = (
    botocore.exceptions.ConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    ResponseParserError,
    ResponseStreamingError,
)
"""No whole answer came: the network is not up yet, a proxy, a broken connection, a damaged body."""

CONFIG = Config(
    connect_timeout=5,
    read_timeout=10,
    retries={"total_max_attempts": 1},  # instance_agent.retry waits, under one deadline
    max_pool_connections=8,
    user_agent_extra="condor_annex_ec2",
)


class IAMClient(Protocol):
    """The part of botocore's IAM client that is used; the names are botocore's."""

    def get_paginator(self, operation_name: str) -> Any:  # noqa: ANN401 - botocore is untyped
        """Something with a method `paginate`."""

    def get_role_policy(self, **arguments: str) -> dict[str, Any]:
        """An inline policy."""

    def get_policy(self, **arguments: str) -> dict[str, Any]:
        """What is known of a managed policy, its default version among it."""

    def get_policy_version(self, **arguments: str) -> dict[str, Any]:
        """A version of a managed policy."""


class S3Client(Protocol):
    """The part of botocore's S3 client that is used."""

    def get_object(self, **arguments: str) -> dict[str, Any]:
        """An object, its content as a stream."""


class _RoleProvider:
    """Gives botocore the instance role's keys, through the agent's own reading of metadata.

    botocore's own way would ask for a second token and for the role's name again, and would rather
    take keys from the environment or from files.
    """

    METHOD = "condor-annex-ec2"
    CANONICAL_NAME = None

    def __init__(self, get: Callable[[], Credentials]) -> None:
        self._get = get

    def load(self) -> RefreshableCredentials:
        return RefreshableCredentials.create_from_metadata(
            metadata=self._read(), refresh_using=self._read, method=self.METHOD
        )

    def _read(self) -> dict[str, str]:
        found = self._get()
        return {
            "access_key": found.access_key,
            "secret_key": found.secret_key,
            "token": found.token,
            "expiry_time": found.expiration,
        }


class Account:
    """The instance's role, and clients that act as it.

    Args:
        region: The instance's.
        credentials: Gets the role's present keys; called again when they are about to end.
    """

    def __init__(self, region: str, credentials: Callable[[], Credentials]) -> None:
        """Nothing is asked yet."""
        self._region = region
        self._clients: dict[str, Any] = {}
        self._session = botocore.session.Session()
        self._session.register_component(
            "credential_provider", CredentialResolver([_RoleProvider(credentials)])
        )

    @property
    def partition(self) -> str:
        """The part of AWS that the region belongs to: `aws`, `aws-cn`, `aws-us-gov`."""
        try:
            return str(self._session.get_partition_for_region(self._region))
        except UnknownRegionError as error:
            raise MetadataRefusedError(
                f"{self._region} is no region that botocore knows"
            ) from error

    def iam(self) -> IAMClient:
        """The client for IAM, that leaves policy documents as the texts that they are."""
        client = self._client("iam")
        # botocore would parse them with no limit on their depth or size.
        client.meta.events.unregister("after-call.iam", json_decode_policies)
        made: IAMClient = client
        return made

    def s3(self) -> S3Client:
        """The client for S3."""
        made: S3Client = self._client("s3")
        return made

    def _client(self, service: str) -> Any:  # noqa: ANN401 - botocore is untyped
        if service not in self._clients:
            with asking(f"AWS (making a client for {service})"):
                self._clients[service] = self._session.create_client(
                    service, region_name=self._region, config=CONFIG
                )
        return self._clients[service]


def healing_of(code: str, status: int) -> Healing:
    """Whether waiting may heal an answer of AWS.

    Args:
        code: AWS's code.
        status: HTTP's.
    """
    if code in THROTTLING | SERVER | CLOCK or status == 429 or status >= 500:  # noqa: PLR2004 - HTTP
        return Healing.ALWAYS
    return Healing.SETTLING if code in SETTLING else Healing.NEVER


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Turn botocore's errors into this package's.

    Args:
        what: What is being asked for; it opens the error's text.

    Raises:
        AWSError: In place of whatever botocore raised.
    """
    try:
        yield
    except AgentError:
        raise
    except ClientError as error:
        answer = error.response.get("Error", {})
        code = str(answer.get("Code", ""))[:100]
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        text = " ".join(str(answer.get("Message", "")).split())[:300]
        raise AWSError(
            f"{what}: {code}: {text}", code=code, healing=healing_of(code, status)
        ) from error
    except NETWORK as error:
        # The texts of these may hold whole URLs; the kind says enough.
        raise AWSError(
            f"{what}: no whole answer ({type(error).__name__})", code="", healing=Healing.ALWAYS
        ) from error
    except RuntimeError as error:
        # botocore's way to say that even new keys have ended: by a clock that is not set yet.
        raise AWSError(
            f"{what}: the role's keys have ended by this machine's clock",
            code="",
            healing=Healing.ALWAYS,
        ) from error
    except BotoCoreError as error:
        raise AWSError(
            f"{what}: {type(error).__name__}: {error}", code="", healing=Healing.NEVER
        ) from error
