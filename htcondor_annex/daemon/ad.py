"""The ads of the daemon and of its annexes: what condor_status shows. Pure."""

from collections.abc import Mapping
from typing import Any

from htcondor_annex import __version__
from htcondor_annex.annex import Annex, AnnexState
from htcondor_annex.inventory.judge import Sight
from htcondor_annex.knobs import Knobs

__all__ = ["ANNEX_MYTYPE", "MYTYPES", "annex_ad", "daemon_ad"]

MYTYPES = ("annexd", "Annexd")
"""The ad's types. Collectors of 23 look for `-subsystem annexd` to the letter, newer ones in any
case; a collector to which the two are one keeps the last."""

ANNEX_MYTYPE = "Annex"
"""The type of an annex's ad, as HTCondor's own condor_annex has it."""


def daemon_ad(
    knobs: Knobs,
    counts: Mapping[AnnexState, int],
    *,
    machine: str,
    condor_version: str,
    annexd_id: str,
    started: int,
) -> dict[str, Any]:
    """Return the ad's attributes.

    Args:
        knobs: The daemon's.
        counts: Annexes by state; each becomes `NumAnnexes<State>`.
        machine: The host's full name.
        condor_version: HTCondor's version.
        annexd_id: The daemon's UUID.
        started: Epoch seconds.
    """
    return {
        "MyType": MYTYPES[-1],
        "TargetType": "",
        "Name": knobs.name or machine,
        "Machine": machine,
        "AnnexdID": annexd_id,
        "AnnexdVersion": __version__,
        "CondorVersion": condor_version,
        "DaemonStartTime": started,
        # The collector wants an address; the daemon's is a path on its own host.
        "MyAddress": f"<unix:{knobs.socket}>",
        "AnnexdSocket": knobs.socket,
        "DefaultEC2URL": knobs.ec2_url,
        "NumAnnexes": sum(counts.values()),
        **{f"NumAnnexes{state.title().replace(' ', '')}": n for state, n in counts.items()},
    }


def annex_ad(annex: Annex, sight: Sight | None, annexd_name: str) -> dict[str, Any]:
    """Return an annex's attributes: no parameters, no files, nothing that only its owner may see.

    Args:
        annex: As the journal has it.
        sight: As it was last seen in AWS, if it was.
        annexd_name: The daemon's name; it makes the ad's name unique in the pool.
    """
    ad: dict[str, Any] = {
        "MyType": ANNEX_MYTYPE,
        "TargetType": "",
        "Name": f"{annex.identity.name}@{annex.owner.name}@{annexd_name}",
        "AnnexID": annex.identity.id,
        "AnnexName": annex.identity.name,
        "AnnexdID": annex.identity.annexd_id,
        "Owner": annex.owner.name,
        "State": str(annex.state),
        "LeaseExpires": annex.expires,
        "LeaseMethod": str(annex.lease.method),
        "Region": annex.endpoints.region,
        "Created": annex.created,
    }
    told = {
        "SpotFleetRequestID": annex.capacity_id,
        "LastError": annex.last_error,
        "WaitingFor": annex.waiting_for,
    }
    ad |= {name: value for name, value in told.items() if value}
    if sight is not None:
        ad["FleetState"] = sight.fleet_state
        ad["LastSeen"] = sight.seen
        ad["TotalInstances"] = sum(sight.instances.values())
        for state, count in sight.instances.items():
            ad["NumInstances" + state.title().replace("-", "")] = count
    return ad
