"""Annexes kept in HTCondor's ClassAd transaction log, with group commit.

What changes while the disk is busy shares the next write and the next fdatasync. All is called
from one thread, the event loop; the disk is waited for in another.

A new annex is not there until its commit returns. Later changes of an annex are never lost to a
full disk: they stand in memory, are written when there is room, and after a crash in between the
steps are repeated from what the journal has, which changes nothing in AWS.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from htcondor_annex.annex import Annex
from htcondor_annex.errors import JournalError
from htcondor_annex.journal import attributes, classadlog
from htcondor_annex.journal.classadlog import Operation
from htcondor_annex.journal.logfile import LogFile

__all__ = ["FileJournal", "Quoting", "ads_of"]

_log = logging.getLogger(__name__)

_DAEMON_KEY = "annexd"
_DAEMON_TYPE = "Annexd"
_MYTYPE = "MyType"
_COMPACT_BYTES = 4 * 1024 * 1024
_RETRY_SECONDS = 2.0

Ad = dict[str, str]
"""Attribute to expression's text; MyType as it stands."""


class Quoting:
    """How texts become ClassAd strings, and back: the bindings' own way, passed in."""

    def __init__(self, quote: Callable[[str], str], unquote: Callable[[str], str]) -> None:
        """Hold the two functions."""
        self.quote = quote
        self.unquote = unquote

    def ad(self, annex: Annex) -> Ad:
        """Return an annex as an ad's text."""
        return {
            _MYTYPE: attributes.MYTYPE,
            **{
                name: str(value) if isinstance(value, int) else self.quote(value)
                for name, value in attributes.to_attributes(annex).items()
            },
        }

    def annex(self, ad: Mapping[str, str]) -> Annex:
        """Return an ad's annex; raises KeyError or ValueError if it is none."""
        return attributes.from_attributes(
            {
                name: self.unquote(text) if text.startswith('"') else int(text)
                for name, text in ad.items()
                if text.startswith('"') or text.lstrip("-").isdecimal()
            }
        )


def ads_of(operations: Iterable[Operation]) -> dict[str, Ad]:
    """Return the ads that a log's operations leave. Pure."""
    ads: dict[str, Ad] = {}
    for operation in operations:
        match operation:
            case classadlog.SetAttribute(key, name, expression):
                ads.setdefault(key, {})[name] = expression
            case classadlog.NewClassAd(key, mytype, _):
                ads.setdefault(key, {})[_MYTYPE] = mytype
            case classadlog.DestroyClassAd(key):
                ads.pop(key, None)
            case classadlog.DeleteAttribute(key, name):
                ads.get(key, {}).pop(name, None)
    return ads


def changes(key: str, before: Mapping[str, str], after: Mapping[str, str]) -> list[Operation]:
    """Return what turns one ad into another; an empty ad is none. Pure."""
    if not after:
        return [classadlog.DestroyClassAd(key)] if before else []
    made: list[Operation] = [] if before else [classadlog.NewClassAd(key, after[_MYTYPE])]
    made += [
        classadlog.SetAttribute(key, name, text)
        for name, text in after.items()
        if name != _MYTYPE and before.get(name) != text
    ]
    made += [classadlog.DeleteAttribute(key, name) for name in before if name not in after]
    return made


class FileJournal:
    """The journal on the disk; use `open`."""

    def __init__(self, file: LogFile, quoting: Quoting, ads: dict[str, Ad], sequence: int) -> None:
        """Take up what was loaded."""
        self._file = file
        self._quoting = quoting
        self._on_disk = ads
        self._sequence = sequence
        self._annexes = {
            key: quoting.annex(ad)
            for key, ad in ads.items()
            if ad.get(_MYTYPE) == attributes.MYTYPE
        }
        self.annexd_id = quoting.unquote(ads[_DAEMON_KEY]["AnnexdID"])
        self._dirty: dict[str, None] = {}
        self._waiters: list[asyncio.Future[None]] = []
        self._writer: asyncio.Task[None] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._failing = False
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="journal")

    @classmethod
    def open(cls, path: str, quoting: Quoting) -> Self:
        """Open a journal, made if there is none; blocking.

        Raises:
            JournalHeldError: If another daemon holds it.
            JournalError: If it cannot be read, or is damaged, naming the line.
        """
        file = LogFile.open(path)
        try:
            data = file.read()
            loaded = classadlog.load(data)
            if loaded.good < len(data):
                _log.warning(
                    "%s: the last %d bytes were never committed, and are dropped",
                    path,
                    len(data) - loaded.good,
                )
            ads = ads_of(loaded.operations)
            sequence = max(
                (
                    operation.number
                    for operation in loaded.operations
                    if isinstance(operation, classadlog.HistoricalSequenceNumber)
                ),
                default=0,
            )
            ads.setdefault(
                _DAEMON_KEY,
                {_MYTYPE: _DAEMON_TYPE, "AnnexdID": quoting.quote(str(uuid.uuid4()))},
            )
            journal = cls(file, quoting, ads, sequence)
            journal._compact()
        except classadlog.DamageError as damage:
            file.close()
            raise JournalError(
                f"the journal {path} is damaged: {damage}",
                advice="Nothing was changed. Keep a copy, then mend or remove that line; what "
                "stands behind it counts.",
            ) from damage
        except (KeyError, ValueError) as error:
            file.close()
            raise JournalError(f"the journal {path} holds what is no annex: {error!r}") from error
        except JournalError:
            file.close()
            raise
        return journal

    def get(self, annex_id: str) -> Annex | None:
        """Return the annex of that id, or None."""
        return self._annexes.get(annex_id)

    def annexes(self) -> Sequence[Annex]:
        """Return all annexes, the oldest first."""
        return tuple(self._annexes.values())

    async def put(self, annex: Annex) -> None:
        """Keep the annex as it now stands.

        Raises:
            JournalError: If the annex is new and cannot be written: it is not there then.
        """
        key = annex.identity.id
        new = key not in self._annexes
        self._annexes[key] = annex
        try:
            await self._commit(key)
        except JournalError:
            if new:
                del self._annexes[key]
                raise

    async def remove(self, annex_id: str) -> None:
        """Forget an annex of which nothing is left in AWS."""
        if self._annexes.pop(annex_id, None) is not None:
            try:
                await self._commit(annex_id)
            except JournalError:
                return  # written later; until then a restart looks at it once more

    async def close(self) -> None:
        """Write what is left, and let go of the file."""
        if self._retry is not None:
            self._retry.cancel()
        if self._writer is not None:
            await self._writer
        self._disk.shutdown()
        self._file.close()

    async def _commit(self, key: str) -> None:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._dirty[key] = None
        self._waiters.append(done)
        if self._writer is None or self._writer.done():
            self._writer = loop.create_task(self._write_all())
        await done

    def _text(self, keys: Iterable[str]) -> tuple[str, dict[str, Ad]]:
        """Return the transactions that bring these keys up to date, and the ads they leave."""
        texts: list[str] = []
        after: dict[str, Ad] = {}
        for key in keys:
            annex = self._annexes.get(key)
            after[key] = {} if annex is None else self._quoting.ad(annex)
            operations = changes(key, self._on_disk.get(key, {}), after[key])
            if operations:
                texts.append(classadlog.encode_transaction(operations))
        return "".join(texts), after

    async def _write_all(self) -> None:
        """Write whatever waits, until nothing does."""
        loop = asyncio.get_running_loop()
        while self._waiters:
            keys, waiters = self._dirty, self._waiters
            self._dirty, self._waiters = {}, []
            text, after = self._text(keys)
            try:
                if text:
                    await loop.run_in_executor(self._disk, self._file.append, text.encode())
                    self._settle(after)
                    if self._file.length > _COMPACT_BYTES:
                        await loop.run_in_executor(self._disk, self._compact)
            except JournalError as error:
                self._fail(keys, waiters, error)
                continue
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
            if self._failing:
                self._failing = False
                _log.info("the journal can be written again")

    def _settle(self, after: Mapping[str, Ad]) -> None:
        for key, ad in after.items():
            if ad:
                self._on_disk[key] = ad
            else:
                self._on_disk.pop(key, None)

    def _fail(
        self, keys: Iterable[str], waiters: Iterable[asyncio.Future[None]], error: JournalError
    ) -> None:
        if not self._failing:
            self._failing = True
            _log.error("%s", error)
        self._dirty.update(dict.fromkeys(keys))
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(error)
        if self._retry is None:
            loop = asyncio.get_running_loop()
            self._retry = loop.call_later(_RETRY_SECONDS, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        if self._dirty and (self._writer is None or self._writer.done()):
            loop = asyncio.get_running_loop()
            nobody: asyncio.Future[None] = loop.create_future()
            nobody.add_done_callback(lambda future: future.exception())
            self._waiters.append(nobody)
            self._writer = loop.create_task(self._write_all())

    def _compact(self) -> None:
        """Write the whole state in place of the log; blocking."""
        operations: list[Operation] = [
            classadlog.HistoricalSequenceNumber(self._sequence + 1, int(time.time()))
        ]
        for key, ad in list(self._on_disk.items()):
            operations += changes(key, {}, ad)
        self._file.replace("".join(map(classadlog.encode, operations)).encode())
        self._sequence += 1
