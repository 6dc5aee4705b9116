"""A machine with an annexd that may die at any time, and the cloud before it.

`Site` is what one worker keeps for all its runs: a local cloud and a zygote. `Host` is one run: a
directory with a configuration and a journal, in which daemons come and go, and tools ask them.
"""

import json
import shutil
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from botocore.exceptions import ClientError

from htcondor_annex import tags
from localcloud import LocalCloud
from localcloud.closing import Closing
from tests.crash import books, verdict
from tests.crash.books import Books
from tests.crash.points import Crash
from tests.crash.zygote import Process, Zygote
from tests.support import (
    ACCESS_KEY,
    FUNCTION_ARN,
    SECRET_KEY,
    Annexd,
    Ended,
    console_config,
    make_lease_function,
    make_sweep,
)

__all__ = ["BUSY", "QUIET", "Asked", "Host", "Site"]

_PATIENCE = 30.0
_LOOK = 0.004
_SERVES = ") serves "
_STARTED = "-- a daemon is started --\n"
_T = TypeVar("_T")

# A daemon is patient for minutes, as AWS asks; a test has not so long.
_KNOBS: Mapping[str, str] = MappingProxyType(
    {"ANNEXD_RETRY_TIME": "1", "ANNEXD_CONFIRM_TIME": "1", "ANNEXD_THREADS": "8"}
)
BUSY: Mapping[str, str] = MappingProxyType(
    {
        "ANNEXD_POLL_INTERVAL": "1",
        "ANNEXD_RECONCILE_INTERVAL": "1",
        "ANNEXD_ORPHAN_GRACE": "1",
        "MAX_ANNEXD_HISTORY_LOG": "8192",
        "MAX_ANNEXD_HISTORY_ROTATIONS": "50",
    }
)
"""A keeper that looks all the time, and a history that is rotated often and kept whole."""
QUIET: Mapping[str, str] = MappingProxyType(
    {"ANNEXD_POLL_INTERVAL": "3600", "ANNEXD_RECONCILE_INTERVAL": "3600"}
)
"""A keeper that looks when the daemon starts, and then no more."""


class Site(Closing):
    """A cloud and a zygote, for one run after the other."""

    def __init__(self) -> None:
        """Start both."""
        self.cloud = LocalCloud(access_keys={ACCESS_KEY: SECRET_KEY})
        self.zygote = Zygote()

    def close(self) -> None:
        """End both."""
        self.zygote.close()
        self.cloud.stop()

    def empty(self) -> None:
        """Empty the cloud, but for the lease function and its sweep."""
        self.cloud.reset()
        make_lease_function(self.cloud)
        make_sweep(self.cloud)
        self.cloud.forget()

    def fleets_ever(self) -> dict[str, list[str]]:
        """Return the fleets of each annex, those that are cancelled among them."""
        found: dict[str, list[str]] = {}
        ec2 = self.cloud.client("ec2", looks=True)
        for page in ec2.get_paginator("describe_spot_fleet_requests").paginate():
            for fleet in page["SpotFleetRequestConfigs"]:
                owner = {tag["Key"]: tag["Value"] for tag in fleet["Tags"]}[tags.ANNEX_ID]
                found.setdefault(owner, []).append(fleet["SpotFleetRequestId"])
        return found

    def rule_tags(self, names: Mapping[str, str]) -> dict[str, dict[str, str]]:
        """Return the tags of rules, by the rules' names.

        Args:
            names: Rule name to the rule's ARN.
        """
        events = self.cloud.client("events", looks=True)
        return {
            name: {
                tag["Key"]: tag["Value"]
                for tag in events.list_tags_for_resource(ResourceARN=arn)["Tags"]
            }
            for name, arn in names.items()
        }


@dataclass(slots=True)
class Asked:
    """A tool at work."""

    process: Process
    out: Path
    err: Path

    def ended(self) -> Ended | None:
        """Return how it ended; None while it works."""
        status = self.process.poll()
        if status is None:
            return None
        return Ended(status, self.out.read_text(), self.err.read_text())


class Host(Closing):
    """One run's machine.

    Attributes:
        deaths: How many daemons have died by SIGKILL.
    """

    def __init__(self, site: Site, directory: Path, knobs: Mapping[str, str]) -> None:
        """Make the directory.

        Args:
            site: Whose cloud it is before.
            directory: A new one.
            knobs: The daemon's, beside those that every test has: `BUSY` or `QUIET`.
        """
        self.site = site
        self.directory = directory
        self.deaths = 0
        self._crashes: deque[Crash] = deque()
        self._planned = 0
        self._doomed = self._told_to_end = False
        self._asked = 0
        self._daemon: Process | None = None
        self.spool.mkdir(parents=True)
        own = {**_KNOBS, **knobs, "SPOOL": str(self.spool)}
        self._files = Annexd(directory, site.cloud.endpoint, own)
        self.configure(console_config())

    @property
    def spool(self) -> Path:
        """Where the journal and the history are."""
        return self.directory / "spool"

    @property
    def log(self) -> str:
        """What the daemons said."""
        return self._files.said() if self._files.log.exists() else ""

    def configure(self, config: Mapping[str, object]) -> None:
        """Write the Spot Fleet configuration that tools use."""
        (self.directory / "config.json").write_text(json.dumps(config))

    # -- crash points ----------------------------------------------------------------------------

    def plan_crash(self, label: str = "", occurrence: int = 0) -> Path:
        """Let the next daemon for which none is planned die, or only record its points.

        Args:
            label: The point's; empty is any.
            occurrence: From 1; 0 records only.

        Returns:
            Where the points that it passes will stand, by their labels.
        """
        self._planned += 1
        trace = self.directory / f"trace{self._planned}"
        trace.touch()
        files = (str(self.spool), str(trace), str(self._armed))
        self._crashes.append(Crash(*files, label, occurrence))
        return trace

    @property
    def _armed(self) -> Path:
        return self.directory / "armed"

    def spare(self) -> None:
        """Let daemons live from now on: one that would die is killed at once."""
        self._crashes.clear()
        if self._told_to_end:
            self.until(lambda: not self._told_to_end, "end of the daemon")
        if self._doomed:
            self.kill()
            self.tend()

    def arm(self) -> None:
        """Let points count from now on."""
        self._armed.touch()

    def disarm(self) -> None:
        """Let points count no more."""
        self._armed.unlink()

    # -- daemon ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Start a daemon and wait until one serves, however many die before."""
        self._start()
        self.until(self._serves, "serving daemon")

    def _serves(self) -> bool:
        """Whether the newest daemon takes callers."""
        return self.log.rpartition(_STARTED)[2].count(_SERVES) > 0

    def _start(self) -> None:
        log = self._files.log
        with log.open("a") as written:
            written.write(_STARTED)
        self._told_to_end = False
        crash = self._crashes.popleft() if self._crashes else None
        self._doomed = crash is not None and crash.occurrence > 0
        self._daemon = self.site.zygote.start(
            "condor_annexd",
            ["-f", "-t"],
            directory=self.directory,
            environment=self._files.environment,
            out=log,
            err=log,
            crash=crash,
        )

    def tend(self) -> None:
        """Start a daemon in place of one that was killed, or ended as `restart` told it."""
        assert self._daemon is not None
        status = self._daemon.poll()
        if status is None:
            return
        # One that was still starting has not yet a way to end of its own.
        if not (self._told_to_end and status in {0, -signal.SIGTERM}):
            assert -signal.SIGKILL == status, f"the daemon ended with {status}:\n{self.log}"
            self.deaths += 1
        self._start()

    def kill(self) -> None:
        """Kill the daemon; `tend` starts the next."""
        assert self._daemon is not None
        self._daemon.kill()
        self._daemon.wait()

    def restart(self) -> None:
        """Tell the daemon to end, as condor_master does; `tend` starts the next."""
        assert self._daemon is not None
        self._told_to_end = True
        self._daemon.kill(signal.SIGTERM)

    def close(self) -> None:
        """End the daemon; again is no error."""
        if self._daemon is not None:
            self._daemon.kill()
            self._daemon.wait()
            self._daemon = None

    def remove(self) -> None:
        """Take away all files."""
        shutil.rmtree(self.directory)

    def happens(self, look: Callable[[], bool], patience: float) -> bool:
        """Whether `look` comes true within some seconds, while daemons die and are started."""
        end = time.monotonic() + patience
        while not look():
            self.tend()
            if time.monotonic() > end:
                return False
            time.sleep(_LOOK)
        return True

    def until(self, look: Callable[[], _T | None], what: str, patience: float = _PATIENCE) -> _T:
        """Return the first true value that `look` gives, while daemons die and are started."""
        end = time.monotonic() + patience
        while True:
            self.tend()
            if found := look():
                return found
            assert time.monotonic() < end, f"no {what} within {patience} s"
            time.sleep(_LOOK)

    # -- tools -----------------------------------------------------------------------------------

    def ask(self, *arguments: str, keys: bool = False) -> Asked:
        """Start condor_annex.

        Args:
            arguments: Its command line.
            keys: Whether it is given the keys and the lease function, too.
        """
        self._asked += 1
        given = [*arguments]
        if keys:
            given[:0] = ["-access-key-file", str(self._files.access_key)]
            given[:0] = ["-secret-key-file", str(self._files.secret_key)]
            given[:0] = ["-lease-function-arn", FUNCTION_ARN]
        out = self.directory / f"tool{self._asked}.out"
        err = out.with_suffix(".err")
        process = self.site.zygote.start(
            "condor_annex",
            given,
            directory=self.directory,
            environment=self._files.environment,
            out=out,
            err=err,
        )
        return Asked(process, out, err)

    def create(self, name: str, *arguments: str) -> Asked:
        """Ask for an annex."""
        return self.ask("-annex-name", name, *arguments, "config.json", keys=True)

    def answer(self, asked: Asked) -> Ended:
        """Wait for a tool's end, while daemons die and are started."""
        return self.until(asked.ended, "end of a tool")

    # -- what there is ---------------------------------------------------------------------------

    def books(self) -> Books:
        """Read the journal and the history."""
        return books.read(self.spool / "annexd.journal", self.spool / "annexd.history")

    def disagreements(self) -> list[str]:
        """Return everything in which the journal and the cloud disagree."""
        try:
            seen = self.site.cloud.contents()
            marks = self.site.rule_tags({one["Name"]: one["Arn"] for one in seen.rules})
        except ClientError as error:  # it takes several looks, and something went between two
            return [f"the cloud changes: {error}"]
        return verdict.disagreements(self.books(), seen, marks)

    def settle(self) -> Books:
        """Wait until a daemon serves, nothing is under way, and journal and cloud agree.

        Returns:
            The journal.

        Raises:
            AssertionError: If that does not come, with what is wrong.
        """
        wrong = ["an annex is on its way"]

        def settled() -> bool:
            nonlocal wrong
            if not (self.books().at_rest and self._serves()):
                return False
            wrong = self.disagreements()
            return not wrong

        try:
            self.until(settled, "rest")
        except AssertionError as error:
            raise AssertionError(f"{error}: {'; '.join(wrong)}") from None
        return self.books()
