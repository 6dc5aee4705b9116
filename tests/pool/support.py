"""What the pool's tests share: the daemon in its pool, and a user's files there."""

import json
from typing import Any

from localcloud.pool import Bindings, Done, Node, Pool, suite, wait_until
from tests.support import ACCESS_KEY, FUNCTION_ARN, ROOT, SECRET_KEY, console_config

ANNEXD = "condor_annexd"
CHANGED = "96-changed"


def pool_files(endpoint: str, bindings: Bindings) -> dict[str, str]:
    """Return what is in config.d: the project's own file, unchanged, and the test's knobs."""
    knobs = {
        "ANNEX_DEFAULT_EC2_URL": endpoint,
        "ANNEX_DEFAULT_CWE_URL": endpoint,
        "ANNEX_DEFAULT_LAMBDA_URL": endpoint,
        # Restarted after a second, not after ten and then more.
        "MASTER_ANNEXD_BACKOFF_CONSTANT": "1",
        "MASTER_ANNEXD_BACKOFF_FACTOR": "1.0",
    }
    if bindings is Bindings.PYPI and suite() != "sid":
        # PyPI's newest bindings are newer than the daemons of Debian stable: they want local
        # authentication tied to the connection, which those daemons do not know yet. On this
        # network of its own there is nobody to relay it.
        knobs["ANNEXD.SEC_FS_ENFORCE_CHANNEL_BINDING"] = "False"
    return {
        "80annexd": (ROOT / "config" / "80annexd").read_text(),
        "95-test": "".join(f"{name} = {value}\n" for name, value in knobs.items()),
        CHANGED: "",
    }


class InPool:
    """The daemon as its pool and its users see it."""

    def __init__(self, pool: Pool) -> None:
        """Look at this pool."""
        self.pool = pool
        self.node: Node = pool.node

    def ad(self) -> dict[str, Any]:
        """Return the daemon's ad from the collector; empty if there is none."""
        text = self.node.run("condor_status", "-subsystem", "annexd", "-json").out
        ads = json.loads(text or "[]")
        assert len(ads) <= 1
        return dict(ads[0]) if ads else {}

    def pid(self) -> int:
        """Return the process that condor_master started; 0 if there is none."""
        return self.pool.children().get(ANNEXD, 0)

    def up(self) -> bool:
        """Whether it runs, and the pool knows."""
        return bool(self.pid() and self.ad())

    def wait_until_up(self) -> None:
        """Wait until it runs and the pool knows."""
        wait_until(self.up, "annexd that the pool knows")

    def tree(self) -> dict[int, tuple[int, ...]]:
        """Return the daemon's processes: id to real, effective, saved and file-system user id."""
        own = self.pid()
        children = self.node.run("pgrep", "--parent", str(own), check=False).out.split()
        return {pid: self._users(pid) for pid in [own, *map(int, children)]}

    def _users(self, pid: int) -> tuple[int, ...]:
        status = self.node.read(f"/proc/{pid}/status").splitlines()
        (line,) = (line for line in status if line.startswith("Uid:"))
        return tuple(map(int, line.split()[1:]))

    def write_keys(self, directory: str, owner: str, mode: int = 0o600) -> tuple[str, str]:
        """Write key files that the local cloud takes; return their names."""
        files = (f"{directory}/access", f"{directory}/secret")
        for path, content in zip(files, (ACCESS_KEY, SECRET_KEY), strict=True):
            self.node.write(path, content + "\n", owner=owner, mode=mode)
        return files

    def ask(self, user: str, keys: tuple[str, str], *arguments: str) -> Done:
        """Run condor_annex as a user, with a small configuration."""
        access, secret = keys
        given = ["-access", access, "-secret", secret, "-lease-function-arn", FUNCTION_ARN]
        return self.node.run(
            *("condor_annex", *given, *arguments, "-"),
            user=user,
            stdin=json.dumps(console_config()),
            check=False,
        )
