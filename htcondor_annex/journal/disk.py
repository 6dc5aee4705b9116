"""The thread in which the journal waits for the disk."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["Disk"]

_T = TypeVar("_T")
_Job = tuple[Callable[[], None], asyncio.AbstractEventLoop, Callable[[], None]]


class Disk:
    """One thread, one job at a time.

    A ThreadPoolExecutor would do the same at twice the cost: what a commit takes beside its write
    and its fdatasync is mostly the way to this thread and back.
    """

    def __init__(self) -> None:
        """Start the thread."""
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], _T], then: Callable[[_T | Exception], None]) -> None:
        """Do some work, then hand what it returned, or raised, to the event loop that runs now."""
        outcome: list[_T | Exception] = []

        def job() -> None:
            try:
                outcome.append(work())
            except Exception as error:  # noqa: BLE001  (whoever waits must hear of any)
                outcome.append(error)

        self._jobs.put((job, asyncio.get_running_loop(), lambda: then(outcome[0])))

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            work, loop, then = job
            work()
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
                loop.call_soon_threadsafe(then)

    def stop(self) -> None:
        """End the thread when its work is done."""
        self._jobs.put(None)
        self._thread.join()
