"""The daemon's log: HTCondor's own logging, or the terminal in the same form."""

import logging
import os
import sys
from pathlib import Path

from htcondor_annex import condor
from htcondor_annex.errors import KnobError

__all__ = ["to_condor", "to_terminal"]

_DATES = "%m/%d/%y %H:%M:%S"  # as dprintf writes them


class _CondorHandler(logging.Handler):
    """Hands each line to HTCondor's logging, which rotates and dates it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        text = self.format(record).replace("\n", "\n\t")
        condor.log(text, debug=record.levelno < logging.INFO)


def _install(handler: logging.Handler) -> None:
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # Below WARNING botocore would log requests, and with them what must stay secret.
    for name in ("boto3", "botocore", "urllib3", "asyncio", "aiohttp"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("htcondor_annex").setLevel(logging.DEBUG)


class _Words(logging.Formatter):
    """Leaves the level out where it is the ordinary one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return `TEXT` or `LEVEL: TEXT`."""
        text = super().format(record)
        return text if record.levelno <= logging.INFO else f"{record.levelname}: {text}"


def to_terminal() -> None:
    """Log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", _DATES))
    handler.setLevel(logging.INFO)
    _install(handler)


def to_condor(path: str) -> None:
    """Log through HTCondor to the daemon's log.

    Args:
        path: ANNEXD_LOG, to be looked at first: the bindings end the process (status 44) when it
            cannot be written.

    Raises:
        KnobError: If it cannot be written.
    """
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644))
    except OSError as error:
        raise KnobError(
            f"ANNEXD_LOG: {path} cannot be written: {error.strerror}",
            advice=f"Set ANNEXD_LOG to a file in a directory that the user can write "
            f"({Path(path).parent} is not), or log to the terminal with -t.",
        ) from error
    condor.enable_log("ANNEXD_LOG", path)
    handler = _CondorHandler()
    handler.setFormatter(_Words("%(message)s"))
    _install(handler)
