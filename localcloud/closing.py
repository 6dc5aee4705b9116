"""What every part that holds processes or sockets shares: it is a context manager that closes."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

__all__ = ["Closing"]


class Closing(ABC):
    """Gives `close` the `with` statement."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what is held; again is no error."""

    def __enter__(self) -> Self:
        """Return this object."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()
