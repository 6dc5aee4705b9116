"""`python -m bench [-runs N] [NAME ...]`: measures, and prints each figure beside its aim."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence

from bench import burst, create, journal, keeper, memory, startup, upstream
from bench.rig import Installed, installed

__all__ = ["main"]

_BENCHES: Mapping[str, Callable[[Installed, int], None]] = {
    "create": create.run,
    "startup": startup.run,
    "memory": memory.run,
    "upstream": upstream.run,
    "burst": burst.run,
    "keeper": keeper.run,
    "journal": journal.run,
}
_RUNS = 21


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__, add_help=False)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(_BENCHES))
    parser.add_argument("-runs", type=int, default=_RUNS, help=f"samples of each ({_RUNS})")
    parser.add_argument("-help", action="help", help="show this and end")
    options = parser.parse_args(argv)
    if unknown := [name for name in options.names if name not in _BENCHES]:
        parser.error(f"no bench {', '.join(unknown)}: choose from {', '.join(_BENCHES)}")
    if options.runs < 1:
        parser.error("-runs must be at least 1")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benches named, or all; return 0 when they ran, whatever the figures."""
    options = _options(argv)
    with installed() as program:
        print(f"{options.runs} runs of each, interleaved; median [quartiles]")
        for name in options.names or _BENCHES:
            _BENCHES[name](program, options.runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
