"""Fixtures that several parts of the tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from localcloud import LocalCloud
from tests.support import ACCESS_KEY, SECRET_KEY, Annexd, make_lease_function


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say what must stay together where several workers share the tests, the longest first.

    Tests of a file share its daemon; all tests with a real pool share that one.
    """

    def rank(item: pytest.Item) -> int:
        return 0 if "crash" in item.path.parts else 1 if item.get_closest_marker("pool") else 2

    items.sort(key=rank)
    for item in items:
        group = "pool" if item.get_closest_marker("pool") else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def cloud_process() -> Iterator[LocalCloud]:
    """One local cloud for the whole run; it takes the tests' key alone."""
    with LocalCloud(access_keys={ACCESS_KEY: SECRET_KEY}) as cloud:
        yield cloud


@pytest.fixture
def cloud(cloud_process: LocalCloud) -> LocalCloud:
    """An empty cloud with a lease function in it."""
    cloud_process.reset()
    make_lease_function(cloud_process)
    cloud_process.forget()
    return cloud_process


@pytest.fixture(scope="session")
def annexd_process(
    cloud_process: LocalCloud, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Annexd]:
    """One daemon for the tests that leave it as it is; at the end it must end cleanly."""
    annexd = Annexd(tmp_path_factory.mktemp("annexd"), cloud_process.endpoint, {})
    annexd.start()
    yield annexd
    assert annexd.stop() == 0


@pytest.fixture
def annexd(annexd_process: Annexd, cloud: LocalCloud) -> Iterator[Annexd]:
    """The shared daemon before an empty cloud; every test must leave it up."""
    assert cloud.endpoint
    yield annexd_process
    assert annexd_process.process is not None
    assert annexd_process.process.poll() is None, "the daemon has ended: " + annexd_process.said()


@pytest.fixture
def own_annexd(cloud: LocalCloud, tmp_path: Path) -> Iterator[Annexd]:
    """A daemon of the test's own, not yet started."""
    annexd = Annexd(tmp_path, cloud.endpoint, {})
    yield annexd
    if annexd.process is not None:
        annexd.stop()
