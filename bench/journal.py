"""The journal: how long 10,000 annexes take to be read, and how many commits a second it takes.

Replay is the whole of opening, in a fresh process: of a journal as a daemon that ended leaves it,
and of one as a killed daemon leaves it, which is written anew too.

Commits are those of annexes on their way: each is put new, then changed at every step. They are
made one at a time, and by 8 and 64 at once; bare write + fdatasync writes the same bytes to the
same disk, commit for commit, in turns with them.
"""

import asyncio
import json
import os
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import figures
from bench.figures import Aim, Spread
from bench.rig import Installed, own_environment
from htcondor_annex import condor
from htcondor_annex.annex import Annex, AnnexState, Endpoints, Identity, Lease, Owner, StepName
from htcondor_annex.journal.keptjson import KeptJson, json_text
from htcondor_annex.journal.store import FileJournal, Quoting

__all__ = ["run"]

_ANNEXES = 10_000
_AT_ONCE = (1, 8, 64)
_LIVES = 64  # of a sample; each is some commits
_MOST_RUNS = 9
_KIB = 1024
_MIB = _KIB * _KIB
_TIME_AIM = Aim(f"replay of {_ANNEXES} annexes", 1.0, "s")
_MEMORY_AIM = Aim("the process at its peak", 150, "MiB")
_REPLAY = """
import json, os, sys, time
from htcondor_annex import condor
from htcondor_annex.journal.store import FileJournal, Quoting
quoting = Quoting(condor.quote, condor.unquote)
condor.quote("the bindings are loaded")
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
before = peak()
began, cpu = time.perf_counter(), time.process_time()
journal = FileJournal.open(sys.argv[1], quoting)
took, cpu = time.perf_counter() - began, time.process_time() - cpu
print(json.dumps([took, cpu, peak(), before, len(journal.annexes())]), flush=True)
os._exit(0)
"""


def _parameters(key: str, number: int) -> dict[str, Any]:
    """Return an annex's parameters, of the usual size."""
    role = "arn:aws:iam::123456789012:role/aws-ec2-spot-fleet-tagging-role"
    tags = [
        {"Key": f"htcondor:{name}", "Value": key}
        for name in ("annex-id", "annex-name", "annexd", "lease-expires")
    ]
    return {
        "IamFleetRole": role,
        "AllocationStrategy": "priceCapacityOptimized",
        "TargetCapacity": 4,
        "ClientToken": key,
        "ValidUntil": 1_800_600_000 + number,
        "TagSpecifications": [{"ResourceType": "spot-fleet-request", "Tags": tags}],
        "LaunchSpecifications": [
            {
                "ImageId": "ami-0123456789abcdef0",
                "InstanceType": f"{family}.large",
                "SubnetId": "subnet-0123456789abcdef0",
                "WeightedCapacity": 1.0,
                "TagSpecifications": [{"ResourceType": "instance", "Tags": tags[:1]}],
            }
            for family in ("c6i", "m6i", "c5", "m5")
        ],
    }


def _annex(number: int) -> Annex:
    """Return a new annex."""
    key = str(uuid.UUID(int=number * 0x9E3779B97F4A7C15 % 2**128))
    home = f"/home/user{number % 50}/.condor"
    return Annex(
        identity=Identity(key, f"annex-{number}", "4e7c3f0a-6f0e-4c6e-9c7e-0e1f6b1c2d3e"),
        owner=Owner(1000 + number % 50, f"user{number % 50}"),
        lease=Lease(1_800_000_000 + number, "arn:aws:lambda:us-east-1:123456789012:function:lease"),
        endpoints=Endpoints(
            "us-east-1",
            "https://ec2.us-east-1.amazonaws.com",
            "https://events.us-east-1.amazonaws.com",
            "https://lambda.us-east-1.amazonaws.com",
        ),
        access_key_file=f"{home}/access-key",
        secret_key_file=f"{home}/secret-key",
        client_token=key,
        parameters=KeptJson(json_text(_parameters(key, number))),
        created=1_799_990_000 + number,
        request_token=key[::-1],
    )


def _life(number: int) -> list[Annex]:
    """Return an annex as it is put, time and again, from its promise until it is active."""
    puts = [_annex(number)]
    puts.append(replace(puts[-1], state=AnnexState.PROVISIONING))
    for step in list(StepName)[:4]:
        puts.append(replace(puts[-1], done=(*puts[-1].done, step)))
        if step is StepName.REQUEST_SPOT_FLEET:
            puts[-1] = replace(puts[-1], capacity_id=f"sfr-{puts[0].identity.id}")
    puts.append(replace(puts[-1], state=AnnexState.ACTIVE, activated=puts[0].created + 5))
    return puts


def _open(path: Path) -> FileJournal:
    return FileJournal.open(str(path), Quoting(condor.quote, condor.unquote))


async def _put_all(journal: FileJournal, lives: Sequence[Sequence[Annex]], at_once: int) -> None:
    """Bring annexes to life, so many at once."""

    async def some(first: int) -> None:
        for life in lives[first::at_once]:
            for annex in life:
                await journal.put(annex)

    await asyncio.gather(*map(some, range(at_once)))


# -- replay ----------------------------------------------------------------------------------------


def _written(directory: Path) -> tuple[Path, Path]:
    """Write a journal; return it as left by a daemon that ended, and by one that was killed."""
    clean, killed = directory / "clean", directory / "killed"

    async def write() -> None:
        journal = _open(killed)
        await _put_all(journal, list(map(_life, range(_ANNEXES))), _ANNEXES)
        await journal.close()

    asyncio.run(write())
    clean.write_bytes(killed.read_bytes())

    async def compact() -> None:
        await _open(clean).close()

    asyncio.run(compact())
    return clean, killed


def _replay(program: Installed, path: Path) -> tuple[float, ...]:
    """Open a copy of a journal in a fresh process.

    Returns:
        Seconds, seconds of CPU time, MiB at its peak, and MiB at its peak before.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as name:
        copy = Path(name) / "journal"
        copy.write_bytes(path.read_bytes())
        done = subprocess.run(
            [program.python, "-c", _REPLAY, str(copy)],
            check=True,
            capture_output=True,
            env={**own_environment(), "CONDOR_CONFIG": os.devnull},
            cwd="/",
        )
    took, cpu, peak, before, count = json.loads(done.stdout)
    if count != _ANNEXES:
        raise RuntimeError(f"{count} annexes were read")
    return took, cpu, peak / _KIB, before / _KIB


def _show_replay(program: Installed, runs: int, directory: Path) -> None:
    journals = dict(zip(("ended", "killed"), _written(directory), strict=True))
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in journals}
    for _ in range(runs):
        for name, path in journals.items():
            found[name].append(_replay(program, path))
    for name, path in journals.items():
        took, cpu, peak, before = (Spread.of(column) for column in zip(*found[name], strict=True))
        figures.show(
            f"replay, daemon {name}", took, "s", f"{path.stat().st_size / _MIB:.0f} MiB", digits=2
        )
        figures.show("the same, CPU time", cpu, "s", digits=2)
        figures.show("the process at its peak", peak, "MiB")
        figures.show("the same before", before, "MiB")
        figures.show_aim(_TIME_AIM, took.median)
        figures.show_aim(_MEMORY_AIM, peak.median)


# -- commits ---------------------------------------------------------------------------------------


class _Sampler:
    """Makes samples of commits a second, each in a new file of the same directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._count = 0
        self._lives = list(map(_life, range(_LIVES)))
        self._commits = sum(map(len, self._lives))
        self._texts = self._written()

    def _path(self) -> Path:
        self._count += 1
        return self._directory / f"sample-{self._count}"

    def _written(self) -> list[bytes]:
        """Return what each commit of a sample writes, when they are made one at a time."""
        path, texts = self._path(), []

        async def write() -> None:
            journal = _open(path)
            for life in self._lives:
                for annex in life:
                    before = path.stat().st_size
                    await journal.put(annex)
                    with path.open("rb") as file:
                        file.seek(before)
                        texts.append(file.read())
            await journal.close()

        asyncio.run(write())
        path.unlink()
        return texts

    @property
    def mean(self) -> float:
        """Bytes of a commit."""
        return sum(map(len, self._texts)) / len(self._texts)

    def bare(self) -> float:
        """Write the same bytes, commit for commit."""
        path = self._path()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        descriptor = os.open(path, flags, 0o600)
        began = time.perf_counter()
        for text in self._texts:
            os.write(descriptor, text)
            os.fdatasync(descriptor)
        took = time.perf_counter() - began
        os.close(descriptor)
        path.unlink()
        return len(self._texts) / took

    def journal(self, at_once: int) -> Callable[[], float]:
        """Return what makes the commits with so many at once."""

        def sample() -> float:
            return asyncio.run(self._journal(at_once))

        return sample

    async def _journal(self, at_once: int) -> float:
        path = self._path()
        journal = _open(path)
        began = time.perf_counter()
        await _put_all(journal, self._lives, at_once)
        took = time.perf_counter() - began
        await journal.close()
        for one in path.parent.glob(f"{path.name}*"):
            one.unlink()
        return self._commits / took


def _show_commits(runs: int, directory: Path) -> None:
    sampler = _Sampler(directory)
    contestants = {"bare write + fdatasync (baseline)": sampler.bare}
    contestants |= {f"{count} at once": sampler.journal(count) for count in _AT_ONCE}
    found = figures.interleaved(contestants, runs)
    print(f"  {sampler.mean:.0f} bytes a commit")
    for name, spread in found.items():
        figures.show(f"commits a second, {name}", spread, "/s")
    bare, *ours = (spread.median for spread in found.values())
    for count, rate in zip(_AT_ONCE, ours, strict=True):
        least = 0.7 if count == 1 else 1.0
        figures.show_aim(Aim(f"ratio to bare, {count} at once", least, least=True), rate / bare)


def run(program: Installed, runs: int) -> None:
    """Measure and print."""
    runs = min(runs, _MOST_RUNS)
    with tempfile.TemporaryDirectory(prefix="annex-bench-") as name:
        figures.head(f"the journal, {_ANNEXES} annexes, on the disk of {Path(name).parent}")
        _show_replay(program, runs, Path(name))
        figures.head(f"the journal, commits, on the disk of {Path(name).parent}")
        _show_commits(runs, Path(name))
