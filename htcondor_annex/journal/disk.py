"""Where the journal waits for the disk: in a thread, or in place where that is over sooner.

The way to a thread and back takes as long as a good disk takes for a small write and its fdatasync.
So a small job is done in place while all of late have been quick: the event loop is held up no
longer than the hand-over would have kept it busy. The first slow one sends the next to the thread.
"""

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["Disk"]

_T = TypeVar("_T")
_Job = tuple[Callable[[], None], asyncio.AbstractEventLoop, Callable[[], None]]
_QUICK_SECONDS = 0.001
_TRUSTED = 8  # so many quick ones in a row


class Disk:
    """One thread, one job at a time."""

    def __init__(self) -> None:
        """Start the thread."""
        self._quick = 0
        # A ThreadPoolExecutor would do the same, at twice the cost.
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def do(
        self, work: Callable[[], _T], then: Callable[[_T | Exception], None], *, small: bool = False
    ) -> None:
        """Do some work, then hand what it returned, or raised, to the event loop that runs now.

        Args:
            work: What to do; nothing else is done meanwhile.
            then: Called in the event loop, at once or later.
            small: It may be done in place.
        """
        if small and self._quick >= _TRUSTED:
            then(self._timed(work))
            return
        outcome: list[_T | Exception] = []
        self._jobs.put(
            (
                lambda: outcome.append(self._timed(work)),
                asyncio.get_running_loop(),
                lambda: then(outcome[0]),
            )
        )

    def _timed(self, work: Callable[[], _T]) -> _T | Exception:
        began = time.perf_counter()
        try:
            return work()
        except Exception as error:  # noqa: BLE001  (whoever waits must hear of any)
            return error
        finally:
            self._quick = self._quick + 1 if time.perf_counter() - began < _QUICK_SECONDS else 0

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
