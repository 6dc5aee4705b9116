"""An annex as the attributes of its ad in the journal, and back. Pure.

Everything that is needed to go on with the annex alone, and no secret.
"""

from collections.abc import Mapping
from typing import Any

from htcondor_annex.annex import (
    Annex,
    AnnexState,
    Endpoints,
    Identity,
    Lease,
    LeaseMethod,
    Owner,
    StepName,
)
from htcondor_annex.journal.keptjson import KeptJson, json_text

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
        "LeaseMethod": str(annex.lease.method),
        "Region": annex.endpoints.region,
        "EC2URL": annex.endpoints.ec2,
        "EventsURL": annex.endpoints.events,
        "LambdaURL": annex.endpoints.lambda_,
        "AccessKeyFile": annex.access_key_file,
        "SecretKeyFile": annex.secret_key_file,
        "ClientToken": annex.client_token,
        "Parameters": json_text(annex.parameters),
        "Created": annex.created,
        "StepsDone": ",".join(annex.done),
    }
    later: dict[str, Value | None] = {
        "SpotFleetRequestID": annex.capacity_id,
        "RequestToken": annex.request_token or None,
        "LeaseWanted": annex.lease_wanted,
        "Activated": annex.activated,
        "Ended": annex.ended,
        "LastError": annex.last_error or None,
        "WaitingFor": annex.waiting_for or None,
    }
    return attributes | {name: value for name, value in later.items() if value is not None}


def from_attributes(found: Mapping[str, Any]) -> Annex:
    """Return the annex that the attributes describe; attributes of later versions are let be.

    Raises:
        KeyError: If an attribute is missing.
        ValueError: If one holds what it cannot.
    """
    texts = {name: value for name, value in found.items() if isinstance(value, str)}
    numbers = {name: value for name, value in found.items() if type(value) is int}
    return Annex(
        identity=Identity(texts["AnnexID"], texts["AnnexName"], texts["AnnexdID"]),
        owner=Owner(numbers["OwnerUid"], texts["Owner"]),
        lease=Lease(
            numbers["LeaseExpires"],
            texts["LeaseFunctionARN"],
            # Journals from before there was a choice do not tell.
            LeaseMethod(texts.get("LeaseMethod", LeaseMethod.RULE)),
        ),
        endpoints=Endpoints(
            texts["Region"], texts["EC2URL"], texts["EventsURL"], texts["LambdaURL"]
        ),
        access_key_file=texts["AccessKeyFile"],
        secret_key_file=texts["SecretKeyFile"],
        client_token=texts["ClientToken"],
        parameters=KeptJson(texts["Parameters"]),
        created=numbers["Created"],
        state=AnnexState(texts["State"]),
        done=tuple(StepName(step) for step in texts["StepsDone"].split(",") if step),
        capacity_id=texts.get("SpotFleetRequestID"),
        request_token=texts.get("RequestToken", ""),
        lease_wanted=numbers.get("LeaseWanted"),
        activated=numbers.get("Activated"),
        ended=numbers.get("Ended"),
        last_error=texts.get("LastError", ""),
        waiting_for=texts.get("WaitingFor", ""),
    )
