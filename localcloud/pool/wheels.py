"""The project as its users install it: its wheel, in the Python of the pool's own machines.

Packages are fetched by this machine's pip, with whatever index that is set up for; a pool's machine
has no way out and installs from the directory of them alone. What the project depends on is a layer
of the root file system, made once; the project's own wheel goes on top of it, new in each run.
"""

import enum
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from email.parser import HeaderParser
from pathlib import Path

from localcloud.pool.cache import digest, made_once, tell
from localcloud.pool.commands import PoolError, run
from localcloud.pool.lab import Lab
from localcloud.pool.node import Node

__all__ = ["Bindings", "built_wheel", "install", "made_layer"]

_ROOT = Path(__file__).resolve().parents[2]
_EXTRAS = "daemon,agent"
_WHEELS = "/mnt/wheels"
_PROJECT = "/mnt/project"
_SECONDS = 600
_NOT_SOURCES = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__")
_QUIET = ("--quiet", "--disable-pip-version-check")
_OFFLINE = (*_QUIET, "--no-index", "--no-cache-dir", "--root-user-action=ignore")

_PLATFORM = """
import sys
from pip._vendor.packaging.tags import platform_tags
print(f"{sys.version_info[0]}.{sys.version_info[1]}", *platform_tags())
"""


class Bindings(enum.Enum):
    """Whose HTCondor bindings the project runs with; each is a way that users install it."""

    PYPI = "pypi"
    """A virtual environment, which has the bindings of PyPI's newest `htcondor`."""
    DEBIAN = "debian"
    """Debian's own Python, which has the bindings of Debian's HTCondor."""

    @property
    def home(self) -> str:
        """The directory that holds all that is installed."""
        return "/opt/htcondor-annex" if self is Bindings.PYPI else "/usr/local"

    @property
    def pip(self) -> tuple[str, ...]:
        """The pip that installs there."""
        if self is Bindings.PYPI:
            return (f"{self.home}/bin/pip", "install", *_OFFLINE)
        return ("/usr/bin/pip", "install", *_OFFLINE, "--break-system-packages")


def built_wheel(directory: Path, project: Path = _ROOT) -> Path:
    """Build the project's wheel, from a copy of its sources that holds nothing else.

    Args:
        directory: Where to put it.
        project: The checkout.

    Raises:
        PoolError: If it cannot be built.
    """
    with tempfile.TemporaryDirectory(prefix="annex-wheel-") as scratch:
        sources = Path(scratch) / "sources"
        shutil.copytree(project, sources, ignore=_NOT_SOURCES)
        pip = [sys.executable, "-m", "pip", "wheel", *_QUIET, "--no-deps"]
        run([*pip, "--wheel-dir", str(directory), str(sources)], seconds=_SECONDS)
    return _only_wheel(directory)


def _only_wheel(directory: Path) -> Path:
    wheels = list(directory.glob("htcondor_annex-*.whl"))
    if len(wheels) != 1:
        raise PoolError(f"{directory} holds {len(wheels)} wheels of the project, not one")
    return wheels[0]


def _requirements(wheel: Path) -> list[str]:
    """Return what the wheel says that it needs, with extras and all."""
    with zipfile.ZipFile(wheel) as packed:
        (name,) = (name for name in packed.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = HeaderParser().parsestr(packed.read(name).decode())
    return sorted(str(line) for line in metadata.get_all("Requires-Dist", []))


def _fetch(wheel: Path, version: str, platforms: Sequence[str], directory: Path) -> None:
    """Fetch everything that the wheel needs, for a pool machine's Python."""
    pip = [sys.executable, "-m", "pip", "download", *_QUIET, "--only-binary=:all:"]
    pip += ["--python-version", version, "--implementation", "cp", "--dest", str(directory)]
    for platform in platforms:
        pip += ["--platform", platform]
    run([*pip, f"{wheel}[{_EXTRAS}]"], seconds=_SECONDS)
    _only_wheel(directory).unlink()


def _fill_layer(lab: Lab, bindings: Bindings, wheel: Path, wheels: Path, directory: Path) -> None:
    """Install what the wheel needs on a machine, and take the result home."""
    shown = {wheels: _WHEELS, wheel.parent: _PROJECT}
    with Node(lab, bindings.value, shown=shown) as node:
        if bindings is Bindings.PYPI:
            node.run("python3", "-m", "venv", bindings.home)
        pip = [*bindings.pip, "--find-links", _WHEELS]
        node.run(*pip, f"{_PROJECT}/{wheel.name}[{_EXTRAS}]", seconds=_SECONDS)
        # The project's own wheel belongs to a run, not to the layer.
        node.run(
            bindings.pip[0], "uninstall", *_QUIET, "--yes", *_system(bindings), "htcondor-annex"
        )
        node.take(bindings.home, directory)


def _system(bindings: Bindings) -> tuple[str, ...]:
    return ("--break-system-packages",) if bindings is Bindings.DEBIAN else ()


def made_layer(lab: Lab, bindings: Bindings, wheel: Path) -> Path:
    """Return the layer with all that the wheel needs, made now if there is none.

    Args:
        lab: The layer fits its base alone.
        bindings: Which of them.
        wheel: The project's.

    Raises:
        PoolError: If a package cannot be fetched or installed.
    """
    needs = digest(lab.base.name, _EXTRAS, *_requirements(wheel))

    def fetch(directory: Path) -> None:
        tell("fetching the packages that the project needs")
        with Node(lab, "platform") as node:
            version, *platforms = node.run("python3", "-c", _PLATFORM).out.split()
        _fetch(wheel, version, platforms, directory)

    wheels = made_once(f"wheels-{needs}", fetch)
    return made_once(
        f"python-{bindings.value}-{needs}",
        lambda directory: _fill_layer(lab, bindings, wheel, wheels, directory),
    )


def install(node: Node, bindings: Bindings, wheel: Path) -> None:
    """Install the project's wheel on a machine that has the layer of what it needs.

    Its programs are in /usr/local/bin then, wherever they are installed.
    """
    copy = f"/tmp/{wheel.name}"  # noqa: S108  (a directory of the machine's own)
    node.give(wheel, copy)
    node.run(*bindings.pip, "--no-deps", copy)
    if bindings is Bindings.PYPI:
        for program in ("condor_annex", "condor_annexd", "condor_annex_ec2"):
            node.run("ln", "-s", f"{bindings.home}/bin/{program}", f"/usr/local/bin/{program}")
