"""condor_master on a machine: its start, its configuration, its end."""

import subprocess
import tempfile
from typing import IO

from localcloud.pool.commands import PoolError
from localcloud.pool.node import Node

__all__ = ["Master"]

_PID_FILE = "/run/condor/master.pid"
_GRACE_SECONDS = 30

# What systemd would do at boot with the package's own list of directories.
_DIRECTORIES = """
cat /usr/lib/tmpfiles.d/*condor*.conf | while read -r kind path mode owner group rest; do
    if [ "$kind" = d ]; then install -d -m "$mode" -o "$owner" -g "$group" "$path"; fi
done
"""


class Master:
    """A condor_master that runs on a machine."""

    def __init__(self, node: Node) -> None:
        """Start it; its daemons come up by and by.

        Args:
            node: The machine; its configuration is in place.
        """
        self.node = node
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed by stop)
        node.run("sh", "-euc", _DIRECTORIES)
        command = ["/usr/sbin/condor_master", "-f", "-pidfile", _PID_FILE]
        self._process = subprocess.Popen(  # noqa: S603  (arguments, never a shell's line)
            [*node.entering(), *command],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
        )

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id as the machine counts, or 0 while it has not written it."""
        return int(self.node.read(_PID_FILE) or 0)

    def said(self) -> str:
        """Return what it wrote on its standard output, before it had a log."""
        self._output.seek(0)
        return self._output.read().decode(errors="replace")

    def stop(self) -> None:
        """End it as an administrator would, by a signal to its own recorded process; once.

        Raises:
            PoolError: If it has to be killed.
        """
        try:
            if self.alive:
                self._signal("TERM")
                self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired as error:
            self._signal("KILL")
            self._process.wait(_GRACE_SECONDS)
            raise PoolError(
                f"{self.node.name}: condor_master did not end in {_GRACE_SECONDS} s"
            ) from error
        finally:
            self._output.close()

    def _signal(self, name: str) -> None:
        self.node.run("kill", f"-{name}", str(self.pid))
