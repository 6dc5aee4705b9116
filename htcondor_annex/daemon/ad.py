"""The daemon's own ad: what condor_status shows of it. Pure."""

from collections.abc import Mapping
from typing import Any

from htcondor_annex import __version__
from htcondor_annex.annex import AnnexState
from htcondor_annex.knobs import Knobs

__all__ = ["MYTYPES", "daemon_ad"]

MYTYPES = ("annexd", "Annexd")
"""The ad's types. Collectors of 23 look for `-subsystem annexd` to the letter, newer ones in any
case; a collector to which the two are one keeps the last."""


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
