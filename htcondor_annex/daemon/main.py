"""`condor_annexd`: starts under condor_master, or on its own for trials.

The order matters: signals are unblocked, the key reader is forked while there is root, root is
given up, HTCondor's bindings are loaded, the link to the pool is forked, and only then come threads
and the large libraries.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from htcondor_annex import __version__, condor
from htcondor_annex.daemon import logs, privileges
from htcondor_annex.daemon.helpers import leave_terminal
from htcondor_annex.daemon.keyreader import KeyReader, OwnKeyReader, RootKeyReader
from htcondor_annex.daemon.poollink import PoolLink
from htcondor_annex.errors import AnnexError, KnobError
from htcondor_annex.knobs import read_knobs

__all__ = ["main"]

_EXIT_FAILED = 1
_EXIT_NOT_AGAIN = 99  # condor_master does not start the daemon again after this one


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="condor_annexd", description="HTCondor's annex daemon", add_help=False
    )
    parser.add_argument("-f", dest="foreground", action="store_true", help="stay in the foreground")
    parser.add_argument("-t", dest="terminal", action="store_true", help="log to the terminal")
    parser.add_argument("-help", action="help", help="show this and end")
    parser.add_argument("-version", action="version", version=f"condor_annexd {__version__}")
    return parser.parse_args(argv)


def _unblock_signals() -> None:
    """Unblock what condor_master starts its children with blocked."""
    signal.pthread_sigmask(signal.SIG_SETMASK, set())


def _to_background() -> None:
    """Leave the terminal, as HTCondor's daemons do without -f."""
    if os.fork():
        os._exit(0)
    os.setsid()
    leave_terminal()


def _key_reader() -> KeyReader:
    """Return what opens key files, and have no root afterwards."""
    if os.geteuid() != 0:
        return OwnKeyReader()
    ids = privileges.ask_condor_ids()
    reader = RootKeyReader.start()
    privileges.drop_root(ids)
    return reader


def _complain(error: AnnexError) -> None:
    lines = [f"condor_annexd: {error.message}", *(f"  {one}" for one in error.problems)]
    print("\n".join([*lines, *([error.advice] if error.advice else [])]), file=sys.stderr)  # noqa: T201  (standard error is a program's to write)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon until it is told to end.

    Returns:
        The exit status: 0 after a signal, 1 for a configuration that cannot be used, 99 when
        another annexd serves the socket or holds the journal.
    """
    options = _options(argv)
    _unblock_signals()
    try:
        keys = _key_reader()
        condor.set_subsystem(privileges.SUBSYSTEM)
        param = condor.Params()
        read_knobs(param, condor.evaluate_integer)  # while there is a terminal to complain to
        if not options.foreground and not options.terminal:
            _to_background()
        link = PoolLink.start()
        if options.terminal:
            logs.to_terminal()
        else:
            logs.to_condor(param.get("ANNEXD_LOG") or str(Path(param.get("LOG", "."), "AnnexdLog")))
        from htcondor_annex.daemon.annexd import (  # noqa: PLC0415  (large; see above)
            JournalHeldError,
            SocketHeldError,
            run,
        )

        try:
            return run(keys, link)
        except (SocketHeldError, JournalHeldError) as error:
            _complain(error)
            return _EXIT_NOT_AGAIN
    except AnnexError as error:
        _complain(error)
    except condor.CondorError as error:
        _complain(KnobError(str(error)))
    return _EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
