"""The calls of -setup to AWS in one region: clients made when they are first needed.

What the user keeps for AWS's own tools (profiles, endpoints) stays out of it: HTCondor's knobs and
the flags rule. Whoever imports this needs boto3.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import boto3
from botocore.config import Config
from botocore.credentials import CredentialResolver
from botocore.exceptions import BotoCoreError, ClientError

from htcondor_annex import __version__
from htcondor_annex.aws.credentials import Credentials
from htcondor_annex.aws.faults import translate
from htcondor_annex.aws.models import partitions, plain_core
from htcondor_annex.errors import KeyFileError
from htcondor_annex.setup.urls import own_urls, service_urls

__all__ = ["Aws"]

_CONNECT_TIMEOUT = 5
_READ_TIMEOUT = 60
_DRY_RUN_TIMEOUT = 300
"""Seconds; the lease function itself may take 280."""
_ATTEMPTS = 4
_FROM_INSTANCE = "iam-role"


def _instance_provider(core: Any) -> Any:  # noqa: ANN401  (botocore is untyped)
    """Return botocore's own provider of an instance profile's credentials."""
    return core.get_component("credential_provider").get_provider(_FROM_INSTANCE)


class Aws:
    """AWS in one region, with one user's keys."""

    def __init__(
        self, region: str, credentials: Credentials | None, param: Mapping[str, str]
    ) -> None:
        """Hold the keys; nothing is asked yet, but for an instance's credentials.

        Args:
            region: Such as `us-east-1`.
            credentials: The user's keys; None takes those of the instance that this runs on.
            param: HTCondor's configuration, whose knobs may name other endpoints than AWS's.

        Raises:
            RequestError: If there is no such region, or a knob holds no URL.
            KeyFileError: If the instance has no credentials.
        """
        self.region = region
        self._clients: dict[str, Any] = {}
        core = plain_core()
        known = partitions(core)
        self._urls = service_urls(region, param, known)
        self.own_urls = own_urls(self._urls, known)
        """The knobs for annexd's endpoints in this region, where they are AWS's own."""
        self._session = boto3.session.Session(botocore_session=core)
        self._keys: dict[str, str] = {}
        if credentials is not None:
            self._keys = {
                "aws_access_key_id": credentials.access_key_id,
                "aws_secret_access_key": credentials.secret_access_key,
            }
            return
        provider = _instance_provider(core)
        if provider.load() is None:
            raise KeyFileError(
                "this host gives no credentials of an instance profile",
                advice="FROM INSTANCE works on an EC2 instance that has an instance profile; "
                "elsewhere name the two key files.",
            )
        # botocore asks again by itself before they end.
        core.register_component("credential_provider", CredentialResolver([provider]))

    def _client(self, service: str) -> Any:  # noqa: ANN401  (botocore's clients are untyped)
        if service not in self._clients:
            self._clients[service] = self._session.client(
                service,
                region_name=self.region,
                endpoint_url=self._urls.get(service),
                config=Config(
                    connect_timeout=_CONNECT_TIMEOUT,
                    read_timeout=_DRY_RUN_TIMEOUT if service == "lambda" else _READ_TIMEOUT,
                    retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
                    user_agent_extra=f"htcondor-annex/{__version__}",
                    ignore_configured_endpoint_urls=True,
                    # A bucket's own host name needs a name server, which only AWS's has.
                    s3={"addressing_style": "path"} if self._urls.get(service) else None,
                ),
                **self._keys,
            )
        return self._clients[service]

    def call(self, service: str, action: str, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401
        """Make one call.

        Args:
            service: As botocore names it, such as `cloudformation`.
            action: The client's method, such as `create_stack`.
            parameters: As the API names them.

        Raises:
            AwsError: With what AWS answered and what it means.
        """
        where, name = self._urls.get(service) or f"{service} in {self.region}", action
        try:
            client = self._client(service)
            where = client.meta.endpoint_url
            name = client.meta.method_to_api_mapping[action]
            answer: dict[str, Any] = getattr(client, action)(**parameters)
            if service == "lambda" and "Payload" in answer:
                answer["Payload"] = answer["Payload"].read()
        except (ClientError, BotoCoreError) as error:
            raise translate(error, name, where) from error
        return answer

    def pages(
        self,
        service: str,
        action: str,
        items: str,
        token: tuple[str, str] = ("NextToken", "NextToken"),
        **parameters: Any,  # noqa: ANN401
    ) -> Iterator[Any]:
        """Yield the items of all pages of an answer, asking for a page when it is needed.

        Args:
            service: As for `call`; so are action and parameters.
            action: As for `call`.
            items: The answer's list.
            token: What a page calls the way to the next, and what the next request does.
            parameters: As for `call`.

        Raises:
            AwsError: As `call`.
        """
        more: dict[str, Any] = {}
        while True:
            answer = self.call(service, action, **parameters, **more)
            yield from answer.get(items, [])
            if not answer.get(token[0]):
                return
            more = {token[1]: answer[token[0]]}
