"""Running the machine's own programs, with errors that say what they said."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Done", "PoolError", "run"]

_TAIL = 3000  # characters of a failed program's output that an error repeats


class PoolError(Exception):
    """The pool, or the rootfs that it runs from, cannot be made or does not do what it should."""


@dataclass(frozen=True, slots=True)
class Done:
    """A program that has ended.

    Attributes:
        status: Its exit status; negative for the signal that ended it.
        out: Its standard output.
        err: Its standard error.
    """

    status: int
    out: str
    err: str


def run(
    argv: Sequence[str],
    *,
    stdin: str = "",
    seconds: float = 60,
    environment: Mapping[str, str] | None = None,
    check: bool = True,
) -> Done:
    """Run a program to its end.

    Args:
        argv: The program and its arguments.
        stdin: What it reads on its standard input.
        seconds: How long it may take.
        environment: Its whole environment; None leaves it ours.
        check: Whether an exit status other than 0 is an error.

    Raises:
        PoolError: If it cannot be started, takes too long, or (with `check`) fails.
    """
    try:
        ended = subprocess.run(  # noqa: S603  (arguments, never a shell's line)
            argv,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            env=environment,
            check=False,
        )
    except FileNotFoundError as error:
        raise PoolError(f"{argv[0]} is not on this machine: install it") from error
    except subprocess.TimeoutExpired as error:
        raise PoolError(f"{' '.join(argv)}: not done after {seconds:g} s") from error
    if check and ended.returncode != 0:
        said = (ended.stdout + ended.stderr).strip()[-_TAIL:]
        raise PoolError(f"{' '.join(argv)}: exit status {ended.returncode}: {said}")
    return Done(ended.returncode, ended.stdout, ended.stderr)
