"""Everything that can go wrong, each with its exit status and with whether waiting may heal it."""

from enum import Enum
from typing import ClassVar

__all__ = [
    "AWSError",
    "AgentError",
    "Healing",
    "InstallError",
    "MetadataError",
    "MetadataRefusedError",
    "NoGrantYetError",
    "NoUsableGrantError",
    "NotByDeadlineError",
    "NotOnEC2Error",
    "RefusedError",
    "UsageError",
]


class Healing(Enum):
    """Whether an error goes away by itself."""

    NEVER = "never"
    """Waiting does not help: end, and say what is wrong."""

    SETTLING = "settling"
    """Normal while a new role spreads through AWS, final once that time is over."""

    ALWAYS = "always"
    """Throttling, a server's error, the network: worth trying until the deadline."""


class AgentError(Exception):
    """The root of this package's errors; its text is one line for whoever reads the log."""

    exit_status: ClassVar[int] = 3
    healing: Healing = Healing.NEVER

    @property
    def retryable(self) -> bool:
        """Whether trying the same again can succeed."""
        return self.healing is not Healing.NEVER


class UsageError(AgentError):
    """An option is wrong."""

    exit_status = 1


class NotOnEC2Error(AgentError):
    """No metadata service answers as EC2's does: there is nothing to do here."""

    exit_status = 0


class MetadataError(AgentError):
    """The metadata service is there, but did not answer properly this time."""

    healing = Healing.ALWAYS


class MetadataRefusedError(AgentError):
    """The metadata service is there and will not serve this instance."""

    exit_status = 2


class NoUsableGrantError(AgentError):
    """The role's policies are known and none of them grants one object."""

    exit_status = 2


class NoGrantYetError(NoUsableGrantError):
    """No grant can be seen, but neither can all of the role: it may be new."""

    healing = Healing.SETTLING


class AWSError(AgentError):
    """AWS, or the way to it, answered with an error.

    Args:
        message: What was asked and what came back, in one line.
        code: AWS's own code, such as `AccessDenied`; empty when no answer came.
        healing: Whether waiting may help.
    """

    def __init__(self, message: str, *, code: str, healing: Healing) -> None:
        """An answer, or none, of AWS."""
        super().__init__(message)
        self.code = code
        self.healing = healing


class NotByDeadlineError(AgentError):
    """An error that could have healed did not do so in time."""


class RefusedError(AgentError):
    """What was fetched is not a configuration that may be installed."""

    exit_status = 4


class InstallError(AgentError):
    """The configuration cannot be put in its place: no room, no right, no directory."""

    exit_status = 4
