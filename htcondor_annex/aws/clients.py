"""AWS clients: one per credentials, region and service, made once and shared by all threads.

Making a client costs more than a call; its connections are kept. Retries are botocore's own
("standard" mode); what is waited for beyond them is ours to wait for.
"""

import hashlib
import threading
from collections import OrderedDict
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from htcondor_annex import __version__
from htcondor_annex.annex import Endpoints
from htcondor_annex.aws.credentials import Credentials
from htcondor_annex.aws.endpoints import Partition
from htcondor_annex.aws.faults import translate
from htcondor_annex.aws.models import lean_session, partitions

__all__ = ["Calls", "Clients"]

_CONNECT_TIMEOUT = 5
_ATTEMPTS = 4
_MOST_CLIENTS = 96


class Calls:
    """The calls to AWS with one user's keys in one region; blocking, and safe in threads."""

    def __init__(self, clients: "Clients", credentials: Credentials, endpoints: Endpoints) -> None:
        """Bind the keys and the endpoints."""
        self._clients = clients
        self._credentials = credentials
        self._endpoints = endpoints
        self._urls = {
            "ec2": endpoints.ec2,
            "events": endpoints.events,
            "lambda": endpoints.lambda_,
        }

    def call(self, service: str, action: str, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401
        """Make one call.

        Args:
            service: `ec2`, `events` or `lambda`.
            action: AWS's name of it, such as `PutRule`.
            parameters: As the API names them.

        Raises:
            AwsError: With what AWS answered and what it means.
        """
        url = self._urls[service]
        client = self._clients.get(service, url, self._endpoints.region, self._credentials)
        try:
            method = getattr(client, self._clients.method(client, action))
            answer: dict[str, Any] = method(**parameters)
        except (ClientError, BotoCoreError) as error:
            raise translate(error, action, url) from error
        return answer


class Clients:
    """The shared clients of the daemon.

    Args:
        threads: How many calls may be under way at once: each may keep a connection.
        timeout: Seconds that one call may stay without an answer.
    """

    def __init__(self, threads: int, timeout: int) -> None:
        """Make the session, from which nothing but the API models is used."""
        self._config = Config(
            connect_timeout=_CONNECT_TIMEOUT,
            read_timeout=timeout,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            max_pool_connections=threads,
            tcp_keepalive=True,
            user_agent_extra=f"htcondor-annex/{__version__}",
        )
        self._session = lean_session()
        self._made: OrderedDict[tuple[str, ...], Any] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, service: str, url: str, region: str, credentials: Credentials) -> Any:  # noqa: ANN401
        """Return the client for these, made at the first use."""
        fingerprint = hashlib.sha256(credentials.secret_access_key.encode()).hexdigest()
        key = (service, url, region, credentials.access_key_id, fingerprint)
        with self._lock:  # sessions make clients one at a time
            client = self._made.get(key)
            if client is None:
                client = self._session.client(
                    service,
                    region_name=region,
                    endpoint_url=url,
                    aws_access_key_id=credentials.access_key_id,
                    aws_secret_access_key=credentials.secret_access_key,
                    config=self._config,
                )
                self._made[key] = client
                if len(self._made) > _MOST_CLIENTS:
                    self._made.popitem(last=False)
            self._made.move_to_end(key)
            return client

    @staticmethod
    def method(client: Any, action: str) -> str:  # noqa: ANN401  (botocore's clients are untyped)
        """Return the client's method for an action: botocore's own mapping, read backwards."""
        for name, operation in client.meta.method_to_api_mapping.items():
            if operation == action:
                return str(name)
        raise LookupError(f"{client.meta.service_model.service_name} has no {action}")

    def spot_fleet_shape(self) -> Any:  # noqa: ANN401  (botocore.model.Shape)
        """Return the model of SpotFleetRequestConfigData."""
        core = self._session._session  # noqa: SLF001  (boto3 offers no other way to a model)
        operation = core.get_service_model("ec2").operation_model("RequestSpotFleet")
        return operation.input_shape.members["SpotFleetRequestConfig"]

    def partitions(self) -> tuple[Partition, ...]:
        """Return AWS's partitions from botocore's data."""
        return partitions(self._session._session)  # noqa: SLF001  (as above)

    def warm(self, endpoints: Endpoints) -> None:
        """Load the models of the three services, so that the first request does not wait for it."""
        nobody = Credentials("A" * 16, "unused")
        urls = {"ec2": endpoints.ec2, "events": endpoints.events, "lambda": endpoints.lambda_}
        for service, url in urls.items():
            self.get(service, url, endpoints.region, nobody)
