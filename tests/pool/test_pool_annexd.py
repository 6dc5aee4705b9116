"""condor_annexd as a daemon of a real pool."""

import pytest

from localcloud.pool import Pool, wait_until
from tests.pool.support import ANNEXD, CHANGED, InPool

pytestmark = pytest.mark.pool

_OTHER_EC2 = "http://127.0.0.1:9/"


def test_condor_master_starts_annexd(pool: Pool, annexd: InPool) -> None:
    """With config/80annexd in config.d, annexd is a child of condor_master."""
    assert annexd.pid()
    assert f'Started DaemonCore process "/usr/local/bin/{ANNEXD}"' in pool.log("MasterLog")


def test_condor_master_is_told_that_annexd_is_ready(pool: Pool, annexd: InPool) -> None:
    """The master's own log shows annexd's ready state."""
    assert annexd.pid()
    wait_until(
        lambda: "Setting ready state 'Ready' for ANNEXD" in pool.log("MasterLog"), "ready state"
    )


@pytest.mark.parametrize("spelling", ["annexd", "Annexd"])
def test_condor_status_shows_annexd_by_its_subsystem(
    pool: Pool, annexd: InPool, spelling: str
) -> None:
    """`condor_status -subsystem` shows one ad, also where a collector heeds the spelling (23)."""
    shown = pool.ads("-subsystem", spelling, "-af", "Name", "AnnexdSocket")
    assert shown == [f"{annexd.node.full_name} /var/lock/condor/annexd.sock"]


def test_condor_status_any_shows_annexd(pool: Pool, annexd: InPool) -> None:
    """The daemon is among all that the collector knows."""
    assert f"Annexd {annexd.node.full_name}" in pool.ads("-any", "-af", "MyType", "Name")


def test_condor_reconfig_changes_an_endpoint(pool: Pool, annexd: InPool) -> None:
    """A new endpoint knob is in use after condor_reconfig, in the same process."""
    before, pid = annexd.ad()["DefaultEC2URL"], annexd.pid()
    try:
        pool.configure(CHANGED, f"ANNEX_DEFAULT_EC2_URL = {_OTHER_EC2}\n")
        pool.node.run("condor_reconfig")
        wait_until(lambda: annexd.ad()["DefaultEC2URL"] == _OTHER_EC2, "ad with the new endpoint")
    finally:
        pool.configure(CHANGED, "")
        pool.node.run("condor_reconfig")
    wait_until(lambda: annexd.ad()["DefaultEC2URL"] == before, "ad with the old endpoint")
    assert annexd.pid() == pid


def test_condor_off_ends_annexd_and_withdraws_its_ad(pool: Pool, annexd: InPool) -> None:
    """After condor_off it ends with status 0, its ad is gone, and condor_on brings both back."""
    pid = annexd.pid()
    try:
        pool.node.run("condor_off", "-daemon", "annexd")
        wait_until(lambda: not annexd.pid(), "end of annexd")
        assert not [line for line in pool.ads("-any", "-af", "MyType") if line.lower() == "annexd"]
        assert f"The ANNEXD (pid {pid}) exited with status 0" in pool.log("MasterLog")
    finally:
        pool.node.run("condor_on", "-daemon", "annexd")
    annexd.wait_until_up()
    assert annexd.pid() != pid


def test_a_killed_annexd_comes_back(annexd: InPool) -> None:
    """After kill -9 the master starts another, which the pool knows, and nothing is left behind."""
    old, before = annexd.tree(), annexd.ad()
    annexd.node.run("kill", "-KILL", str(annexd.pid()))
    wait_until(lambda: annexd.pid() not in (0, *old), "new annexd")
    wait_until(
        lambda: annexd.ad().get("DaemonStartTime", 0) > before["DaemonStartTime"],
        "ad of the new annexd",
    )
    wait_until(
        lambda: not any(annexd.node.read(f"/proc/{pid}/status") for pid in old),
        "end of the killed daemon's own children",
    )


def test_annexd_has_given_up_root_and_its_key_reader_alone_keeps_it(annexd: InPool) -> None:
    """The daemon runs as condor for good; of its children exactly one is root."""
    condor = int(annexd.node.run("id", "--user", "condor").out)
    tree = annexd.tree()
    assert tree.pop(annexd.pid()) == (condor,) * 4
    assert sorted(tree.values()) == [(0,) * 4, (condor,) * 4]
