"""Random stories, played again or for as long as asked.

python -m tests.crash run -runs 300 -seed 7
python -m tests.crash soak -minutes 60
python -m tests.crash replay story.json         (- is the standard input)
"""

import argparse
import itertools
import secrets
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.crash.explore import explore
from tests.crash.host import Site
from tests.crash.play import play
from tests.crash.story import Story, from_json, to_json

_A_ROUND = 25
_APART = 1_000_000  # seeds between two workers


class _Theatre:
    """Plays stories, and remembers the first that went wrong."""

    def __init__(self, site: Site, directory: Path) -> None:
        self._site = site
        self._directory = directory
        self.plays = self.deaths = 0
        self.failures: list[tuple[Story, str]] = []

    def play(self, story: Story) -> None:
        """Play one; raises what went wrong."""
        self.plays += 1
        try:
            self.deaths += play(self._site, self._directory / str(self.plays), story)
        except Exception as error:
            known = isinstance(error, AssertionError)
            self.failures.append((story, str(error) if known else traceback.format_exc()))
            raise


def _explore(theatre: _Theatre, runs: int, number: int) -> bool:
    """Play stories that follow from a seed, until one goes wrong; tell whether all went well."""
    try:
        explore(theatre.play, runs, number)
    except Exception as error:
        if not theatre.failures:
            raise
        story, why = theatre.failures[0]
        again = "again" if len(theatre.failures) > 1 else f"not again ({type(error).__name__})"
        _say(f"seed {number}: {why}\nPlayed once more, it went wrong {again}. To play it:")
        _say(f"python -m tests.crash replay - <<< '{to_json(story)}'")
        return False
    return True


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _summary(theatre: _Theatre, began: float) -> str:
    seconds = time.monotonic() - began
    return (
        f"{theatre.plays} stories, {theatre.deaths} daemons killed, {seconds:.0f} s, "
        f"{seconds / max(1, theatre.plays):.2f} s a story"
    )


def _run(options: argparse.Namespace, theatre: _Theatre) -> bool:
    return _explore(theatre, options.runs, options.seed)


def _soak(options: argparse.Namespace, theatre: _Theatre) -> bool:
    began = time.monotonic()
    for number in itertools.count(options.seed):
        if time.monotonic() - began > options.minutes * 60:
            return True
        if not _explore(theatre, _A_ROUND, number):
            return False
        _say(f"seed {number}: well; so far {_summary(theatre, began)}")
    return True


def _replay(options: argparse.Namespace, theatre: _Theatre) -> bool:
    name = options.story
    story = from_json(sys.stdin.read() if name == "-" else Path(name).read_text())
    for _ in range(options.times):
        try:
            theatre.play(story)
        except AssertionError as error:
            _say(str(error))
            return False
    return True


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.crash",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    commands = parser.add_subparsers(required=True)

    def command(name: str, do: Callable[[argparse.Namespace, _Theatre], bool], about: str) -> None:
        made = commands.add_parser(name, help=about)
        made.set_defaults(do=do)
        made.set_defaults(command=name)
        if name == "replay":
            made.add_argument("story", help="a file with a story; - is the standard input")
            made.add_argument("-times", type=int, default=1, help="how often")
            return
        made.add_argument("-seed", type=int, default=secrets.randbits(31), help="where to begin")
        made.add_argument("-workers", type=int, default=1, help="how many processes play")
        if name == "soak":
            made.add_argument("-minutes", type=float, default=10, help="for how long")
        else:
            made.add_argument("-runs", type=int, default=100, help="how many stories")

    command("run", _run, "play stories that follow from a seed")
    command("soak", _soak, "play stories of one seed after the other")
    command("replay", _replay, "play one story")
    return parser.parse_args(argv)


def _share(options: argparse.Namespace) -> int:
    """Have several processes play, each stories of its own; return 0 if all went well."""
    workers = []
    for number in range(options.workers):
        command = [sys.executable, "-m", "tests.crash", options.command]
        command += ["-seed", str(options.seed + number * _APART)]
        if options.command == "soak":
            command += ["-minutes", str(options.minutes)]
        else:
            share = options.runs // options.workers + (number < options.runs % options.workers)
            command += ["-runs", str(share)]
        workers.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))
    return max(worker.wait() for worker in workers)


def main(argv: Sequence[str] | None = None) -> int:
    """Play stories; return 0 if all went well."""
    options = _options(argv)
    began = time.monotonic()
    if options.command != "replay":
        _say(f"seed {options.seed}, {options.workers} workers")
        if options.workers > 1:
            return _share(options)
    with Site() as site, tempfile.TemporaryDirectory(prefix="crash") as directory:
        theatre = _Theatre(site, Path(directory))
        well = options.do(options, theatre)
    _say(_summary(theatre, began))
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
