"""Small processes that the daemon forks at its start, before it has threads."""

import os
import signal
import socket
from collections.abc import Callable

__all__ = ["fork_helper", "leave_terminal"]


def leave_terminal() -> None:
    """Let go of the standard streams, so that whoever started us need not wait for them."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)


def fork_helper(serve: Callable[[socket.socket], None]) -> tuple[socket.socket, int]:
    """Fork a process that answers messages until the daemon closes its end.

    Args:
        serve: What the process does with its end of the channel; returns when nothing more comes.

    Returns:
        The daemon's end (SOCK_SEQPACKET: one message, one packet), and the process id.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            ours.close()
            leave_terminal()
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
                signal.signal(number, signal.SIG_IGN)  # it ends with the daemon, not before
            serve(theirs)
            status = 0
        finally:
            os._exit(status)
    theirs.close()
    return ours, pid
