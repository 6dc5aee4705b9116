"""HTCondor's own programs read our journal and history, ours reads HTCondor's, and one holds it."""

import re
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from htcondor_annex.annex import Annex, AnnexState
from htcondor_annex.journal import classadlog
from htcondor_annex.journal.ads import ads_of
from htcondor_annex.journal.store import FileJournal
from localcloud import LocalCloud
from localcloud.pool import Node, Pool, wait_until
from tests.journals import an_annex, ended, in_journal, journal_in
from tests.pool.support import InPool

pytestmark = pytest.mark.pool

_HOME = "/home/tester"
_STATE = f"{_HOME}/command.state"
_PROGRAMS = ("/usr/bin/condor_annex", "/usr/libexec/condor/condor_annex")
_DAMAGED = 4  # its exit status when it cannot read its log
_JOURNAL = "/var/spool/condor/annexd.journal"
_HISTORY = "/var/spool/condor/annexd.history"

Ads = Mapping[str, Mapping[str, str]]


def _ads(text: str) -> Ads:
    return ads_of(classadlog.load(text.encode()).operations)


def _htcondors_tool(node: Node, text: str) -> tuple[int, str]:
    """Give a log to HTCondor's own condor_annex, which reads it before it does anything.

    Returns:
        Its exit status, and the log as it then is.
    """
    program = next(one for one in _PROGRAMS if node.run("test", "-x", one, check=False).status == 0)
    node.write(_STATE, text, owner="tester", mode=0o600)
    for name in ("access-key", "secret-key"):
        node.write(f"{_HOME}/{name}", "AKIAIOSFODNN7EXAMPLE", owner="tester", mode=0o600)
    node.run("install", "-d", "-m", "0700", f"{_HOME}/.condor", user="tester")
    done = node.run(
        *("env", f"_CONDOR_ANNEX_COMMAND_STATE={_STATE}"),
        *(f"_CONDOR_SEC_PASSWORD_FILE={_HOME}/access-key", program),
        *("-annex-name", "x", "-count", "1", "-aws-on-demand", "-yes", "-duration", "1"),
        *("-aws-access-key-file", f"{_HOME}/access-key"),
        *("-aws-secret-key-file", f"{_HOME}/secret-key"),
        *("-aws-on-demand-lease-function-arn", "arn:aws:lambda:us-east-1:1:function:f"),
        *("-aws-s3-config-path", "bucket/config.tar.gz"),
        user="tester",
        check=False,
    )
    return done.status, node.read(_STATE)


@pytest.fixture
def journal(tmp_path: Path) -> str:
    """A journal with transactions, quotes, line breaks, unicode, changes and deletions."""

    async def write(journal: FileJournal) -> None:
        for number in range(3):
            await journal.put(an_annex(number, last_error='"quoted", \\ and\n\tbroken: ünïcode €'))
        await journal.put(an_annex(1, state=AnnexState.ACTIVE, waiting_for="a key"))
        await journal.put(an_annex(1, state=AnnexState.ENDING))
        await journal.retire(ended(2))

    in_journal(tmp_path, write)
    return journal_in(tmp_path).read_text()


def _number(text: str) -> int:
    (first, *_) = classadlog.load(text.encode()).operations
    assert isinstance(first, classadlog.HistoricalSequenceNumber)
    return first.number


def test_htcondor_reads_a_journal_of_ours(pool: Pool, journal: str) -> None:
    """HTCondor opens it, finds it not closed cleanly, and rewrites it: with the same ads."""
    status, rewritten = _htcondors_tool(pool.node, journal)
    assert status != _DAMAGED
    assert _number(journal) + 1 == _number(rewritten)
    assert "105" not in re.findall(r"^\d+", rewritten, re.MULTILINE)
    assert {"annexd", "id-0", "id-1"} == _ads(journal).keys()
    assert _ads(journal) == _ads(rewritten)


def test_what_htcondor_rewrote_is_a_journal(pool: Pool, journal: str, tmp_path: Path) -> None:
    """Ours opens what HTCondor wrote, with the same annexes."""
    _, rewritten = _htcondors_tool(pool.node, journal)
    found: list[Annex] = []

    async def look(journal: FileJournal) -> None:
        found.extend(journal.annexes())

    for directory, text in (("ours", journal), ("theirs", rewritten)):
        (tmp_path / directory).mkdir()
        journal_in(tmp_path / directory).write_text(text)
        in_journal(tmp_path / directory, look)
    assert 4 == len(found)
    key = {annex.identity.id: annex for annex in found[:2]}
    assert key == {annex.identity.id: annex for annex in found[2:]}


def test_htcondor_refuses_a_journal_with_a_bad_line(pool: Pool, journal: str) -> None:
    """So the test above can fail: a line that is none makes HTCondor's reader give up."""
    bad = journal.replace("103 id-1 State", "1x3 id-1 State", 1)
    assert (_DAMAGED, bad) == _htcondors_tool(pool.node, bad)


def test_htcondor_reads_the_daemons_own_journal(
    pool: Pool, annexd: InPool, cloud: LocalCloud
) -> None:
    """What the daemon of the pool has written is read too, by the tool and by -check-journal."""
    keys = annexd.write_keys(f"{_HOME}/keys", "tester")
    assert annexd.ask("tester", keys, "-annex-name", "journaled").status == 0
    text = pool.node.read(_JOURNAL)
    _, rewritten = _htcondors_tool(pool.node, text)
    assert len(_ads(text)) >= 2
    assert _ads(text) == _ads(rewritten)
    checked = pool.node.run("condor_annexd", "-check-journal").out
    assert f"A daemon holds it (process {annexd.pid()})." in checked
    assert re.search(r"^active +[1-9]", checked, re.MULTILINE)
    assert cloud.contents().fleets


def test_htcondor_reads_the_daemons_history(annexd: InPool, cloud: LocalCloud) -> None:
    """`condor_history -file` shows an annex whose lease is over, newest first."""
    keys = annexd.write_keys(f"{_HOME}/keys", "tester")
    for name in ("over-1", "over-2"):
        ended = annexd.ask("tester", keys, "-annex-name", name, "-lease-duration", "4")
        assert ended.status == 0, ended.err

    def shown(*arguments: str) -> list[str]:
        asked = ["condor_history", "-file", _HISTORY, *arguments, "-af", "AnnexName", "State"]
        lines = annexd.node.run(*asked, check=False).out.splitlines()
        return [line for line in lines if line.startswith("over-")]

    wait_until(lambda: len(shown()) == 2, "both annexes in the history")
    assert {"over-1 ended", "over-2 ended"} == set(shown())
    assert shown() == shown("-forwards")[::-1]
    assert [shown()[1]] == shown("-constraint", f'AnnexName == "{shown()[1].split()[0]}"')
    assert cloud.contents().empty
    assert annexd.node.run("stat", "-c", "%a %U", _HISTORY).out == "600 condor\n"


_JOB = """
executable = /bin/sleep
arguments = "1 'two words' ""quoted"" x"
+Wild = "a \\"b\\" \\\\ ünï"
+Sum = 1 + 2 * RequestCpus
requirements = Memory > 1 && Arch =!= "none"
hold = true
log = job.log
queue 2
"""


def test_ours_reads_a_log_that_htcondor_wrote(pool: Pool) -> None:
    """A schedd's job queue, read by our reader, has the attributes that condor_q shows."""
    pool.node.write(f"{_HOME}/journal.sub", _JOB, owner="tester")
    submitted = pool.node.run("condor_submit", "journal.sub", user="tester").out
    found = re.search(r"cluster (\d+)", submitted)
    assert found is not None
    cluster = found[1]
    try:
        pool.node.run("condor_qedit", f"{cluster}.1", "Wild", "undefined", user="tester")
        ads = _ads(pool.node.read("/var/spool/condor/job_queue.log"))
        whole = ads[f"0{cluster}.-1"]
        wanted = ("Args", "Arguments", "ClusterId", "Cmd", "Owner", "Sum", "Requirements", "Wild")
        for number in ("0", "1"):
            job = {**whole, **ads[f"{cluster}.{number}"]}
            shown = _long(pool.node.run("condor_q", "-long", f"{cluster}.{number}").out)
            ours = {name: job[name] for name in wanted if name in job}
            assert ours == {name: shown[name] for name in ours}
            assert {"ClusterId", "Cmd", "Owner", "Sum", "Requirements", "Wild"} <= ours.keys()
        assert whole["Wild"] != ads[f"{cluster}.1"]["Wild"]
    finally:
        pool.node.run("condor_rm", cluster, user="tester")


def _long(text: str) -> dict[str, str]:
    """Return the attributes of one ad in long form."""
    lines = [line.partition(" = ") for line in text.splitlines() if " = " in line]
    return {name: expression for name, _, expression in lines}


_SECOND = """
DAEMON_LIST = $(DAEMON_LIST) ANNEXD2
ANNEXD2 = $(ANNEXD)
ANNEXD2_ARGS = -f
ANNEXD2.ANNEXD_SOCKET = $(LOCK)/annexd2.sock
ANNEXD2.ANNEXD_LOG = $(LOG)/Annexd2Log
MASTER_ANNEXD2_BACKOFF_CONSTANT = 1
"""


def test_a_second_annexd_is_not_restarted(pool: Pool, annexd: InPool) -> None:
    """On the journal of the first it ends with 99, names the holder, and master lets it rest."""
    holder = annexd.pid()
    pool.configure("97-second", _SECOND)
    try:
        pool.node.run("condor_reconfig")
        ended = "exited with status 99 (daemon will not restart automatically)"
        wait_until(lambda: ended in pool.log("MasterLog"), "end of the second annexd")
        time.sleep(3)  # a daemon that is restarted has been by now: see the knob
        (line,) = [line for line in pool.log("MasterLog").splitlines() if "ANNEXD2 (pid" in line]
        assert ended in line
        assert f"the journal {_JOURNAL} is held by another annexd (process {holder})" in pool.log(
            "Annexd2Log"
        )
        assert holder == annexd.pid()
    finally:
        pool.configure("97-second", "")
        pool.node.run("condor_reconfig")
