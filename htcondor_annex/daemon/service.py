"""What the daemon does for its callers; knows nothing of HTTP."""

import asyncio
import logging
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from htcondor_annex.annex import Annex, AnnexRequest, AnnexState, Owner
from htcondor_annex.aws.clients import Clients
from htcondor_annex.daemon.keeper import LOOKS_AT_ONCE, Keeper
from htcondor_annex.daemon.keyreader import KeyReader
from htcondor_annex.daemon.keyring import Keyring, account_of
from htcondor_annex.daemon.worker import Tell, Worker, shutting_down
from htcondor_annex.errors import (
    CalledOffError,
    NoSuchAnnexError,
    NotDoneError,
    RequestError,
)
from htcondor_annex.inventory.judge import Sight
from htcondor_annex.journal import Journal
from htcondor_annex.knobs import Knobs
from htcondor_annex.plan import AwsModel, new_end, plan, usual_endpoints
from htcondor_annex.provision.runner import Runner
from htcondor_annex.provision.waiting import Patience
from htcondor_annex.times import iso8601

__all__ = ["Service", "Tell"]

_log = logging.getLogger(__name__)

_END_PATIENCE = 600.0
"""Seconds that a caller waits to hear that an annex has ended."""


class Service:
    """The annexes of one daemon; used from one thread, the event loop.

    Args:
        knobs: The daemon's; `use` replaces them when the configuration is read again.
        journal: What the daemon answers for.
        keys: Opens the callers' key files.
        changed: Called with an annex's id when it has been made, has changed or is gone.
    """

    def __init__(
        self, knobs: Knobs, journal: Journal, keys: KeyReader, changed: Callable[[str], None]
    ) -> None:
        """Make the thread pool, and load AWS's models so that no request waits for them."""
        self._journal = journal
        self._executor = ThreadPoolExecutor(knobs.threads, thread_name_prefix="aws")
        self._lookers = ThreadPoolExecutor(LOOKS_AT_ONCE, thread_name_prefix="look")
        self._clients = Clients(knobs.threads + LOOKS_AT_ONCE, knobs.aws_timeout)
        self._model = AwsModel(self._clients.spot_fleet_shape(), self._clients.partitions())
        self._keyring = Keyring(keys, self._clients, self._executor)
        self._runner = Runner(journal, self._executor, _patience(knobs))
        self._worker = Worker(journal, self._runner, self._keyring, changed)
        self._keeper = Keeper(
            knobs=knobs,
            journal=journal,
            worker=self._worker,
            keyring=self._keyring,
            executor=self._lookers,
            changed=changed,
        )
        self._promised: set[tuple[int, str]] = set()
        self._asked: dict[tuple[int, str], asyncio.Task[Annex]] = {}
        self.use(knobs)

    def use(self, knobs: Knobs) -> None:
        """Take other knobs; say at once what every request would be refused for."""
        self.knobs = knobs
        self._runner.patience = _patience(knobs)
        self._keeper.knobs = knobs
        try:
            endpoints = usual_endpoints(knobs, self._model)
        except RequestError as error:
            _log.warning("%s: %s", error.message, "; ".join(error.problems))
        else:
            self._clients.warm(endpoints)

    def counts(self) -> dict[AnnexState, int]:
        """Return how many annexes are in each state."""
        found = Counter(annex.state for annex in self._journal.annexes())
        return {state: found[state] for state in AnnexState}

    def annexes(self) -> list[tuple[Annex, Sight | None]]:
        """Return all living annexes, each as it was last seen in AWS, if it was."""
        return [(one, self._keeper.sight(one.identity.id)) for one in self._journal.annexes()]

    def get(self, annex_id: str) -> tuple[Annex, Sight | None] | None:
        """Return one living annex, as it was last seen in AWS, if it was."""
        annex = self._journal.get(annex_id)
        return None if annex is None else (annex, self._keeper.sight(annex_id))

    def annexes_of(self, owner: Owner, name: str | None = None) -> list[tuple[Annex, Sight | None]]:
        """Return the owner's living annexes; with a name or id, that one, ended ones included."""
        if name is None:
            return [pair for pair in self.annexes() if pair[0].owner.uid == owner.uid]
        found = self._find(owner, name)
        return [] if found is None else [(found, self._keeper.sight(found.identity.id))]

    def _find(self, owner: Owner, name: str) -> Annex | None:
        """Return the owner's annex of that id or name: the living one, else the last that ended."""
        for annex in (*self._journal.annexes(), *reversed(self._journal.recent())):
            if annex.owner.uid == owner.uid and name in (annex.identity.id, annex.identity.name):
                return annex
        return None

    def _named(self, owner: Owner, name: str) -> Annex:
        annex = self._find(owner, name)
        if annex is None:
            raise NoSuchAnnexError(
                f"you have no annex named {name!r}", advice="`condor_annex status` lists yours."
            )
        return annex

    # -- create --------------------------------------------------------------------------------

    async def create(self, owner: Owner, request: AnnexRequest, tell: Tell) -> Annex:
        """Make an annex, whether or not its caller stays to hear of it.

        Asked again with a request token that is known, it makes no second one, and answers about
        the first.

        Args:
            owner: Who asks, by the kernel's word.
            request: Checked for form.
            tell: Hears what happens, step by step.

        Returns:
            The annex, active.

        Raises:
            AnnexError: If nothing was made, or what was made is undone (or being undone).
        """
        if self._worker.stopping:
            raise shutting_down()
        key = (owner.uid, request.request_token or str(uuid.uuid4()))
        asked = self._asked.get(key)
        if asked is None:
            known = self._by_token(*key)
            work = self._create(owner, request, tell) if known is None else self._follow(known)
            asked = self._asked[key] = self._worker.start(work)
            asked.add_done_callback(lambda _: self._asked.pop(key, None))
        return await asyncio.shield(asked)

    def _by_token(self, uid: int, token: str) -> Annex | None:
        for annex in (*self._journal.annexes(), *reversed(self._journal.recent())):
            if annex.request_token == token and annex.owner.uid == uid:
                return annex
        return None

    async def _follow(self, annex: Annex) -> Annex:
        """Wait for an annex that was asked for before; raises why it was not made."""
        annex_id = annex.identity.id
        while (task := self._worker.following(annex_id)) is not None:
            await asyncio.wait({task})
        annex = self._journal.get(annex_id) or self._latest(annex)
        if annex.activated is not None:
            return annex
        if not annex.over:
            raise shutting_down()
        raise CalledOffError(
            f"the annex {annex.identity.name} was not made: {annex.last_error}",
            advice="Nothing of it is left in AWS.",
        )

    def _latest(self, annex: Annex) -> Annex:
        return next(
            (
                one
                for one in reversed(self._journal.recent())
                if one.identity.id == annex.identity.id
            ),
            annex,
        )

    async def _create(self, owner: Owner, request: AnnexRequest, tell: Tell) -> Annex:
        if request.name is not None and self._is_taken(owner.uid, request.name):
            raise RequestError(
                f"you have an annex named {request.name!r} already{self._how(owner, request.name)}",
                advice="Give another -annex-name.",
            )
        annex = plan(
            request,
            owner=owner,
            knobs=self.knobs,
            model=self._model,
            now=int(time.time()),
            annex_id=str(uuid.uuid4()),
            annexd_id=self._journal.annexd_id,
        )
        promise = (owner.uid, annex.identity.name)
        self._promised.add(promise)
        try:
            # The caller must be able to read them now.
            aws = await self._keyring.calls(account_of(annex), fresh=True)
            with self._worker.reserved(annex.identity.id):
                await self._journal.put(annex)
                for remark in annex.remarks:
                    tell({"remark": remark})
                _log.info(
                    "annex %s (%s) of %s: requested; lease until %d",
                    annex.identity.id,
                    annex.identity.name,
                    owner.name,
                    annex.lease.expires,
                )
                making = self._worker.provision(annex, tell, aws)
        finally:
            self._promised.discard(promise)
        return await making

    def _is_taken(self, uid: int, name: str) -> bool:
        return (uid, name) in self._promised or any(
            one.owner.uid == uid and one.identity.name == name for one in self._journal.annexes()
        )

    def _how(self, owner: Owner, name: str) -> str:
        """Return how a living annex stands, in words."""
        annex = self._find(owner, name)
        if annex is None or annex.over:
            return ""
        what = f": it is {annex.state}"
        if annex.capacity_id is not None:
            what += f" as {annex.capacity_id}"
        return f"{what}, its lease ends at {iso8601(annex.expires)}"

    # -- change and end ------------------------------------------------------------------------

    async def update_lease(self, owner: Owner, name: str, duration: int, tell: Tell) -> Annex:
        """Let an annex's lease end so many seconds from now.

        Raises:
            NoSuchAnnexError: If the owner has none of that name or id.
            RequestError: If the lease would be too long.
            CalledOffError: If it is not active.
            AnnexError: If the lease could not be changed.
        """
        annex = self._named(owner, name)
        expires = new_end(annex, duration, now=int(time.time()), max_lease=self.knobs.max_lease)
        work = self._worker.start(self._worker.update_lease(annex.identity.id, expires, tell))
        return await asyncio.shield(work)

    async def end(self, owner: Owner, name: str, tell: Tell) -> Annex:
        """End an annex now, and wait until nothing of it is left.

        Returns:
            It, ended or failed; one that had ended before as well.

        Raises:
            NoSuchAnnexError: If the owner has none of that name or id.
            NotDoneError: If it is not all gone in time; the daemon goes on with it.
        """
        annex = self._named(owner, name)
        if annex.over:
            tell({"remark": f"it had ended already, at {iso8601(annex.ended or 0)}"})
            return annex
        work = self._worker.start(
            self._worker.end(annex.identity.id, f"ended by {owner.name}", tell)
        )
        done, _ = await asyncio.wait({work}, timeout=_END_PATIENCE)
        ended = work.result() if done else self._journal.get(annex.identity.id)
        if ended is None:
            return self._latest(annex)
        if not ended.over:
            why = f": it waits for this: {ended.waiting_for}" if ended.waiting_for else ""
            raise NotDoneError(
                f"the annex {name} has not ended yet{why}", advice="annexd goes on with it."
            )
        return ended

    # -- life ----------------------------------------------------------------------------------

    def resume(self) -> None:
        """Take up what the journal holds."""
        self._worker.resume()

    async def keep(self) -> None:
        """Keep what is promised, until cancelled: see `keeper`."""
        await self._keeper.run()

    async def stop(self, patience: float) -> None:
        """Take no new work, let the steps under way end, and undo what is half done.

        Args:
            patience: Seconds to wait for that.
        """
        await self._worker.stop(patience)
        for pool in (self._executor, self._lookers):
            pool.shutdown(wait=False, cancel_futures=True)


def _patience(knobs: Knobs) -> Patience:
    return Patience(retry=knobs.retry_time, confirm=knobs.confirm_time)
