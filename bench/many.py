"""Many annexes, asked for side by side on the daemon's socket, from this process."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from htcondor_annex.tool import client
from htcondor_annex.wire import ANNEXES_PATH

__all__ = ["SMALL", "ask_all"]

SMALL: dict[str, Any] = {
    "IamFleetRole": "arn:aws:iam::123456789012:role/aws-ec2-spot-fleet-tagging-role",
    "AllocationStrategy": "priceCapacityOptimized",
    "TargetCapacity": 1,
    "LaunchSpecifications": [{"ImageId": "ami-0123456789abcdef0", "InstanceType": "c6i.large"}],
}
"""A configuration of one instance."""


def ask_all(socket: str, names: Sequence[str], at_once: int) -> list[float]:
    """Ask for annexes of one instance each, every one on a connection of its own.

    Args:
        socket: The daemon's.
        names: The annexes'.
        at_once: So many are waited for at any time.

    Returns:
        For each, the seconds from the first byte that any of them sent to its last answer.

    Raises:
        AnnexError: If one is refused.
        RuntimeError: If one has no fleet.
    """
    gate = threading.Barrier(at_once + 1)

    def ask(name: str) -> float:
        request = {"config": SMALL, "annex_name": name}
        *_, last = client.exchange(socket, "POST", ANNEXES_PATH, request)
        if not last["annex"]["spot_fleet_request_id"].startswith("sfr-"):
            raise RuntimeError(f"annexd answered {last}")
        return time.perf_counter()

    # A thread each, that all exist before the first one asks.
    with ThreadPoolExecutor(at_once) as pool:
        for _ in range(at_once):
            pool.submit(gate.wait)
        gate.wait()
        began = time.perf_counter()
        return [ended - began for ended in pool.map(ask, names)]
