"""A thousand annexes, made, given another lease and ended by fifty tools at once."""

import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from htcondor_annex import condor
from htcondor_annex.journal.history import HistoryFile
from htcondor_annex.journal.store import FileJournal, Quoting
from localcloud import LocalCloud
from tests.crash.zygote import Process, Zygote
from tests.support import FUNCTION_ARN, Annexd, console_config

_ANNEXES = 1000
_TOOLS = 50
_PATIENCE = 900.0


@pytest.fixture
def zygote(own_annexd: Annexd) -> Iterator[Zygote]:
    """What starts tools fast: real processes all the same."""
    with Zygote(own_annexd.directory / "condor_config") as made:
        yield made


class _Slot:
    """One of the tools that run side by side: it brings one annex after another to its end."""

    def __init__(self, number: int, names: Iterator[int], annexd: Annexd) -> None:
        self._names = names
        self._annexd = annexd
        self._config = annexd.directory / "config.json"
        self.said = annexd.directory / f"tool-{number}"
        self._commands: list[list[str]] = []
        self.process: Process | None = None
        self.failed: list[str] = []

    def _next(self) -> list[str] | None:
        if not self._commands:
            number = next(self._names, None)
            if number is None:
                return None
            name = ["-annex-name", f"many-{number}"]
            keys = ["-access", str(self._annexd.access_key)]
            keys += ["-secret", str(self._annexd.secret_key)]
            self._commands = [
                [*keys, "-lease-function-arn", FUNCTION_ARN, *name, str(self._config)],
                [*name, "-lease-duration", "7200"],
                ["off", *name],
            ]
        return self._commands.pop(0)

    def go_on(self, zygote: Zygote) -> bool:
        """Start the next tool if the last has ended; return whether there is more to come."""
        if self.process is not None:
            status = self.process.poll()
            if status is None:
                return True
            if status:
                self.failed.append(f"status {status}: {self.said.read_text()[-2000:]}")
        command = self._next()
        if command is None:
            self.process = None
            return False
        self.process = zygote.start(
            "condor_annex",
            command,
            directory=self._annexd.directory,
            environment=self._annexd.environment,
            out=self.said,
            err=self.said,
        )
        return True


def test_a_thousand_annexes_leave_nothing_behind(
    own_annexd: Annexd, cloud: LocalCloud, zygote: Zygote
) -> None:
    """Every tool succeeds; the cloud and the journal are empty, and the history has them all."""
    config = console_config(TargetCapacity=1)
    (own_annexd.directory / "config.json").write_text(json.dumps(config))
    own_annexd.start()
    names = iter(range(_ANNEXES))
    slots = [_Slot(number, names, own_annexd) for number in range(_TOOLS)]
    end = time.monotonic() + _PATIENCE
    while any([slot.go_on(zygote) for slot in slots]):  # noqa: C419  (each must be asked)
        assert time.monotonic() < end, "the tools do not come to an end"
        time.sleep(0.005)
    assert [] == list(itertools.chain.from_iterable(slot.failed for slot in slots))
    assert cloud.contents().empty
    assert own_annexd.stop() == 0
    living, ended = _kept(own_annexd.directory)
    assert (living, ended) == (set(), {f"many-{number}" for number in range(_ANNEXES)})


def _kept(directory: Path) -> tuple[set[str], set[str]]:
    """Return the names of the annexes in the journal and in the history."""
    history = HistoryFile(str(directory / "annexd.history"))
    journal = FileJournal.open(
        str(directory / "annexd.journal"), Quoting(condor.quote, condor.unquote), history
    )
    return (
        {annex.identity.name for annex in journal.annexes()},
        {annex.identity.name for annex in journal.recent()},
    )
