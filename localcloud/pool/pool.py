"""A real HTCondor pool: a central manager that is its own access and execution point.

HTCondor's configuration is the package's own, with as little beside it as a private network of one
machine needs; the knobs that make it quick are for tests and trials.
"""

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from localcloud.closing import Closing
from localcloud.pool.commands import PoolError
from localcloud.pool.master import Master
from localcloud.pool.node import DOMAIN, Node

__all__ = ["CONFIG_DIR", "WORKER_CONFIG", "Pool", "wait_until"]

CONFIG_DIR = "/etc/condor/config.d"
_LOG_DIR = "/var/log/condor"
_PATIENCE = 30.0
_LOOK_SECONDS = 0.1
_T = TypeVar("_T")

# Read before the project's own file, which adds to DAEMON_LIST.
_COMMON = f"""\
CONDOR_HOST = cm.{DOMAIN}
UID_DOMAIN = {DOMAIN}
TRUST_DOMAIN = {DOMAIN}

# Quick, and with nobody to write mail to.
MAIL = /bin/true
RUNBENCHMARKS = False
UPDATE_INTERVAL = 5
MASTER_UPDATE_INTERVAL = 5
"""
_MANAGER = f"""\
{_COMMON}
DAEMON_LIST = MASTER COLLECTOR NEGOTIATOR SCHEDD STARTD
NUM_CPUS = 2
NEGOTIATOR_INTERVAL = 2
NEGOTIATOR_CYCLE_DELAY = 2
NEGOTIATOR_MIN_INTERVAL = 1
SCHEDD_INTERVAL = 5
SCHEDD_MIN_INTERVAL = 1
"""
WORKER_CONFIG = f"""\
{_COMMON}
DAEMON_LIST = MASTER STARTD
NUM_CPUS = 1
"""
"""What a machine has in config.d to be a worker of the pool; it needs a token beside it."""


def wait_until(look: Callable[[], _T], what: str, seconds: float = _PATIENCE) -> _T:
    """Return the first true value that `look` gives.

    Args:
        look: Asked again and again.
        what: What is awaited, for the error.
        seconds: How long.

    Raises:
        PoolError: If there is none in time.
    """
    end = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > end:
            raise PoolError(f"no {what} within {seconds:g} s; at last: {found!r}")
        time.sleep(_LOOK_SECONDS)
    return found


class Pool(Closing):
    """A pool of one machine; use it as a context manager, or call `stop`."""

    def __init__(self, node: Node, config: Mapping[str, str] | None = None) -> None:
        """Start it, and wait until it can run a job.

        Args:
            node: The machine, named `cm`.
            config: Files to put into config.d beside the pool's own `10-pool`: name to text.

        Raises:
            PoolError: If it does not come up, with what its master said.
        """
        self.node = node
        for name, text in {"10-pool": _MANAGER, **(config or {})}.items():
            self.configure(name, text)
        self.master = Master(node)
        try:
            wait_until(self._up, "pool that is up")
        except BaseException:
            with contextlib.suppress(PoolError):  # the first error is the one to tell
                self.stop()
            raise

    def stop(self) -> None:
        """End its master and with it its daemons.

        Raises:
            PoolError: If it has to be killed.
        """
        self.master.stop()

    close = stop

    def _up(self) -> bool:
        if not self.master.alive:
            raise PoolError(
                f"condor_master has ended: {self.master.said()} {self.log('MasterLog')[-2000:]}"
            )
        types = self.ads("-any", "-af", "MyType")
        return {"Machine", "Scheduler", "Negotiator"} <= set(types)

    def configure(self, name: str, text: str) -> None:
        """Write a file into the machine's config.d; `condor_reconfig` makes it known."""
        self.node.write(f"{CONFIG_DIR}/{name}", text)

    def token(self, seconds: int) -> str:
        """Return a token with which a machine may advertise itself as a worker, and no more.

        Args:
            seconds: How long it is good for.
        """
        rights = ["ADVERTISE_STARTD", "ADVERTISE_MASTER", "READ"]
        create = ["condor_token_create", "-identity", f"condor@{DOMAIN}", "-lifetime", str(seconds)]
        return self.node.run(*create, *(word for one in rights for word in ("-authz", one))).out

    def ads(self, *arguments: str) -> list[str]:
        """Return the lines of `condor_status` with these arguments; none if it gets no answer."""
        done = self.node.run("condor_status", *arguments, check=False)
        return done.out.splitlines() if done.status == 0 else []

    def children(self) -> dict[str, int]:
        """Return the daemons that run under the master: program name to process id."""
        master = self.master.pid
        listed = self.node.run("ps", "-o", "pid=,comm=,args=", "--ppid", str(master), check=False)
        found = {}
        for line in listed.out.splitlines():
            pid, *words = line.split()
            # A script's own name is an argument of its interpreter.
            names = [word.rpartition("/")[2] for word in words]
            found[next((name for name in names if name.startswith("condor_")), names[0])] = int(pid)
        return found

    def log(self, name: str) -> str:
        """Return the text of one of HTCondor's logs, such as `MasterLog`."""
        return self.node.read(f"{_LOG_DIR}/{name}")
