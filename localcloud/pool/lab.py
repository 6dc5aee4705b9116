"""A lab: one private network, and the file systems of the machines on it.

All of it lives in kernel namespaces that hang on processes which read a pipe from us. When this
process ends, in whatever way, the pipe closes, they end, and the kernel takes back every mount,
link and process: nothing has to be found and cleaned afterwards, and two labs never see each other.
"""

import contextlib
import subprocess
from collections.abc import Sequence
from pathlib import Path

from localcloud.closing import Closing
from localcloud.pool.cache import cache_root
from localcloud.pool.commands import Done, PoolError, run

__all__ = ["NETWORK", "Held", "Lab"]

NETWORK = "10.77.0"
"""The first three bytes of the lab's addresses; it is a network of its own, so any would do."""
_BRIDGE = "lab0"
_MACHINES = 253  # the bridge has the address after these
_STOP_SECONDS = 10

# $1: where the machines' file systems are to be (in memory); $2: the root that has `ip`.
_HOLD = f"""
set -eu
mount -t tmpfs -o mode=0755 lab "$1"
mount -t proc proc "$2/proc"  # where ip looks a process's network up
chroot "$2" sh -euc '
    ip link set lo up
    ip link add {_BRIDGE} type bridge
    ip addr add {NETWORK}.254/24 dev {_BRIDGE}
    ip link set {_BRIDGE} up'
echo ready
exec cat >/dev/null
"""


class Held:
    """Namespaces, and the process that they hang on; it lives until `release` or our end."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start the process, which says `ready` when all is in place.

        Raises:
            PoolError: If it ends instead, with what it said.
        """
        self._process = subprocess.Popen(  # noqa: S603  (arguments, never a shell's line)
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None  # noqa: S101  (for mypy: a pipe was asked for)
        if self._process.stdout.readline().strip() != "ready":
            said = self._process.communicate(timeout=_STOP_SECONDS)[1].strip()
            self._close()
            raise PoolError(f"namespaces cannot be made here: {said}")

    @property
    def pid(self) -> int:
        """The process whose namespaces these are."""
        return self._process.pid

    def _close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def release(self) -> None:
        """Let the namespaces go; again is no error."""
        self._close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_STOP_SECONDS)


class Lab(Closing):
    """A private network with a bridge, and memory for its machines' file systems."""

    def __init__(self, base: Path) -> None:
        """Make it.

        Args:
            base: The root file system that every machine starts from.

        Raises:
            PoolError: If the kernel or the rights of this process do not allow it.
        """
        self.base = base
        self.storage = cache_root() / "lab"  # an empty directory: each lab mounts its own over it
        self.storage.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._machines = 0
        apart = ["unshare", "--mount", "--propagation", "private", "--net"]
        self._held = Held([*apart, "sh", "-c", _HOLD, "sh", str(self.storage), str(base)])

    def close(self) -> None:
        """Take the network down; machines that still run lose it."""
        self._held.release()

    @property
    def entering(self) -> list[str]:
        """The command that runs another in the lab's network and among its mounts."""
        return ["nsenter", "--target", str(self._held.pid), "--mount", "--net", "--"]

    def number(self) -> int:
        """Return a number that no machine of this lab has had.

        Raises:
            PoolError: If all are used up.
        """
        self._machines += 1
        if self._machines > _MACHINES:
            raise PoolError(f"a lab has at most {_MACHINES} machines")
        return self._machines

    def connect(self, number: int, pid: int) -> str:
        """Put a machine on the network.

        Args:
            number: The machine's.
            pid: A process whose network namespace is the machine's.

        Returns:
            Its address.
        """
        address = f"{NETWORK}.{number}"
        self._ip(
            self.entering,
            f"link add machine{number} type veth peer name eth0 netns {pid}",
            f"link set machine{number} master {_BRIDGE} up",
        )
        self._ip(
            ["nsenter", "--target", str(pid), "--net", "--"],
            "link set lo up",
            f"addr add {address}/24 dev eth0",
            "link set eth0 up",
        )
        return address

    def _ip(self, entering: Sequence[str], *lines: str) -> Done:
        return run(
            [*entering, "chroot", str(self.base), "ip", "-batch", "-"], stdin="\n".join(lines)
        )
