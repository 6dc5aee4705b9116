"""`condor_annexd`: starts under condor_master, or on its own for trials.

The order matters: signals are unblocked, the key reader is forked while there is root, root is
given up, HTCondor's bindings are loaded, the link to the pool is forked, and only then come threads
and the large libraries.
"""

import argparse
import logging
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

_EXIT_OK = 0
_EXIT_FAILED = 1
_EXIT_NOT_AGAIN = 99  # condor_master does not start the daemon again after this one


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="condor_annexd", description="HTCondor's annex daemon", add_help=False
    )
    parser.add_argument("-f", dest="foreground", action="store_true", help="stay in the foreground")
    parser.add_argument("-t", dest="terminal", action="store_true", help="log to the terminal")
    parser.add_argument(
        "-local-name",
        metavar="NAME",
        default="",
        help="which of several: NAME.KNOB comes before KNOB (condor_master gives it)",
    )
    parser.add_argument(
        "-check-journal",
        action="store_true",
        help="tell what the journal holds and what of it is damaged, and end; 1 if anything is",
    )
    parser.add_argument(
        "-repair",
        action="store_true",
        help="with -check-journal: keep a damaged journal, and write a new one of what can be read",
    )
    parser.add_argument("-help", action="help", help="show this and end")
    parser.add_argument("-version", action="version", version=f"condor_annexd {__version__}")
    options = parser.parse_args(argv)
    if options.repair and not options.check_journal:
        parser.error("-repair goes with -check-journal")
    return options


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


def _complain(error: AnnexError, *, log: bool, terminal: bool) -> None:
    """Say why the daemon ends: in its log, and to whoever started it by hand."""
    lines = [error.message, *(f"  {one}" for one in error.problems)]
    text = "\n".join([*lines, *([error.advice] if error.advice else [])])
    if log:
        logging.getLogger(__name__).error("%s", text)
    if not (log and terminal):
        print(f"condor_annexd: {text}", file=sys.stderr)  # noqa: T201  (standard error is a program's to write)


def _check_journal(local_name: str, *, mend: bool) -> int:
    """Tell what the journal holds, and mend it if told to; return the exit status."""
    from htcondor_annex.journal.mend import check, repair  # noqa: PLC0415  (of no use to the daemon)
    from htcondor_annex.journal.quoting import Quoting  # noqa: PLC0415  (as above)

    if os.geteuid() == 0:
        privileges.drop_root(privileges.ask_condor_ids())
    condor.set_subsystem(privileges.SUBSYSTEM, local_name)
    knobs = read_knobs(condor.Params(), condor.evaluate_integer)
    work = repair if mend else check
    for line in work(knobs.journal, Quoting(condor.quote, condor.unquote)):
        print(line, flush=True)  # noqa: T201  (what it was started for)
    return _EXIT_OK


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon until it is told to end.

    Returns:
        The exit status: 0 after a signal, 1 for a configuration or a journal that cannot be used,
        99 when another annexd serves the socket or holds the journal. Of -check-journal: 1 when
        the journal is damaged, or was and cannot be mended.
    """
    options = _options(argv)
    _unblock_signals()
    logged = False
    status = _EXIT_FAILED
    try:
        if options.check_journal:
            return _check_journal(options.local_name, mend=options.repair)
        keys = _key_reader()
        condor.set_subsystem(privileges.SUBSYSTEM, options.local_name)
        param = condor.Params()
        read_knobs(param, condor.evaluate_integer)  # while there is a terminal to complain to
        if not options.foreground and not options.terminal:
            _to_background()
        link = PoolLink.start()
        if options.terminal:
            logs.to_terminal()
        else:
            logs.to_condor(param.get("ANNEXD_LOG") or str(Path(param.get("LOG", "."), "AnnexdLog")))
        logged = True
        from htcondor_annex.daemon.annexd import (  # noqa: PLC0415  (large; see above)
            JournalHeldError,
            SocketHeldError,
            run,
        )

        try:
            return run(keys, link)
        except (SocketHeldError, JournalHeldError):
            status = _EXIT_NOT_AGAIN
            raise
    except AnnexError as error:
        _complain(error, log=logged, terminal=options.terminal)
    except condor.CondorError as error:
        _complain(KnobError(str(error)), log=logged, terminal=options.terminal)
    return status


if __name__ == "__main__":
    sys.exit(main())
