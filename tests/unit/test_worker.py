"""One work at a time on each annex: what comes at the same moment waits its turn."""

import asyncio
from dataclasses import replace
from typing import Any

from htcondor_annex.annex import Annex, AnnexEvent, AnnexState, advance
from htcondor_annex.daemon.worker import Worker, nobody
from tests.journals import an_annex


class _Books:
    """A journal in memory whose commit of an active annex takes until it is let."""

    def __init__(self) -> None:
        self.kept: dict[str, Annex] = {}
        self.asked, self.let = asyncio.Event(), asyncio.Event()

    async def put(self, annex: Annex, **_: object) -> None:
        self.kept[annex.identity.id] = annex
        if annex.state is AnnexState.ACTIVE:
            self.asked.set()
            await self.let.wait()

    def get(self, annex_id: str) -> Annex | None:
        return self.kept.get(annex_id)

    async def retire(self, annex: Annex) -> None:
        del self.kept[annex.identity.id]


class _Steps:
    """A runner whose steps all succeed at once."""

    def __init__(self, books: _Books) -> None:
        self._books = books

    async def provision(self, annex: Annex, *_: object, **__: object) -> tuple[Annex, None]:
        active = replace(annex, state=AnnexState.ACTIVE)
        await self._books.put(active)
        return active, None

    async def undo_all(self, annex: Annex, *_: object) -> Annex:
        return advance(replace(annex, ended=1), AnnexEvent.GONE)


def test_an_annex_ended_while_its_making_is_committed_ends() -> None:
    """It is active, and its maker has not returned yet: it is ended all the same."""

    async def story() -> Annex | None:
        books = _Books()
        worker: Any = Worker(books, _Steps(books), None, lambda _: None)  # type: ignore[arg-type]  # stand-ins
        annex = an_annex(1)
        making = worker.provision(annex, nobody, None)
        await books.asked.wait()
        ending = asyncio.create_task(worker.end("id-1", "ended by its owner"))
        for _ in range(10):
            await asyncio.sleep(0)
        books.let.set()
        await making
        ended: Annex | None = await ending
        return ended

    ended = asyncio.run(story())
    assert ended is not None
    assert AnnexState.ENDED == ended.state
