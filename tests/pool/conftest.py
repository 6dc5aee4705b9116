"""A real pool for the tests marked `pool`, made once for the run and for each kind of bindings."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from localcloud import LocalCloud
from localcloud.pool import (
    Bindings,
    Door,
    Lab,
    Node,
    Pool,
    built_wheel,
    install,
    made_base,
    made_layer,
    missing_parts,
    suite,
)
from tests.pool.support import InPool, pool_files

_LOGS = ("MasterLog", "AnnexdLog")
_LINES = 40


@pytest.fixture(scope="session")
def base() -> Path:
    """A Debian root file system with HTCondor; where it must be possible, nothing is skipped."""
    if missing := missing_parts():
        say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        say("the pool needs " + "; ".join(missing))
    return made_base(suite())


@pytest.fixture(scope="session")
def lab(base: Path) -> Iterator[Lab]:
    """A private network."""
    with Lab(base) as made:
        yield made


@pytest.fixture(scope="session")
def wheel(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, built from this checkout."""
    assert base.is_dir()  # built only where it can be used
    return built_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session", params=list(Bindings), ids=lambda bindings: bindings.value)
def pool(
    request: pytest.FixtureRequest, lab: Lab, wheel: Path, cloud_process: LocalCloud
) -> Iterator[Pool]:
    """A pool with the project installed and the local cloud in AWS's place."""
    bindings: Bindings = request.param
    port = urlsplit(cloud_process.endpoint).port
    assert port is not None
    with Node(lab, "cm", layers=[made_layer(lab, bindings, wheel)]) as node:
        install(node, bindings, wheel)
        files = pool_files(cloud_process.endpoint, bindings)
        with Door(node, port), Pool(node, files) as made:
            yield made


@pytest.fixture
def annexd(pool: Pool) -> Iterator[InPool]:
    """The daemon, up before each test and after it."""
    inside = InPool(pool)
    inside.wait_until_up()
    yield inside
    inside.wait_until_up()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the pool's logs beside a test that failed."""
    report = yield
    funcargs = getattr(item, "funcargs", {})
    pool = funcargs.get("pool")
    if report.failed and isinstance(pool, Pool):
        for name in _LOGS:
            tail = pool.log(name).splitlines()[-_LINES:]
            report.sections.append((name, "\n".join(tail)))
    return report
