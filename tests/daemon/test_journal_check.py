"""`condor_annexd -check-journal` and `-repair`, on the journals of real daemons."""

import re
import signal
import stat
import sys
from pathlib import Path

import pytest

from localcloud import LocalCloud
from tests.support import Annexd, Ended, console_config, run, wait_for


def _check(annexd: Annexd, *arguments: str) -> Ended:
    command = [sys.executable, "-m", "htcondor_annex.daemon.main", "-check-journal", *arguments]
    return run(command, annexd)


def _journal(annexd: Annexd) -> Path:
    return annexd.directory / "annexd.journal"


@pytest.fixture
def with_two(own_annexd: Annexd, cloud: LocalCloud) -> Annexd:
    """A daemon with two annexes."""
    own_annexd.start()
    for name in ("one", "two"):
        assert own_annexd.ask(console_config(), "-annex-name", name).status == 0
    assert len(cloud.contents().fleets) == 2
    return own_annexd


def _damage(annexd: Annexd, old: str, new: str) -> int:
    """Change every line that matches; return the number of the last."""
    path = _journal(annexd)
    lines = path.read_text().split("\n")
    hits = [number for number, line in enumerate(lines) if re.search(old, line)]
    assert hits
    for number in hits:
        lines[number] = re.sub(old, new, lines[number])
    path.write_text("\n".join(lines))
    return hits[-1] + 1


def _ids(annexd: Annexd) -> dict[str, str]:
    """Return the annexes' ids by name."""
    text = _journal(annexd).read_text()
    return {name: key for key, name in re.findall(r'103 (\S+) AnnexName "(\w+)"', text)}


def test_it_tells_what_a_daemon_holds(with_two: Annexd) -> None:
    """While the daemon runs: who holds it, how much there is, in which states; status 0."""
    assert with_two.process is not None
    before = _journal(with_two).read_bytes()
    ended = _check(with_two)
    assert (0, "") == (ended.status, ended.err)
    first, *_ = ended.out.splitlines()
    counts = before.count(b"106 \n")
    assert first == f"-- Journal: {_journal(with_two)} : {len(before)} bytes, {counts} transactions"
    assert f"A daemon holds it (process {with_two.process.pid})." in ended.out
    assert re.search(r"^active +2$", ended.out, re.MULTILINE)
    assert re.search(r"^TOTAL +2$", ended.out, re.MULTILINE)
    assert before == _journal(with_two).read_bytes()
    assert with_two.ask(console_config()).status == 0


def test_it_tells_how_a_journal_was_closed(with_two: Annexd) -> None:
    """After the daemon's end it was closed cleanly; with a torn end, so much is not counted."""
    with_two.stop()
    clean = _check(with_two).out
    with _journal(with_two).open("ab") as file:
        file.write(b"105 \n102 half")
    torn = _check(with_two)
    assert "No daemon holds it.\nIt was closed cleanly.\n" in clean
    assert "Its last 13 bytes are a commit that was not finished" in torn.out
    assert (0, "") == (torn.status, torn.err)


def test_damage_is_told_by_line_and_annex(with_two: Annexd) -> None:
    """Every damaged line with its place, reason and annex; status 1 and the way out."""
    with_two.stop()
    key = _ids(with_two)["one"]
    first = _damage(with_two, f'^103 {key} AccessKeyFile "', f"103 {key} AccessKeyFile ")
    second = _damage(with_two, f"^101 {key}", f"1?1 {key}")
    before = _journal(with_two).read_bytes()
    ended = _check(with_two)
    assert 1 == ended.status
    place = _journal(with_two)
    told = rf"^{place}:{first}: AccessKeyFile: .* \(annex {key} one\)$"
    assert re.search(told, ended.out, re.MULTILINE)
    assert f"{place}:{second}: no operation has the number '1?1' (annex {key} one)\n" in ended.out
    assert f"condor_annexd: the journal {place} is damaged in " in ended.err
    assert "-check-journal -repair" in ended.err
    assert before == _journal(with_two).read_bytes()


def test_a_daemon_that_finds_damage_names_the_way_out(with_two: Annexd) -> None:
    """It does not start, says so in its log too, and changes nothing."""
    with_two.stop()
    _damage(with_two, "^101 ", "1?1 ")
    before = _journal(with_two).read_bytes()
    log = with_two.directory / "AnnexdLog"
    ended = run([sys.executable, "-m", "htcondor_annex.daemon.main", "-f"], with_two)
    assert 1 == ended.status
    for said in (ended.err, log.read_text()):
        assert f"the journal {_journal(with_two)} is damaged: line " in said
        assert "condor_annexd -check-journal" in said
    assert before == _journal(with_two).read_bytes()


def test_repair_saves_what_can_be_read(with_two: Annexd, cloud: LocalCloud) -> None:
    """The damaged file is kept, the incomplete annex named, and the daemon has the rest."""
    with_two.stop()
    ids = _ids(with_two)
    daemon = re.search(r'103 annexd AnnexdID "(\S+)"', _journal(with_two).read_text())
    assert daemon is not None
    _damage(with_two, f"^103 {ids['one']} Parameters ", "103 \0 ")
    _damage(with_two, "^103 annexd AnnexdID ", "103 annexd AnnexdIE ")
    before = _journal(with_two).read_bytes()
    ended = _check(with_two, "-repair")
    assert (0, "") == (ended.status, ended.err)
    assert f"Left out: annex {ids['one']} one, of which is lost: Parameters." in ended.out
    (kept,) = with_two.directory.glob("annexd.journal.damaged-*")
    assert re.fullmatch(r"annexd\.journal\.damaged-\d{8}T\d{6}Z", kept.name)
    assert str(kept) in ended.out
    assert before == kept.read_bytes()
    assert 0o600 == stat.S_IMODE(_journal(with_two).stat().st_mode)
    assert 0 == _check(with_two).status
    assert f'103 annexd AnnexdID "{daemon[1]}"\n' in _journal(with_two).read_text()
    with_two.start()
    again = with_two.ask(console_config(), "-annex-name", "two")
    assert "you have an annex named 'two' already" in again.err
    assert with_two.ask(console_config(), "-annex-name", "one").status == 0
    assert len(cloud.contents().fleets) == 3


def test_what_a_repair_left_out_is_ended_in_aws(with_two: Annexd, cloud: LocalCloud) -> None:
    """By the tag of its own id the daemon finds what no annex owns any more, and ends it."""
    with_two.stop()
    ids = _ids(with_two)
    _damage(with_two, f"^103 {ids['one']} Parameters ", "103 \0 ")
    assert 0 == _check(with_two, "-repair").status
    with_two.configure(
        {**with_two.knobs, "ANNEXD_RECONCILE_INTERVAL": "1", "ANNEXD_ORPHAN_GRACE": "1"}
    )
    with_two.start()
    wait_for(lambda: len(cloud.contents().fleets) == 1, "end of the orphan")
    wait_for(lambda: len(cloud.contents().rules) == 1, "end of its rule")


def test_repair_is_refused_while_a_daemon_holds_the_journal(with_two: Annexd) -> None:
    """It would write under the daemon's hands."""
    assert with_two.process is not None
    ended = _check(with_two, "-repair")
    assert (1, "") == (ended.status, ended.out)
    assert f"is held by another annexd (process {with_two.process.pid})" in ended.err


def test_repair_of_a_whole_journal_does_nothing(with_two: Annexd) -> None:
    """It says so, with status 0."""
    with_two.stop(signal.SIGKILL)
    before = _journal(with_two).read_bytes()
    ended = _check(with_two, "-repair")
    assert (0, True) == (ended.status, "There is nothing to repair." in ended.out)
    assert before == _journal(with_two).read_bytes()
    assert [] == list(with_two.directory.glob("*.damaged-*"))


def test_a_journal_that_is_not_there(own_annexd: Annexd) -> None:
    """That is said, with status 1, and none is made."""
    ended = _check(own_annexd)
    assert (1, "") == (ended.status, ended.out)
    assert "cannot be read: No such file or directory" in ended.err
    assert not _journal(own_annexd).exists()


def test_repair_alone_is_a_usage_error(own_annexd: Annexd) -> None:
    """-repair goes with -check-journal."""
    command = [sys.executable, "-m", "htcondor_annex.daemon.main", "-repair"]
    assert "-repair goes with -check-journal" in run(command, own_annexd).err


def test_one_of_several_daemons_has_its_own_journal(own_annexd: Annexd) -> None:
    """With -local-name a knob of that name's own comes before the plain one."""
    other = own_annexd.directory / "other.journal"
    own_annexd.configure({**own_annexd.knobs, "SECOND.ANNEXD_JOURNAL": str(other)})
    assert f"the journal {other} cannot be read" in _check(own_annexd, "-local-name", "SECOND").err
    assert f"the journal {_journal(own_annexd)} cannot" in _check(own_annexd).err
