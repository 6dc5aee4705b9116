"""The keys that annexes are made and ended with: read as their owners, kept for a short while.

Thousands of annexes that end together need the same few files; what was read is used again for
`_KNOWN` seconds, in memory only.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import NamedTuple

from htcondor_annex.annex import Annex, Endpoints
from htcondor_annex.aws.clients import Calls, Clients
from htcondor_annex.aws.credentials import Credentials, parse_key
from htcondor_annex.daemon.keyreader import KeyReader

__all__ = ["Account", "Keyring", "account_of"]

_KNOWN = 20.0
_FRESH = 1.0


class Account(NamedTuple):
    """Whose keys reach AWS where: what annexes may share."""

    uid: int
    access_key_file: str
    secret_key_file: str
    endpoints: Endpoints


def account_of(annex: Annex) -> Account:
    """Return an annex's account."""
    return Account(annex.owner.uid, annex.access_key_file, annex.secret_key_file, annex.endpoints)


class Keyring:
    """Reads key files, and binds them to calls; used from the event loop."""

    def __init__(
        self,
        keys: KeyReader,
        clients: Clients,
        executor: Executor,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Hold no keys yet."""
        self._keys = keys
        self._clients = clients
        self._executor = executor
        self._clock = clock
        self._read: dict[Account, tuple[float, asyncio.Future[Credentials]]] = {}

    def _credentials(self, account: Account) -> Credentials:
        """Read the two files as their owner; blocking."""
        access, secret = account.access_key_file, account.secret_key_file
        return Credentials(
            parse_key("access", access, self._keys.open(access, account.uid)),
            parse_key("secret", secret, self._keys.open(secret, account.uid)),
        )

    async def credentials(self, account: Account, *, fresh: bool = False) -> Credentials:
        """Return the keys of an account.

        Args:
            account: Whose.
            fresh: The user is asking now, so he must be able to read them now: what was read for
                him less than a second ago counts, so that a thousand requests at once read once.

        Raises:
            KeyFileError: If a file cannot be used.
            AccessRefusedError: If the daemon may not read for this user.
        """
        now = self._clock()
        for known, (read, _) in list(self._read.items()):
            if now - read > (_FRESH if fresh and known == account else _KNOWN):
                del self._read[known]
        if account not in self._read:
            loop = asyncio.get_running_loop()
            reading = loop.run_in_executor(self._executor, partial(self._credentials, account))
            self._read[account] = (now, reading)
        _, reading = self._read[account]
        try:
            return await asyncio.shield(reading)
        except Exception:
            self.forget(account)  # the next one looks again
            raise

    def forget(self, account: Account) -> None:
        """Read the files again next time: AWS did not take the keys, or they were not there."""
        self._read.pop(account, None)

    async def calls(self, account: Account, *, fresh: bool = False) -> Calls:
        """Return what makes calls with the keys of an account; raises as `credentials`."""
        return Calls(self._clients, await self.credentials(account, fresh=fresh), account.endpoints)
