"""Ends a process as a fault: with SIGKILL, and surely the one that was meant.

A process is held by a file descriptor from the moment it is named (pidfd_open(2)), so that a
process that later gets the same id is never met.
"""

import contextlib
import os
import select
import signal

__all__ = ["Kills"]

_PATIENCE = 30_000
"""Milliseconds. A process that hangs in the kernel cannot be waited for longer."""


class Kills:
    """The processes that may have to end."""

    def __init__(self) -> None:
        """Hold none."""
        self._held: dict[int, int] = {}

    def hold(self, pid: int) -> None:
        """Take hold of a process.

        Args:
            pid: Its id.

        Raises:
            ValueError: If there is no such process, or if it is ours, our parent's or init's.
        """
        if pid in (1, os.getpid(), os.getppid()):
            raise ValueError(f"process {pid} is not a child of the caller's")
        try:
            descriptor = os.pidfd_open(pid)
        except (OSError, OverflowError) as error:
            raise ValueError(f"process {pid} cannot be held: {error}") from None
        self._let_go(pid)
        self._held[pid] = descriptor

    def end(self, pid: int) -> None:
        """End a process that is held, and wait until it has ended; again is no error."""
        descriptor = self._held[pid]
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        # What runs on another processor must not see the connection break, and act on it.
        ended.poll(_PATIENCE)

    def clear(self) -> None:
        """Let go of all."""
        for pid in list(self._held):
            self._let_go(pid)

    def _let_go(self, pid: int) -> None:
        descriptor = self._held.pop(pid, None)
        if descriptor is not None:
            os.close(descriptor)
