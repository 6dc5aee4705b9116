"""The errors of the daemon and of the tool: one root, and what each means to its reader.

Every error says whether trying again can help, whether AWS may have acted, and what the user
can do. The wire form (`AnnexError.to_wire`) is what the tool prints; it never holds a secret.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, ClassVar

__all__ = [
    "AccessRefusedError",
    "AnnexError",
    "AwsError",
    "BusyError",
    "CalledOffError",
    "ConfigError",
    "DaemonUnreachableError",
    "ExitStatus",
    "JournalError",
    "JournalHeldError",
    "KeyFileError",
    "KnobError",
    "NoSuchAnnexError",
    "NotDoneError",
    "ReplyError",
    "RequestError",
    "SetupError",
    "ShuttingDownError",
]


class ExitStatus(IntEnum):
    """How `condor_annex` ends; the numbers are those of HTCondor's first condor_annex."""

    OK = 0
    USAGE = 1
    JSON = 2
    LOCATE = 3
    SEND = 4
    REPLY = 5
    USER_DATA = 6


class AnnexError(Exception):
    """Root of all errors of this package.

    Args:
        message: What is wrong and where; one sentence, without a final period.
        problems: Every single problem, when there are several (one line each).
        advice: What the user can do about it; a sentence, or empty.
    """

    code: ClassVar[str] = "AnnexError"
    exit_status: ClassVar[ExitStatus] = ExitStatus.REPLY
    http_status: ClassVar[int] = 500
    retryable: bool = False
    aws_may_have_acted: bool = False

    def __init__(self, message: str, *, problems: Sequence[str] = (), advice: str = "") -> None:
        """Hold the message, the list of problems and the advice."""
        super().__init__(message)
        self.message = message
        self.problems = tuple(problems)
        self.advice = advice

    def to_wire(self) -> dict[str, Any]:
        """Return the error as the JSON object that crosses the socket."""
        return {
            "code": self.code,
            "message": self.message,
            "problems": list(self.problems),
            "advice": self.advice,
            "retryable": self.retryable,
            "aws_may_have_acted": self.aws_may_have_acted,
            "exit_status": int(self.exit_status),
        }


class KnobError(AnnexError):
    """The HTCondor configuration holds values that the daemon cannot use."""

    code = "KnobError"
    exit_status = ExitStatus.LOCATE


class RequestError(AnnexError):
    """The request itself is wrong: an option, a duration, an ARN, a name."""

    code = "RequestError"
    exit_status = ExitStatus.USAGE
    http_status = 400


class ConfigError(AnnexError):
    """The Spot Fleet config.json is wrong."""

    code = "ConfigError"
    exit_status = ExitStatus.JSON
    http_status = 400


class KeyFileError(AnnexError):
    """A key file cannot be used; the message names the file and the reason, never its content."""

    code = "KeyFileError"
    exit_status = ExitStatus.REPLY
    http_status = 400


class AccessRefusedError(AnnexError):
    """The caller may not do this."""

    code = "AccessRefusedError"
    http_status = 403


class SetupError(AnnexError):
    """What -setup, -check-setup or -teardown is to do cannot be done, or found to be well."""

    code = "SetupError"


class ShuttingDownError(AnnexError):
    """The daemon is ending, and takes no new work."""

    code = "ShuttingDownError"
    http_status = 503
    retryable = True


class CalledOffError(AnnexError):
    """What was asked for has been called off by its owner, or its lease was over, meanwhile."""

    code = "CalledOffError"
    http_status = 409


class NoSuchAnnexError(AnnexError):
    """The caller has no such annex."""

    code = "NoSuchAnnexError"
    exit_status = ExitStatus.USAGE
    http_status = 404


class NotDoneError(AnnexError):
    """What was asked for is under way, but not done within the time that a caller waits."""

    code = "NotDoneError"
    http_status = 504
    retryable = True
    aws_may_have_acted = True


class BusyError(AnnexError):
    """The daemon serves as many callers as it may."""

    code = "BusyError"
    http_status = 503
    retryable = True


class JournalError(AnnexError):
    """The journal cannot be read or written; nothing was begun."""

    code = "JournalError"
    http_status = 503
    retryable = True


class JournalHeldError(JournalError):
    """Another daemon holds the journal."""


class DaemonUnreachableError(AnnexError):
    """No daemon answers on the socket."""

    code = "DaemonUnreachableError"
    exit_status = ExitStatus.LOCATE
    retryable = True


class ReplyError(AnnexError):
    """The daemon's answer ended early or makes no sense."""

    code = "ReplyError"
    exit_status = ExitStatus.REPLY
    retryable = True
    aws_may_have_acted = True


class AwsError(AnnexError):
    """A call to AWS failed.

    Args:
        message: What was asked and what AWS answered.
        aws_code: AWS's own error code, or the class of the transport's failure.
        retryable: Whether the same call may succeed later.
        aws_may_have_acted: Whether the outcome is unknown (a time-out, a cut connection, a 5xx).
        advice: What the user can do.
    """

    code = "AwsError"
    http_status = 502

    def __init__(
        self,
        message: str,
        *,
        aws_code: str,
        retryable: bool,
        aws_may_have_acted: bool,
        advice: str = "",
    ) -> None:
        """Hold AWS's code beside the message."""
        super().__init__(message, advice=advice)
        self.aws_code = aws_code
        self.retryable = retryable
        self.aws_may_have_acted = aws_may_have_acted

    def to_wire(self) -> dict[str, Any]:
        """Return the wire form, with AWS's code."""
        return {**super().to_wire(), "aws_code": self.aws_code}
