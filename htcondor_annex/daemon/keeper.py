"""The keeper: the daemon's loop that keeps what annexes promise.

It ends leases on time, looks at all of an account's annexes together (as many calls as AWS has
pages, not as there are annexes), brings promised changes to their end, and looks for what carries
this daemon's tag and belongs to no annex: first in the cloud, then in the journal, so that what is
being made at that moment is never taken for an orphan.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import Executor
from functools import partial
from typing import Any

from htcondor_annex.annex import Annex, AnnexState, Identity, Lease, LeaseMethod, Owner
from htcondor_annex.daemon.keyreader import user_name
from htcondor_annex.daemon.keyring import Account, Keyring, account_of
from htcondor_annex.daemon.worker import Worker
from htcondor_annex.errors import AnnexError, JournalError
from htcondor_annex.inventory.judge import (
    Doubt,
    Holdings,
    Limits,
    Orphan,
    Sight,
    judge,
    orphans,
)
from htcondor_annex.inventory.survey import Survey
from htcondor_annex.journal import Journal
from htcondor_annex.knobs import Knobs
from htcondor_annex.provision.table import STEPS

__all__ = ["LOOKS_AT_ONCE", "Keeper"]

_log = logging.getLogger(__name__)

_LEASE_INTERVAL = 1.0
_JITTER = 0.1
_SAID_AT = 2  # looks: an annex may have ended during the first
LOOKS_AT_ONCE = 4
"""Accounts that are looked at together.

So many threads are the looks' own: thirty-two would each keep the memory that a page of a thousand
instances took, for glibc has an arena for each thread."""


class Keeper:
    """Follows the annexes of the journal; used from one thread, the event loop.

    Args:
        knobs: The daemon's; may be replaced.
        journal: What the daemon answers for.
        worker: Changes and ends annexes.
        keyring: Gives what calls AWS.
        executor: Where the looks run.
        changed: Called with an annex's id when it looks otherwise than before.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        *,
        knobs: Knobs,
        journal: Journal,
        worker: Worker,
        keyring: Keyring,
        executor: Executor,
        changed: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Have seen nothing yet."""
        self.knobs = knobs
        self._journal = journal
        self._worker = worker
        self._keyring = keyring
        self._executor = executor
        self._changed = changed
        self._clock = clock
        self._sights: dict[str, Sight] = {}
        self._doubts: dict[Account, Mapping[str, Doubt]] = {}
        self._orphan_doubts: dict[Account, Mapping[str, Doubt]] = {}
        self._surveys: dict[tuple[object, ...], Survey] = {}
        self._troubles: dict[Account, str] = {}
        self._busy: set[str] = set()
        self._turn = asyncio.Semaphore(LOOKS_AT_ONCE)

    def sight(self, annex_id: str) -> Sight | None:
        """Return how an annex was last seen in AWS, or None if it has not been."""
        return self._sights.get(annex_id)

    async def run(self) -> None:
        """Keep leases and look around, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_leases())
            tasks.create_task(self._look_around())

    # -- leases --------------------------------------------------------------------------------

    async def _keep_leases(self) -> None:
        while True:
            now = time.time()
            for annex in self._journal.annexes():
                if annex.state is AnnexState.ACTIVE and now >= annex.expires:
                    self._once(annex, self._worker.end(annex.identity.id, "its lease is over"))
            await asyncio.sleep(_LEASE_INTERVAL)

    def _once(self, annex: Annex, work: Coroutine[Any, Any, Any]) -> None:
        """Start a work on an annex, if none of ours is under way on it."""
        annex_id = annex.identity.id
        if annex_id in self._busy or self._worker.stopping:
            work.close()
            return
        self._busy.add(annex_id)
        self._worker.start(work).add_done_callback(lambda _: self._busy.discard(annex_id))

    # -- looks ---------------------------------------------------------------------------------

    async def _look_around(self) -> None:
        reconciled: float | None = None
        while True:
            now = self._clock()
            whole = reconciled is None or now - reconciled >= self.knobs.reconcile_interval
            if whole:
                reconciled = now
            try:
                self._worker.resume()  # whatever a defect has let fall
                await self._look(whole=whole)
            except Exception:  # noqa: BLE001  (the last resort: logged with its trace)
                # The loop that looks after everything outlives any defect; this tells where it is.
                _log.exception("a defect in the keeper")
            pause = min(self.knobs.poll_interval, self.knobs.reconcile_interval)
            await asyncio.sleep(pause * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311  (a wait)

    def _accounts(self, *, whole: bool) -> set[Account]:
        """Return the accounts with annexes; for a whole look those with annexes of late too."""
        found = {account_of(annex) for annex in self._journal.annexes()}
        if whole:
            # An annex's things live no longer than the longest lease after its end.
            oldest = time.time() - self.knobs.max_lease
            found |= {
                account_of(annex)
                for annex in self._journal.recent()
                if annex.ended is not None and annex.ended > oldest
            }
        return found

    def _known(self) -> set[str]:
        return {annex.identity.id for annex in self._journal.annexes()}

    async def _look(self, *, whole: bool) -> None:
        """Look at every account once, and act on what was seen."""
        by_key: dict[tuple[object, ...], tuple[Account, list[Account]]] = {}
        accounts = self._accounts(whole=whole)
        for account in accounts:
            try:
                credentials = await self._keyring.credentials(account)
            except AnnexError as error:
                self._trouble(account, error)
                continue
            # Users who share a key share the look.
            key = (credentials.access_key_id, account.endpoints)
            by_key.setdefault(key, (account, []))[1].append(account)
        self._surveys = {key: self._surveys.get(key, Survey()) for key in by_key}
        await asyncio.gather(
            *(
                self._look_at(self._surveys[key], first, sharing, whole=whole)
                for key, (first, sharing) in by_key.items()
            )
        )
        known = self._known()
        self._sights = {key: sight for key, sight in self._sights.items() if key in known}
        for memory in (self._doubts, self._orphan_doubts, self._troubles):
            for account in memory.keys() - accounts:
                memory.pop(account)

    async def _look_at(
        self, survey: Survey, account: Account, sharing: Iterable[Account], *, whole: bool
    ) -> None:
        """Look with the keys of one account, for all that share them."""
        templates = {
            annex.capacity_id
            for annex in self._of(sharing)
            if annex.capacity_id and not annex.parameters.get("LaunchSpecifications")
        }
        known = self._known()
        async with self._turn:
            try:
                aws = await self._keyring.calls(account)
                take = partial(
                    survey.take, aws, self._journal.annexd_id, templates, known, rules=whole
                )
                holdings = await asyncio.get_running_loop().run_in_executor(self._executor, take)
            except AnnexError as error:
                self._trouble(account, error)
                return
        if self._troubles.pop(account, None):
            _log.info("AWS can be looked at again with the keys of %s", user_name(account.uid))
        # The journal as it is after the look: what it does not know now, it did not make before.
        self._act_on(account, self._of(sharing), holdings)
        if whole:
            await self._end_orphans(account, holdings)

    def _of(self, accounts: Iterable[Account]) -> list[Annex]:
        wanted = set(accounts)
        return [one for one in self._journal.annexes() if account_of(one) in wanted]

    def _trouble(self, account: Account, error: AnnexError) -> None:
        if self._troubles.get(account) != error.message:
            self._troubles[account] = error.message
            _log.warning(
                "AWS cannot be looked at with the keys of %s: %s", user_name(account.uid), error
            )

    def _limits(self) -> Limits:
        return Limits(confirm=self.knobs.confirm_time, grace=self.knobs.orphan_grace)

    def _act_on(self, account: Account, annexes: list[Annex], holdings: Holdings) -> None:
        verdicts = judge(
            annexes,
            holdings,
            self._doubts.get(account, {}),
            self._limits(),
            now=self._clock(),
            wall=int(time.time()),
        )
        self._doubts[account] = verdicts.doubts
        for annex_id, sight in verdicts.sights.items():
            if sight.differs(self._sights.get(annex_id)):
                self._changed(annex_id)
            self._sights[annex_id] = sight
        for annex in annexes:
            annex_id = annex.identity.id
            if self._worker.busy(annex_id) or annex.state is not AnnexState.ACTIVE:
                continue
            if reason := verdicts.gone.get(annex_id):
                self._once(annex, self._worker.end(annex_id, reason))
            elif annex.lease_wanted is not None:
                self._once(annex, self._worker.update_lease(annex_id, None))
            elif annex_id in verdicts.late:
                _log.info("annex %s: instances with an older lease are tagged anew", annex_id)
                self._once(annex, self._worker.update_lease(annex_id, annex.lease.expires))

    # -- orphans -------------------------------------------------------------------------------

    async def _end_orphans(self, account: Account, holdings: Holdings) -> None:
        ripe, doubts = orphans(
            self._known(),
            self._journal.annexd_id,
            holdings,
            self._orphan_doubts.get(account, {}),
            self._limits(),
            now=self._clock(),
        )
        for key in [key for key, doubt in doubts.items() if doubt.looks == _SAID_AT]:
            _log.warning("%s: in AWS with this daemon's tag, but the journal does not know it", key)
        self._orphan_doubts[account] = doubts
        for orphan in ripe:
            annex = self._adopted(orphan, account)
            _log.warning("orphan %s is ended: %s", orphan.annex_id, ", ".join(orphan.what[:10]))
            try:
                await self._journal.put(annex)
            except JournalError:
                return  # said by the journal; the next look finds it again
            self._worker.adopt(annex)

    def _adopted(self, orphan: Orphan, account: Account) -> Annex:
        """Return an orphan as an annex that is ending, so that it is ended like any other."""
        return Annex(
            identity=Identity(orphan.annex_id, orphan.name, self._journal.annexd_id),
            owner=Owner(account.uid, user_name(account.uid)),
            lease=Lease(orphan.expires, ""),  # it may have a rule of its own
            endpoints=account.endpoints,
            access_key_file=account.access_key_file,
            secret_key_file=account.secret_key_file,
            client_token=orphan.annex_id,
            parameters={},
            created=int(time.time()),
            state=AnnexState.ENDING,
            done=tuple(STEPS[LeaseMethod.RULE]),
            last_error="found in AWS with this daemon's tag, and unknown to the journal",
        )
