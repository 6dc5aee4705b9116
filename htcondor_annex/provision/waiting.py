"""How long things are tried again, and what cuts a wait short."""

import asyncio
import contextlib
import random
from collections.abc import Iterator
from dataclasses import dataclass

from htcondor_annex.errors import AnnexError

__all__ = ["Halt", "Patience", "backoff"]

_FIRST = 0.5
_LONGEST = 60.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to persist; seconds.

    Attributes:
        retry: How long a step is tried again (ANNEXD_RETRY_TIME).
        confirm: How long a thing must stay unseen before it counts as gone (ANNEXD_CONFIRM_TIME).
    """

    retry: float
    confirm: float


def backoff() -> Iterator[float]:
    """Give the waits between tries: doubling from half a second to a minute, with jitter.

    The jitter ("Exponential backoff and jitter", AWS Architecture Blog) keeps annexes that failed
    together from trying together.
    """
    ceiling = _FIRST
    while True:
        yield random.uniform(ceiling / 2, ceiling)  # noqa: S311  (a wait, no secret)
        ceiling = min(2 * ceiling, _LONGEST)


class Halt:
    """Says to one piece of work that it is to stop, and why."""

    def __init__(self) -> None:
        """Start with nothing said."""
        self._event = asyncio.Event()
        self.reason: AnnexError | None = None

    def set(self, reason: AnnexError) -> None:
        """Say it; the first reason counts."""
        self.reason = self.reason or reason
        self._event.set()

    async def sleep(self, seconds: float) -> None:
        """Wait so long, or until it is said."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
