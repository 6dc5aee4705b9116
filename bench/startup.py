"""The tool's start: CPU time of `condor_annex -version` beside a Python that does nothing."""

import os
import subprocess
from collections.abc import Sequence

from bench import figures
from bench.figures import Aim
from bench.rig import Installed, own_environment

__all__ = ["run"]

_AIM = Aim("condor_annex -version", 60, "ms")
_MILLI = 1000


def _cpu(command: Sequence[str]) -> float:
    """Return what a program's run costs in user and system time, milliseconds."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        # The bindings complain where there is no configuration.
        env={**own_environment(), "CONDOR_CONFIG": os.devnull},
        cwd="/",
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}")
    return (used.ru_utime + used.ru_stime) * _MILLI


def run(program: Installed, runs: int) -> None:
    """Measure and print."""
    figures.head("start-up: CPU time, user and system")
    found = figures.interleaved(
        {
            "condor_annex -version": lambda: _cpu([program.tool, "-version"]),
            "python -c pass (baseline)": lambda: _cpu([program.python, "-c", "pass"]),
            "python -c 'import htcondor2, classad2'": lambda: _cpu(
                [program.python, "-c", "import htcondor2, classad2"]
            ),
            "python -c 'import boto3' (left out of the tool)": lambda: _cpu(
                [program.python, "-c", "import boto3"]
            ),
        },
        runs,
    )
    for name, spread in found.items():
        figures.show(name, spread, "ms")
    ours, baseline, *_ = (spread.median for spread in found.values())
    figures.show_aim(_AIM, ours)
    print(f"  {'ratio to the baseline':<46}{ours / baseline:9.2f} times")
