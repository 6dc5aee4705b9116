"""Programs of Debian's packages, installed where they are missing."""

import os
import shutil
from collections.abc import Sequence

from localcloud.pool.cache import tell
from localcloud.pool.commands import PoolError, run

__all__ = ["INSTALL_SECONDS", "build_environment", "have"]

INSTALL_SECONDS = 900


def build_environment() -> dict[str, str]:
    """Return the environment of a build: plain, but with the machine's proxies."""
    proxies = ("http_proxy", "https_proxy", "no_proxy")
    names = {*proxies, *(name.upper() for name in proxies)}
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
        **{name: value for name, value in os.environ.items() if name in names},
    }


def have(program: str, packages: Sequence[str]) -> None:
    """Install packages by apt-get if a program is not there; as root.

    Raises:
        PoolError: If that fails, with what apt-get said.
    """
    if shutil.which(program, path=build_environment()["PATH"]) is not None:
        return
    tell(f"installing {packages[0]} by apt-get")
    install = ["apt-get", "-q", "-y", "--no-install-recommends", "install", *packages]
    try:
        run(install, seconds=INSTALL_SECONDS, environment=build_environment())
    except PoolError:  # a fresh image has no list of packages yet
        run(["apt-get", "-q", "update"], seconds=INSTALL_SECONDS, environment=build_environment())
        run(install, seconds=INSTALL_SECONDS, environment=build_environment())
