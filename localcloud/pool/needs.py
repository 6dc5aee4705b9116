"""What a machine must have before a lab can be made on it."""

import os
import shutil
import subprocess
import sys

__all__ = ["missing_parts"]

_PROGRAMS = ("apt-get", "chroot", "mount", "nsenter", "sh", "unshare")
_SECONDS = 10


def missing_parts() -> list[str]:
    """Return what is missing here, each as words that end `the pool needs ...`; none if nothing."""
    if not sys.platform.startswith("linux"):
        return ["Linux"]
    if os.geteuid() != 0:
        return ["root: it mounts file systems and makes networks, all of them private"]
    absent = [name for name in _PROGRAMS if shutil.which(name) is None]
    if absent:
        return [f"the programs {', '.join(absent)} (Debian's apt and util-linux)"]
    tried = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "true"],  # noqa: S607  (found a moment ago)
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if tried.returncode != 0:
        return [f"kernel namespaces ({tried.stderr.strip()})"]
    return []
