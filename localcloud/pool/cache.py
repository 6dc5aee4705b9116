"""What is slow to make is made once and kept outside the tree.

An entry is a directory that appears under its name only when it is whole: it is made under another
name and renamed. Whoever makes one holds a lock, so that two checkouts never make the same twice,
and the next maker throws away what an interrupted one left.
"""

import fcntl
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

__all__ = ["cache_root", "digest", "made_once", "tell"]

_UNFINISHED = ".unfinished"


def cache_root(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the cache's directory: HTCONDOR_ANNEX_CACHE, or one in the user's own cache."""
    if own := environment.get("HTCONDOR_ANNEX_CACHE"):
        return Path(own).absolute()
    base = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base).absolute() / "htcondor-annex"


def digest(*texts: str) -> str:
    """Return a short name for a recipe, so that another recipe is another entry."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]


def tell(text: str) -> None:
    """Say on standard error what is taking its time."""
    sys.stderr.write(f"pool: {text}\n")
    sys.stderr.flush()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock; it goes with the process, however that ends."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def made_once(name: str, make: Callable[[Path], None], *, root: Path | None = None) -> Path:
    """Return the entry of that name, made now if there is none.

    Args:
        name: The entry's; it has to change with everything that the entry is made of.
        make: Fills the directory that it is given, which exists and is empty.
        root: The cache; None for the usual one.
    """
    root = root or cache_root()
    entry = root / name
    if entry.is_dir():
        return entry
    root.mkdir(mode=0o700, parents=True, exist_ok=True)  # it holds another system's setuid programs
    with _locked(root / f"{name}.lock"):
        if entry.is_dir():
            return entry
        unfinished = root / (name + _UNFINISHED)
        if unfinished.exists():
            shutil.rmtree(unfinished)
        unfinished.mkdir(mode=0o755)
        began = time.monotonic()
        make(unfinished)
        unfinished.rename(entry)
        tell(f"made {name} in {time.monotonic() - began:.0f} s; kept in {root}")
    return entry
