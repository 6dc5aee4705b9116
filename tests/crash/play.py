"""Plays a story on a host, and sees that nothing leaked, doubled or was lost, and no tool lied."""

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from htcondor_annex.annex import Annex
from htcondor_annex.lease import rule
from tests.crash.books import Books
from tests.crash.host import BUSY, Asked, Host, Site
from tests.crash.story import LONG, Life, Step, Story
from tests.support import Ended

__all__ = ["play"]

_LOOK = 0.004
_PATIENCE = 60.0
_MADE = re.compile(r"Annex (\S+) \(([0-9a-f-]{36})\) is ")
_LOST = re.compile(r"^condor_annex: the daemon's answer (broke off|ended too early)", re.MULTILINE)
_ORPHAN = re.compile(r"orphan [0-9a-f-]{36} is ended")


@dataclass(frozen=True, slots=True)
class _Told:
    """What a tool was told: about which step, when (epoch seconds), and what."""

    step: int
    asked: float
    ended: float
    answer: Ended

    @property
    def annex_id(self) -> str:
        """The id of the annex that it is about; empty if it names none."""
        found = _MADE.search(self.answer.err)
        return found[2] if found else ""


@dataclass(slots=True)
class _Player:
    """One life as far as it has come."""

    name: str
    life: Life
    told: list[_Told] = field(default_factory=list)
    _at: int = -1
    _asked: float = 0.0
    _tools: list[Asked] = field(default_factory=list)

    def go_on(self, host: Host) -> bool:
        """Do what can be done now, and tell whether all is done."""
        for tool in [*self._tools]:
            if (answer := tool.ended()) is not None:
                self._tools.remove(tool)
                self.told.append(_Told(self._at, self._asked, time.time(), answer))
        step = self.life.steps[self._at] if self._at >= 0 else Step("wait")
        if self._tools or (step.what == "wait" and time.time() < self._asked + step.seconds):
            return False
        if self._at + 1 == len(self.life.steps):
            return True
        self._at += 1
        self._asked = time.time()
        self._tools = list(self._ask(host, self.life.steps[self._at]))
        return False

    def _ask(self, host: Host, step: Step) -> Iterator[Asked]:
        lease = ("-lease-duration", f"{step.seconds:.0f}")
        for _ in range(step.tools):
            match step.what:
                case "create":
                    yield host.create(self.name, *lease)
                case "extend":
                    yield host.ask("-annex-name", self.name, *lease)
                case "restart":
                    host.restart()
                case "end":
                    yield host.ask("off", "-annex-name", self.name)

    # -- what must be so -------------------------------------------------------------------------

    def _steps(self, what: str) -> list[int]:
        return [number for number, step in enumerate(self.life.steps) if step.what == what]

    def _answers(self, step: int) -> list[_Told]:
        return [told for told in self.told if told.step == step]

    def made(self) -> list[_Told]:
        """Return what those were told whose annex was made."""
        return [
            told for step in self._steps("create") for told in self._answers(step) if _well(told)
        ]

    def wrong(self, books: Books) -> list[str]:
        """Return in what the tools were told something else than the truth."""
        living = {annex.identity.id: annex for annex in books.named(self.name)}
        known = {annex.identity.id: annex for annex in (*books.ended, *books.living)}
        made = {told.annex_id: told for told in self.made()}
        found = [
            f"{self.name}: a tool lost the daemon: {told.answer.err}"
            for told in self.told
            if _LOST.search(told.answer.err)
        ]
        found += [
            f"{self.name}: {annex_id} lives, and nobody was told so"
            for annex_id in living.keys() - made
        ]
        for annex_id, told in made.items():
            annex = known.get(annex_id)
            if annex is None:
                found.append(f"{self.name}: {annex_id} was told, and is in no book")
                continue
            if annex.capacity_id != told.answer.out.strip():
                found.append(f"{self.name}: told {told.answer.out.strip()}, is {annex.capacity_id}")
            ended = [step for step in self._steps("end") if step > told.step]
            if annex_id in living and any(
                _well(one) for step in ended for one in self._answers(step)
            ):
                found.append(f"{self.name}: {annex_id} lives, and was told to have ended")
            if annex_id not in living and not ended and self._is_long(told.step):
                found.append(f"{self.name}: {annex_id} is gone, and nobody ended it")
            if annex_id in living:
                found += self._wrong_lease(annex, told.step)
        return found

    def _is_long(self, made: int) -> bool:
        """Whether no lease of an annex ends before the story does."""
        leases = [self.life.steps[made], *(self.life.steps[one] for one in self._steps("extend"))]
        return all(step.seconds >= LONG for step in leases)

    def _wrong_lease(self, annex: Annex, made: int) -> list[str]:
        """Return what is wrong with the lease of an annex whose last extension was told done."""
        extended = [step for step in self._steps("extend") if step > made]
        last = extended[-1] if extended else made
        answers = self._answers(last)
        if not all(map(_well, answers)):
            return []
        seconds = int(self.life.steps[last].seconds)
        if any(int(one.asked) <= annex.expires - seconds <= one.ended + 1 for one in answers):
            return []
        return [f"{self.name}: told a lease of {seconds} s, it ends at {annex.expires}: {answers}"]


def _well(told: _Told) -> bool:
    return told.answer.status == 0


def _prepare(site: Site, story: Story) -> None:
    """Let the cloud be as the story has it."""
    cloud, sky = site.cloud, story.sky
    site.empty()
    for fault in story.faults:
        how = {"when": fault.when, "skip": fault.skip, "times": fault.times}
        if fault.code:
            cloud.fail(fault.action, fault.code, status=fault.status, **how)  # type: ignore[arg-type]
        else:
            cloud.lose(fault.action, **how)  # type: ignore[arg-type]  # a mapping of all of them
    cloud.capacity(sky.most, delay=sky.delay)
    cloud.hide(sky.hide)
    cloud.slow_end(sky.slow_end)
    if sky.chance:
        cloud.weather(sky.seed, sky.chance / 100, sky.kinds, milliseconds=100, hidden=0.4)


def _clear_up(host: Host) -> None:
    """Let the cloud be at its best, and daemons live."""
    cloud = host.site.cloud
    cloud.calm()
    cloud.capacity()
    cloud.hide(0)
    cloud.slow_end(0)
    host.spare()


def _wrong_records(host: Host, books: Books) -> list[str]:
    """Return what was ever made and is in no book, and what was made twice."""
    known = {annex.identity.id for annex in (*books.living, *books.ended)}
    fleets = host.site.fleets_ever()
    # A daemon that was killed while it sent leaves a request that names nothing.
    named = [call.parameters.get("Name") for call in host.site.cloud.requests("PutRule")]
    rules = {rule.annex_of(str(name)) for name in named if name}
    return [
        *(f"{one} has {len(ids)} fleets: {ids}" for one, ids in fleets.items() if len(ids) > 1),
        *(f"{one} had a fleet or a rule, and is in no book" for one in {*fleets, *rules} - known),
        *(f"taken for one: {found}" for found in _ORPHAN.findall(host.log)),
    ]


def _live(host: Host, players: Sequence[_Player]) -> None:
    """Let all lives be lived."""
    end = time.monotonic() + _PATIENCE
    while {player.go_on(host) for player in players} != {True}:
        host.tend()
        assert time.monotonic() < end, f"tools still wait after {_PATIENCE} s"
        time.sleep(_LOOK)


def _end_all(host: Host, books: Books) -> None:
    """End what lives; then nothing may be left."""
    asked = [host.ask("off", "-annex-name", one.identity.name) for one in books.living]
    for one in asked:
        answer = host.answer(one)
        assert 0 == answer.status, answer.err
    after = host.settle()
    assert host.site.cloud.contents().empty, "something is left"
    before = {annex.identity.id for annex in (*books.living, *books.ended)}
    lost = before - {annex.identity.id for annex in after.ended}
    assert not lost, f"ended, and not in the history: {lost}"


def play(site: Site, directory: Path, story: Story) -> int:
    """Play a story.

    Returns:
        How many daemons died.

    Raises:
        AssertionError: If anything was not as it must be, with the daemons' log.
    """
    _prepare(site, story)
    players = [_Player(f"annex{number}", life) for number, life in enumerate(story.lives)]
    knobs = {**BUSY, "ANNEX_LEASE_METHOD": story.method}
    with Host(site, directory, knobs) as host:
        try:
            for point in story.kills:
                host.plan_crash(occurrence=point)
            host.arm()
            host.start()
            _live(host, players)
            _clear_up(host)
            books = host.settle()
            wrong = [
                *_wrong_records(host, books),
                *(w for one in players for w in one.wrong(books)),
            ]
            assert not wrong, "\n".join(wrong)
            status = host.answer(host.ask("status"))
            assert 0 == status.status, status.err
            lasting = [one for one in books.living if one.expires > time.time() + _PATIENCE]
            assert all(one.identity.id in status.out for one in lasting), status.out
            _end_all(host, books)
        except (AssertionError, TimeoutError) as error:
            tools = "\n".join(
                f"{player.name} {told.step} {player.life.steps[told.step]}: {told.answer.status} "
                f"{told.answer.out!r} {told.answer.err!r}"
                for player in players
                for told in player.told
            )
            raise AssertionError(f"{error}\n{tools}\n{host.log}") from error
        deaths = host.deaths
    host.remove()
    return deaths
