"""Disks that get full or fail, for the journal and the history."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.disks import FailingDisk, SmallDisk, failing_disk, small_disk


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallDisk]:
    """A file system of 64 KiB."""
    with small_disk(tmp_path) as disk:
        yield disk


@pytest.fixture
def failing(tmp_path: Path) -> Iterator[FailingDisk]:
    """A file system that can be made to fail."""
    with failing_disk(tmp_path) as disk:
        yield disk
