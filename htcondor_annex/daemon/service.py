"""What the daemon does for its callers; knows nothing of HTTP."""

import asyncio
import logging
import time
import uuid
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from typing import Any, TypeVar

from htcondor_annex.annex import (
    Annex,
    AnnexEvent,
    AnnexRequest,
    AnnexState,
    Owner,
    advance,
)
from htcondor_annex.aws.clients import Calls, Clients
from htcondor_annex.aws.credentials import Credentials, parse_key
from htcondor_annex.aws.endpoints import check_endpoints
from htcondor_annex.daemon.keyreader import KeyReader
from htcondor_annex.errors import AnnexError, RequestError, ShuttingDownError
from htcondor_annex.journal import Journal
from htcondor_annex.knobs import Knobs
from htcondor_annex.plan import AwsModel, plan
from htcondor_annex.provision.runner import Progress, Runner
from htcondor_annex.provision.table import STEPS

__all__ = ["Service", "Tell"]

_log = logging.getLogger(__name__)

Tell = Callable[[Mapping[str, Any]], None]
"""Takes one JSON-able event for the one who waits."""

_UNDO_PATIENCE = 30.0  # seconds that a caller waits to hear that all is undone
_KEEP_INTERVAL = 1.0
_KEYS_INTERVAL = 5.0  # seconds between two looks for key files that have gone
_T = TypeVar("_T")


def _nobody(event: Mapping[str, Any]) -> None:
    """Hear what nobody waits for."""


_UNFINISHED = frozenset({AnnexState.REQUESTED, AnnexState.PROVISIONING, AnnexState.ROLLING_BACK})


class Service:
    """The annexes of one daemon; used from one thread, the event loop.

    Args:
        knobs: The daemon's; may be replaced when the configuration is read again.
        journal: What the daemon answers for.
        keys: Opens the callers' key files.
        changed: Called when an annex has been made or is gone.
    """

    def __init__(
        self, knobs: Knobs, journal: Journal, keys: KeyReader, changed: Callable[[], None]
    ) -> None:
        """Make the thread pool, and load AWS's models so that no request waits for them."""
        self.knobs = knobs
        self._journal = journal
        self._keys = keys
        self._changed = changed
        self._executor = ThreadPoolExecutor(knobs.threads, thread_name_prefix="aws")
        self._clients = Clients(knobs.threads, knobs.aws_timeout)
        self._model = AwsModel(self._clients.spot_fleet_shape(), self._clients.partitions())
        self._runner = Runner(journal, self._executor, time.monotonic)
        self._work: set[asyncio.Task[Any]] = set()
        self._promised: set[tuple[int, str]] = set()
        self._waiting: set[asyncio.Task[Any] | None] = set()
        self._stopping = False

    def warm(self) -> None:
        """Make ready for the first request, and say what every request would be refused for."""
        knobs = self.knobs
        try:
            endpoints = check_endpoints(
                knobs.ec2_url,
                knobs.events_url,
                knobs.lambda_url,
                self._model.partitions,
                knobs.region,
            )
        except RequestError as error:
            _log.warning("%s: %s", error.message, "; ".join(error.problems))
        else:
            self._clients.warm(endpoints)

    def counts(self) -> dict[AnnexState, int]:
        """Return how many annexes are in each state."""
        found = Counter(annex.state for annex in self._journal.annexes())
        return {state: found[state] for state in AnnexState}

    def annexes_of(self, owner: Owner) -> list[Annex]:
        """Return the owner's annexes."""
        return [annex for annex in self._journal.annexes() if annex.owner.uid == owner.uid]

    def _credentials(self, annex: Annex) -> Credentials:
        """Read the annex's key files as their owner; blocking."""
        uid = annex.owner.uid
        access, secret = annex.access_key_file, annex.secret_key_file
        return Credentials(
            parse_key("access", access, self._keys.open(access, uid)),
            parse_key("secret", secret, self._keys.open(secret, uid)),
        )

    async def create(self, owner: Owner, request: AnnexRequest, tell: Tell) -> Annex:
        """Make an annex, whether or not its caller stays to hear of it.

        Args:
            owner: Who asks, by the kernel's word.
            request: Checked for form.
            tell: Hears what happens, step by step.

        Returns:
            The annex, active.

        Raises:
            AnnexError: If nothing was made, or what was made is undone (or being undone).
        """
        if self._stopping:
            raise ShuttingDownError("annexd is shutting down", advice="Try again later.")
        return await asyncio.shield(self._start(self._create(owner, request, tell)))

    def _forget(self, work: asyncio.Task[Any]) -> None:
        self._work.discard(work)
        if not work.cancelled() and (error := work.exception()) is not None:
            known = isinstance(error, AnnexError)
            _log.log(logging.INFO if known else logging.ERROR, "request ended: %s", error)

    async def _create(self, owner: Owner, request: AnnexRequest, tell: Tell) -> Annex:
        promised = {name for uid, name in self._promised if uid == owner.uid}
        annex = plan(
            request,
            owner=owner,
            knobs=self.knobs,
            model=self._model,
            now=int(time.time()),
            annex_id=str(uuid.uuid4()),
            annexd_id=self._journal.annexd_id,
            names_taken=promised | {one.identity.name for one in self.annexes_of(owner)},
        )
        promise = (owner.uid, annex.identity.name)
        self._promised.add(promise)
        try:
            reading = partial(self._credentials, annex)
            loop = asyncio.get_running_loop()
            credentials = await loop.run_in_executor(self._executor, reading)
            await self._journal.put(annex)
        finally:
            self._promised.discard(promise)
        for remark in annex.remarks:
            tell({"remark": remark})
        _log.info(
            "annex %s (%s) of %s: requested; lease until %d",
            annex.identity.id,
            annex.identity.name,
            owner.name,
            annex.lease.expires,
        )
        return await self._provision(
            annex, Calls(self._clients, credentials, annex.endpoints), tell
        )

    def _heard(self, annex: Annex, tell: Tell) -> Callable[[Progress], None]:
        """Return what logs an annex's progress, and tells it."""

        def heard(progress: Progress) -> None:
            _log.info(
                "annex %s: %s: %s (%.3f s)%s",
                annex.identity.id,
                progress.step,
                progress.what,
                progress.seconds,
                f": {progress.error}" if progress.error else "",
            )
            tell({"progress": asdict(progress)})

        return heard

    async def _provision(self, annex: Annex, aws: Calls, tell: Tell) -> Annex:
        annex, failure = await self._runner.provision(annex, aws, self._heard(annex, tell))
        self._changed()
        if failure is None:
            _log.info("annex %s: active as %s", annex.identity.id, annex.capacity_id)
            return annex
        undoing = self._start(self._undo(annex, aws, tell))
        done, _ = await asyncio.wait({undoing}, timeout=_UNDO_PATIENCE)
        if not done:
            failure.advice += " Not all is undone yet: annexd goes on with it, and logs it."
        raise failure

    async def _undo(self, annex: Annex, aws: Calls, tell: Tell) -> None:
        annex = await self._runner.undo_all(annex, aws, self._heard(annex, tell))
        _log.info("annex %s: %s; nothing of it is left in AWS", annex.identity.id, annex.state)
        await self._journal.remove(annex.identity.id)
        self._changed()

    def _start(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._forget)
        return task

    def resume(self) -> None:
        """Take up what the journal holds: go on with what is half done."""
        for annex in self._journal.annexes():
            _log.info("annex %s: taken up again, %s", annex.identity.id, annex.state)
            if annex.state is not AnnexState.ACTIVE:
                self._waiting.add(self._start(self._go_on(annex)))

    async def keep(self) -> None:
        """End leases when they are over, until cancelled."""
        while True:
            now = time.time()
            for annex in self._journal.annexes():
                if annex.state is AnnexState.ACTIVE and now >= annex.lease.expires:
                    _log.info("annex %s: its lease is over", annex.identity.id)
                    ending = advance(annex, AnnexEvent.END)
                    await self._journal.put(ending)
                    self._waiting.add(self._start(self._go_on(ending)))
            await asyncio.sleep(_KEEP_INTERVAL)

    async def _go_on(self, annex: Annex) -> None:
        """Bring an annex from wherever it stands to where nobody need wait for it."""
        credentials = await self._credentials_in_time(annex)
        self._waiting.discard(asyncio.current_task())
        aws = Calls(self._clients, credentials, annex.endpoints)
        if annex.state in {AnnexState.REQUESTED, AnnexState.PROVISIONING}:
            if time.time() < annex.lease.expires:
                await self._provision(annex, aws, _nobody)
                return
            error = "its lease was over before it was made"
            annex = advance(replace(annex, done=tuple(STEPS)), AnnexEvent.STEP_FAILED, error=error)
            await self._journal.put(annex)
        await self._undo(annex, aws, _nobody)

    async def _credentials_in_time(self, annex: Annex) -> Credentials:
        """Read the annex's key files, waiting for them where they have gone."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                return await loop.run_in_executor(self._executor, partial(self._credentials, annex))
            except AnnexError as error:
                if annex.last_error != error.message:
                    _log.warning("annex %s waits: %s", annex.identity.id, error)
                    annex = replace(annex, last_error=error.message)
                    await self._journal.put(annex)
                await asyncio.sleep(_KEYS_INTERVAL)

    async def stop(self, patience: float) -> None:
        """Take no new work, let the steps under way end, and undo what is half done.

        Args:
            patience: Seconds to wait for that.
        """
        self._stopping = True
        self._runner.stop()
        for waiting in self._waiting:  # for keys: the journal keeps them
            if waiting is not None:
                waiting.cancel()
        if self._work:
            _log.info("waiting for %d annexes under way", len(self._work))
            await asyncio.wait(self._work, timeout=patience)
        for annex in self._journal.annexes():
            if annex.state in _UNFINISHED:
                _log.error(
                    "annex %s is left %s; these steps stand in AWS: %s",
                    annex.identity.id,
                    annex.state,
                    ", ".join(annex.done) or "none",
                )
        self._executor.shutdown(wait=False, cancel_futures=True)
