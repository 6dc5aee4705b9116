"""1,500 fleets and 3,000 instances end in one run, within the function's own time and memory."""

import uuid

import pytest

from localcloud import LocalCloud
from tests.lease.conftest import EXPIRES, SWEEP, Annexes, Lambda

FLEETS, INSTANCES, AT_ONCE = 1500, 3000, 500


@pytest.mark.parametrize("sweeps", [False, True], ids=["rule", "sweep"])
def test_thousands_end_in_one_run(
    cloud: LocalCloud, annexes: Annexes, lambda_: Lambda, *, sweeps: bool
) -> None:
    """All of one annex by its rule; as many annexes as fleets by a sweep, which lets one live."""
    ids = [str(uuid.uuid4()) for _ in range(FLEETS)] if sweeps else [str(uuid.uuid4())] * FLEETS
    for annex_id in ids:
        annexes.fleet(annex_id, 0, expires=str(EXPIRES))
    for annex_id in ids[: INSTANCES // AT_ONCE]:
        annexes.instances(annex_id, AT_ONCE, expires=str(EXPIRES))
    lives = annexes.fleet(str(uuid.uuid4()), 1, expires=str(EXPIRES + 3600))
    result = lambda_.run(SWEEP if sweeps else annexes.event(ids[0]))
    assert result.error == ""
    report = result.value
    assert (FLEETS, INSTANCES, 0) == (
        report["fleets_cancelled"],
        report["instances_ended"],
        report["left"],
    )
    left = cloud.contents()
    assert ([lives], 1) == ([one["SpotFleetRequestId"] for one in left.fleets], len(left.instances))
    assert result.memory < result.limit
