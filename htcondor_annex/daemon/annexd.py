"""The daemon's life between start and end: serving, advertising, and heeding signals."""

import asyncio
import contextlib
import logging
import os
import resource
import signal
import time

from htcondor_annex import __version__, condor
from htcondor_annex.daemon.ad import ANNEX_MYTYPE, MYTYPES, annex_ad, daemon_ad
from htcondor_annex.daemon.keyreader import KeyReader
from htcondor_annex.daemon.poollink import PoolLink
from htcondor_annex.daemon.server import SocketHeldError, claim_socket, serve
from htcondor_annex.daemon.service import Service
from htcondor_annex.errors import JournalHeldError, KnobError
from htcondor_annex.journal.store import FileJournal, HistoryFile, Quoting
from htcondor_annex.knobs import Knobs, read_knobs

__all__ = ["JournalHeldError", "SocketHeldError", "run"]

_log = logging.getLogger(__name__)

_ALIVE_TIMEOUT = 3600
"""Seconds of silence after which condor_master ends the daemon (its own daemons' default)."""
_ALIVE_INTERVAL = _ALIVE_TIMEOUT // 3
_GRACE = 60.0
"""Seconds that a graceful end waits for the steps under way and for undoing what is half done."""
_LEAST_UPDATE_INTERVAL = 1.0
"""Seconds between two ads, however much happens."""
_FILES = 8192
_FAREWELL = 3.0
"""Seconds that withdrawing the ad may take."""
_FAST_FAREWELL = 0.5
_FIXED = (
    *("socket", "journal", "history", "max_history", "history_rotations"),
    *("threads", "aws_timeout"),
)
"""Knobs that are read at start only."""


class _Annexd:
    """One run of the daemon."""

    def __init__(self, keys: KeyReader, link: PoolLink) -> None:
        self._keys = keys
        self._link = link
        self._knobs = read_knobs(condor.Params(), condor.evaluate_integer)
        self._name = self._knobs.name or condor.local_name()
        quoting = Quoting(condor.quote, condor.unquote)
        self._journal = FileJournal.open(
            self._knobs.journal,
            quoting,
            HistoryFile(
                self._knobs.history, self._knobs.max_history, self._knobs.history_rotations
            ),
        )
        self._changed = asyncio.Event()
        self._changed_annexes: set[str] = set()
        self._shown: dict[str, str] = {}
        self._service = Service(self._knobs, self._journal, keys, self._note_change)
        self._started = int(time.time())
        self._under_master = bool(os.environ.get("CONDOR_INHERIT"))
        self._end: asyncio.Future[signal.Signals] | None = None

    def _note_change(self, annex_id: str) -> None:
        self._changed_annexes.add(annex_id)
        self._changed.set()

    def _advertise(self, *, whole: bool) -> None:
        """Send the daemon's ad, and those of all annexes or of the changed ones."""
        changed, self._changed_annexes = self._changed_annexes, set()
        if not condor.has_collector():
            return
        ad = daemon_ad(
            self._knobs,
            self._service.counts(),
            machine=condor.local_name(),
            condor_version=condor.version(),
            annexd_id=self._journal.annexd_id,
            started=self._started,
        )
        self._link.advertise({**ad, "MyType": mytype} for mytype in MYTYPES)
        if whole:
            changed.update(annex.identity.id for annex, _ in self._service.annexes())
        for annex_id in sorted(changed):
            found = self._service.get(annex_id)
            if found is not None and not found[0].over:
                shown = annex_ad(*found, self._name)
                self._shown[annex_id] = shown["Name"]
                self._link.advertise([shown])
            elif (name := self._shown.pop(annex_id, None)) is not None:
                self._link.withdraw(ANNEX_MYTYPE, "Name", name)

    async def _keep_advertising(self) -> None:
        whole = -float("inf")
        while True:
            self._changed.clear()
            now = time.monotonic()
            due = now - whole >= self._knobs.update_interval
            if due:
                whole = now
            self._advertise(whole=due)
            await asyncio.sleep(_LEAST_UPDATE_INTERVAL)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, whole + self._knobs.update_interval - now)):
                    await self._changed.wait()

    async def _keep_alive(self) -> None:
        while True:
            self._link.send("alive", pid=os.getpid(), timeout=_ALIVE_TIMEOUT)
            await asyncio.sleep(_ALIVE_INTERVAL)

    def _report_ready(self) -> None:
        """Tell condor_master; not through the link, for it knows us by our process id alone."""
        try:
            condor.set_ready_state("Ready")
        except condor.CondorError as error:
            _log.warning("condor_master did not hear that annexd is ready: %s", error)

    def _reconfigure(self) -> None:
        """Read the configuration again; one that cannot be used changes nothing."""
        try:
            condor.reload_config()
            knobs = read_knobs(condor.Params(), condor.evaluate_integer)
        except condor.CondorError as error:
            _log.error("reconfiguring: %s", error)
            return
        except KnobError as error:
            _log.error("reconfiguring: %s: %s", error.message, "; ".join(error.problems))
            return
        for field in _FIXED:
            if getattr(knobs, field) != getattr(self._knobs, field):
                _log.warning("reconfiguring: a new %s takes effect at the next start", field)
        self._use(knobs)
        self._link.send("reconfig")
        self._changed.set()
        _log.info("reconfigured: EC2 at %s", knobs.ec2_url)

    def _use(self, knobs: Knobs) -> None:
        self._knobs = knobs
        self._service.use(knobs)

    def _stop_on(self, number: signal.Signals) -> None:
        if self._end is not None and not self._end.done():
            self._end.set_result(number)

    async def run(self) -> None:
        """Serve until a signal says to end."""
        loop = asyncio.get_running_loop()
        self._end = loop.create_future()
        listener, lock = claim_socket(self._knobs.socket)
        stop_serving = await serve(listener, self._service)
        loop.add_signal_handler(signal.SIGHUP, self._reconfigure)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, self._stop_on, number)
        tasks = [
            asyncio.create_task(self._link.run()),
            asyncio.create_task(self._keep_advertising()),
        ]
        if self._under_master:
            self._report_ready()
            tasks.append(asyncio.create_task(self._keep_alive()))
        self._journal.start()
        self._service.resume()
        keeping = asyncio.create_task(self._service.keep())
        keeping.add_done_callback(_die_with)
        tasks.append(keeping)
        _log.info(
            "condor_annexd %s (HTCondor %s) serves %s as %s; EC2 at %s; %d MiB",
            __version__,
            condor.version(),
            self._knobs.socket,
            self._name,
            self._knobs.ec2_url,
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        )
        ended_by = await self._end
        fast = ended_by is signal.SIGQUIT
        _log.info("ending %s, told by %s", "at once" if fast else "gracefully", ended_by.name)
        await self._service.stop(0 if fast else _GRACE)
        await self._journal.close()
        if not fast:
            await stop_serving()
        if condor.has_collector():
            self._link.withdraw(ANNEX_MYTYPE, "AnnexdID", self._journal.annexd_id)
            for mytype in MYTYPES:
                self._link.withdraw(mytype, "Name", self._name)
            await self._link.drain(_FAST_FAREWELL if fast else _FAREWELL)
        for task in tasks:
            task.cancel()
        self._link.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._knobs.socket)  # noqa: PTH108  (a socket, not a document)
        os.close(lock)
        _log.info("ended")


def _die_with(keeping: asyncio.Task[None]) -> None:
    """End the daemon when its keeper does: condor_master starts another, which takes all up."""
    if not keeping.cancelled() and (defect := keeping.exception()) is not None:
        _log.critical("the keeper has ended: a defect", exc_info=defect)
        logging.shutdown()
        os._exit(1)


def _allow_files() -> None:
    """Have room for a descriptor each for callers, connections to AWS and files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def run(keys: KeyReader, link: PoolLink) -> int:
    """Run the daemon in this process.

    Returns:
        The exit status, 0.

    Raises:
        KnobError: If the socket cannot be made or the configuration cannot be used.
        SocketHeldError: If another daemon serves it.
        JournalError: If the journal cannot be opened.
    """
    _allow_files()
    daemon = _Annexd(keys, link)
    asyncio.run(daemon.run())
    logging.shutdown()
    # Threads that wait for AWS must not hold a daemon that was told to end.
    os._exit(0)
