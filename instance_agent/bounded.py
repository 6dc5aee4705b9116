"""Calls that wait on the network, given a time in which to end.

The time-outs of sockets bound one read each; a peer that sends a byte now and then keeps a call
alive for ever. So calls run in threads of their own, and whoever asked stops waiting when the time
is over. The threads are daemons: one that is stuck ends with the process and never delays it.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from typing import TypeVar

__all__ = ["in_time", "together"]

T = TypeVar("T")

WIDTH = 8
"""At most so many calls are out at once: IAM throttles an account, and thousands may boot."""


def in_time(call: Callable[[], T], seconds: float) -> T:
    """Answer of one call.

    Raises:
        TimeoutError: It did not end within `seconds`.
    """
    return together([call], seconds)[0]


def together(calls: Sequence[Callable[[], T]], seconds: float) -> list[T]:
    """Answers of all calls, in the order given; at most `WIDTH` of them run at a time.

    Args:
        calls: What to run; none needs the answer of another.
        seconds: Time for all of them together.

    Raises:
        TimeoutError: Not all of them ended within `seconds`.
        Exception: What the first failing call, in the order given, raised.
    """
    futures: list[Future[T]] = [Future() for _ in calls]
    waiting = iter(list(zip(calls, futures, strict=True)))
    turn = threading.Lock()

    def work() -> None:
        while True:
            with turn:
                item = next(waiting, None)
            if item is None:
                return
            call, future = item
            try:
                future.set_result(call())
            except Exception as error:  # noqa: BLE001 - handed to the caller, who is another thread
                future.set_exception(error)

    for _ in range(min(WIDTH, len(calls))):
        threading.Thread(target=work, daemon=True).start()
    _, unfinished = wait(futures, timeout=seconds)
    if unfinished:
        raise TimeoutError(f"no whole answer within {seconds:.0f} s")
    return [future.result() for future in futures]
