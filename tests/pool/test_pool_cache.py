"""What is made once: whole or not at all."""

from pathlib import Path

import pytest

from localcloud.pool import PoolError, suite
from localcloud.pool.cache import cache_root, made_once


def test_a_thing_is_made_once(tmp_path: Path) -> None:
    """The second who asks gets what the first had made."""
    made: list[Path] = []

    def make(directory: Path) -> None:
        made.append(directory)
        (directory / "file").touch()

    entries = [made_once("thing", make, root=tmp_path) for _ in range(2)]
    assert entries == [tmp_path / "thing"] * 2
    assert len(made) == 1
    assert (entries[0] / "file").exists()


def test_an_interrupted_making_is_never_taken_for_a_whole_one(tmp_path: Path) -> None:
    """What a failed maker left is thrown away, and the next begins with an empty directory."""

    def fail(directory: Path) -> None:
        (directory / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made_once("thing", fail, root=tmp_path)
    assert not (tmp_path / "thing").exists()

    entry = made_once("thing", lambda directory: (directory / "all").touch(), root=tmp_path)
    assert [path.name for path in entry.iterdir()] == ["all"]


def test_the_cache_is_where_the_user_says() -> None:
    """HTCONDOR_ANNEX_CACHE comes before the user's cache directory."""
    own = {"HTCONDOR_ANNEX_CACHE": "/srv/cache", "XDG_CACHE_HOME": "/home/one/.cache"}
    assert cache_root(own) == Path("/srv/cache")
    del own["HTCONDOR_ANNEX_CACHE"]
    assert cache_root(own) == Path("/home/one/.cache/htcondor-annex")


def test_an_unknown_suite_is_refused() -> None:
    """A misspelt POOL_SUITE is named together with what it may be."""
    with pytest.raises(PoolError, match="POOL_SUITE='trixy': choose one of trixie, sid"):
        suite({"POOL_SUITE": "trixy"})
    assert suite({}) == "trixie"
