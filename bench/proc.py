"""What Linux tells of a process: its memory, and the CPU time that it has taken (proc(5))."""

import os
from pathlib import Path

__all__ = ["cpu_seconds", "mib"]

_KIB = 1024


def mib(pid: int, file: str, field: str) -> float:
    """Return a field that /proc gives in kB, in MiB.

    Args:
        pid: The process.
        file: `status` or `smaps_rollup`.
        field: Such as `VmRSS`.
    """
    for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == field:
            return int(rest.split()[0]) / _KIB
    raise RuntimeError(f"/proc/{pid}/{file} has no {field}")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process with all its threads, user and system; in whole ticks."""
    # The name, in brackets, may hold anything: what counts comes after it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system = int(fields[11]), int(fields[12])
    return (user + system) / os.sysconf("SC_CLK_TCK")
