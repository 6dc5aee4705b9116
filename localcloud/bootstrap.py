"""Starts AWS's own runtime client in a function's process, as Lambda's `bootstrap` does.

Arguments: the file with the clock, and the handler, such as `index.handler`. The client itself is
`awslambdaric`, unchanged; it asks the Runtime API at AWS_LAMBDA_RUNTIME_API for its events.

`time.time` follows the file: two doubles, the seconds by which the clock is ahead, and the time at
which it stands still (0 if it runs). `datetime` is not changed, so that signatures stay right.
"""

import mmap
import os
import struct
import sys
import threading
import time

from awslambdaric.__main__ import main as run_client

__all__ = ["CLOCK", "main"]

CLOCK = struct.Struct("dd")
"""Seconds ahead, and epoch seconds at which the clock stands."""


def _follow(path: str) -> None:
    """Let `time.time` follow a file from now on."""
    with open(path, "rb") as file:  # noqa: PTH123  (a bare name of the file system, as mmap wants)
        shared = mmap.mmap(file.fileno(), CLOCK.size, access=mmap.ACCESS_READ)
    real = time.time

    def now() -> float:
        ahead, still = CLOCK.unpack(shared[: CLOCK.size])
        return float(still or real() + ahead)

    time.time = now


def _end_with_parent() -> None:
    """End this process when its standard input closes, as it does when the cloud is gone."""
    while os.read(0, 4096):
        pass
    os._exit(0)


def main() -> None:
    """Run the function's events until the process is ended."""
    clock, handler = sys.argv[1:]
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _follow(clock)
    sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
    run_client([sys.argv[0], handler])


if __name__ == "__main__":
    main()
