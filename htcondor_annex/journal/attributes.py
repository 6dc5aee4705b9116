"""An annex as the attributes of its ad in the journal, and back. Pure.

Everything that is needed to go on with the annex alone, and no secret.
"""

import json
from collections.abc import Mapping
from typing import Any

from htcondor_annex.annex import (
    Annex,
    AnnexState,
    Endpoints,
    Identity,
    Lease,
    Owner,
    StepName,
)

__all__ = ["MYTYPE", "from_attributes", "to_attributes"]

MYTYPE = "Annex"

Value = str | int
"""What an attribute holds."""


def to_attributes(annex: Annex) -> dict[str, Value]:
    """Return the annex as attributes; what is not there yet is left out."""
    attributes: dict[str, Value] = {
        "AnnexID": annex.identity.id,
        "AnnexName": annex.identity.name,
        "AnnexdID": annex.identity.annexd_id,
        "OwnerUid": annex.owner.uid,
        "Owner": annex.owner.name,
        "State": str(annex.state),
        "LeaseExpires": annex.lease.expires,
        "LeaseFunctionARN": annex.lease.function_arn,
        "Region": annex.endpoints.region,
        "EC2URL": annex.endpoints.ec2,
        "EventsURL": annex.endpoints.events,
        "LambdaURL": annex.endpoints.lambda_,
        "AccessKeyFile": annex.access_key_file,
        "SecretKeyFile": annex.secret_key_file,
        "ClientToken": annex.client_token,
        "Parameters": json.dumps(annex.parameters, separators=(",", ":")),
        "Created": annex.created,
        "StepsDone": ",".join(annex.done),
    }
    if annex.capacity_id is not None:
        attributes["SpotFleetRequestID"] = annex.capacity_id
    if annex.last_error:
        attributes["LastError"] = annex.last_error
    return attributes


def from_attributes(found: Mapping[str, Any]) -> Annex:
    """Return the annex that the attributes describe; attributes of later versions are let be.

    Raises:
        KeyError: If an attribute is missing.
        ValueError: If one holds what it cannot.
    """
    texts = {name: value for name, value in found.items() if isinstance(value, str)}
    numbers = {name: value for name, value in found.items() if type(value) is int}
    parameters = json.loads(texts["Parameters"])
    if not isinstance(parameters, dict):
        raise ValueError("Parameters is no JSON object")  # noqa: TRY004  (one class for all)
    return Annex(
        identity=Identity(texts["AnnexID"], texts["AnnexName"], texts["AnnexdID"]),
        owner=Owner(numbers["OwnerUid"], texts["Owner"]),
        lease=Lease(numbers["LeaseExpires"], texts["LeaseFunctionARN"]),
        endpoints=Endpoints(
            texts["Region"], texts["EC2URL"], texts["EventsURL"], texts["LambdaURL"]
        ),
        access_key_file=texts["AccessKeyFile"],
        secret_key_file=texts["SecretKeyFile"],
        client_token=texts["ClientToken"],
        parameters=parameters,
        created=numbers["Created"],
        state=AnnexState(texts["State"]),
        done=tuple(StepName(step) for step in texts["StepsDone"].split(",") if step),
        capacity_id=texts.get("SpotFleetRequestID"),
        last_error=texts.get("LastError", ""),
    )
