"""The daemon on a disk that is full, and on one that fails: it ends what runs, and goes on."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud import LocalCloud
from tests.disks import FailingDisk, SmallDisk, failing_disk, small_disk
from tests.support import Annexd, Ended, console_config, wait_for

# Its text in the journal needs more room than the last page of a file may have left.
_SPECIFICATION = {"ImageId": "ami-12345678", "InstanceType": "m5.large", "UserData": "eA==" * 2500}
BIG = console_config(LaunchSpecifications=[_SPECIFICATION])


def _daemon_on(spool: Path, directory: Path, cloud: LocalCloud) -> Iterator[Annexd]:
    annexd = Annexd(directory, cloud.endpoint, {"SPOOL": str(spool)})
    yield annexd
    if annexd.process is not None:
        annexd.stop()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallDisk]:
    """A file system of 256 KiB."""
    with small_disk(tmp_path, 256) as disk:
        yield disk


@pytest.fixture
def failing(tmp_path: Path) -> Iterator[FailingDisk]:
    """A file system that can be made to fail."""
    with failing_disk(tmp_path) as disk:
        yield disk


@pytest.fixture
def on_small(small: SmallDisk, tmp_path: Path, cloud: LocalCloud) -> Iterator[Annexd]:
    """A daemon whose journal and history are on the small disk."""
    yield from _daemon_on(small.path, tmp_path, cloud)


@pytest.fixture
def on_failing(failing: FailingDisk, tmp_path: Path, cloud: LocalCloud) -> Iterator[Annexd]:
    """A daemon whose journal and history are on the disk that can fail."""
    yield from _daemon_on(failing.path, tmp_path, cloud)


def _refused(ended: Ended, reason: str, cloud: LocalCloud) -> None:
    """Check that a request was refused for the journal, and nothing asked of AWS for it."""
    assert ended.status == 5, ended.err
    assert f"annexd.journal cannot be written: {reason}" in ended.err
    assert "annexd takes no new annex until it can; make room, or mend the disk." in ended.err
    assert len(cloud.requests("RequestSpotFleet")) == 1


def _goes_on(annexd: Annexd, cloud: LocalCloud) -> None:
    """Check that all is written, and that a new annex is made and outlives the daemon."""
    wait_for(lambda: 'AnnexName = "first"' in _history(annexd), "first annex in the history")
    assert annexd.ask(console_config(), "-annex-name", "second").status == 0
    annexd.stop(signal.SIGKILL)
    annexd.start()
    again = annexd.ask(console_config(), "-annex-name", "second")
    assert "you have an annex named 'second' already" in again.err
    assert annexd.ask(console_config(), "-annex-name", "first").status == 0
    assert len(cloud.contents().fleets) == 2


def _history(annexd: Annexd) -> str:
    path = Path(annexd.knobs["SPOOL"]) / "annexd.history"
    return path.read_text() if path.exists() else ""


def test_on_a_full_disk(small: SmallDisk, on_small: Annexd, cloud: LocalCloud) -> None:
    """New requests are refused with the reason, the lease is ended in AWS, and it goes on."""
    on_small.start()
    asked = on_small.ask(console_config(), "-annex-name", "first", "-lease-duration", "6")
    assert asked.status == 0
    small.fill()
    _refused(on_small.ask(BIG), "No space left on device", cloud)
    assert cloud.contents().fleets
    wait_for(lambda: cloud.contents().empty, "end of the lease")
    wait_for(lambda: "annexd.history cannot be written" in on_small.said(), "remark")
    small.free()
    _goes_on(on_small, cloud)


def test_on_a_failing_disk(failing: FailingDisk, on_failing: Annexd, cloud: LocalCloud) -> None:
    """Not one write succeeds: requests are refused, the lease is ended in AWS, and it goes on."""
    on_failing.start()
    asked = on_failing.ask(console_config(), "-annex-name", "first", "-lease-duration", "6")
    assert asked.status == 0
    failing.fail()
    _refused(on_failing.ask(console_config()), "Input/output error", cloud)
    assert cloud.contents().fleets
    wait_for(lambda: cloud.contents().empty, "end of the lease")
    wait_for(lambda: "annexd.history cannot be written" in on_failing.said(), "remark")
    failing.mend()
    _goes_on(on_failing, cloud)


def test_a_full_disk_does_not_keep_the_daemon_down(
    small: SmallDisk, on_small: Annexd, cloud: LocalCloud
) -> None:
    """Killed and started again with no room, it knows its annex and ends its lease."""
    on_small.start()
    asked = on_small.ask(BIG, "-annex-name", "first", "-lease-duration", "8")
    assert asked.status == 0
    small.fill()
    on_small.stop(signal.SIGKILL)
    on_small.start()
    assert "cannot be rewritten: No space left on device" in on_small.said()
    assert cloud.contents().fleets
    wait_for(lambda: cloud.contents().empty, "end of the lease")
    small.free()
    _goes_on(on_small, cloud)
