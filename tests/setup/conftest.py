"""A host before an empty cloud."""

from pathlib import Path

import pytest

from localcloud import LocalCloud
from tests.setup.host import Host


@pytest.fixture
def empty(cloud_process: LocalCloud) -> LocalCloud:
    """An empty account: nobody has made a lease function in it."""
    cloud_process.reset()
    return cloud_process


@pytest.fixture
def host(empty: LocalCloud, tmp_path: Path) -> Host:
    """A host whose administrator runs the tool."""
    return Host(tmp_path, empty.endpoint)
