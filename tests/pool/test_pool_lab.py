"""Labs: private, and gone with whoever made them."""

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from localcloud.pool import Door, Lab, Node, PoolError, wait_until

pytestmark = pytest.mark.pool

_MAKER = """
import sys
from pathlib import Path
from localcloud.pool import Lab, Node

with Lab(Path(sys.argv[1])) as lab, Node(lab, "cm") as node:
    node.run("sh", "-c", "exec setsid sleep 1000 <&- >&- 2>&- &")
    print(node.pid, flush=True)
    sys.stdin.read()
"""
_METADATA = ("169.254.169.254", 80)
_ASK = f"""
import socket

with socket.create_connection({_METADATA}) as there:
    there.sendall(b"visitor")
    there.shutdown(socket.SHUT_WR)
    print(there.makefile().read())
"""


def _greet(server: socket.socket) -> None:
    """Answer one visitor, after having read all that he says."""
    visitor, _ = server.accept()
    with visitor, visitor.makefile("rb") as said:
        visitor.sendall(b"hello " + said.read())


def _inhabitants(namespace: Path) -> list[str]:
    """Return the processes whose network is that one."""
    links = Path("/proc").glob("[0-9]*/ns/net")
    return [str(link) for link in links if _target(link) == str(namespace)]


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""  # it has ended meanwhile


def test_nothing_is_left_of_a_lab_whose_maker_is_killed(base: Path) -> None:
    """After kill -9 of the maker the kernel ends every process of the lab's machines."""
    with subprocess.Popen(
        [sys.executable, "-c", _MAKER, str(base)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as maker:
        assert maker.stdout is not None
        network = Path(f"/proc/{int(maker.stdout.readline())}/ns/net").readlink()
        assert len(_inhabitants(network)) >= 3
        maker.kill()
    wait_until(lambda: not _inhabitants(network), "end of all that the lab ran")


def test_two_labs_do_not_meet(lab: Lab, base: Path) -> None:
    """Machines of the same name and address in two labs are different machines."""
    with Lab(base) as another, Node(another, "twin") as one, Node(lab, "twin") as two:
        one.write("/etc/whose", "one")
        assert (one.read("/etc/whose"), two.read("/etc/whose")) == ("one", "")


def test_a_machine_of_a_used_name_starts_afresh(lab: Lab) -> None:
    """Nothing of a machine that is gone is seen by the next of its name."""
    with Node(lab, "again") as first:
        first.write("/etc/old", "old")
    with Node(lab, "again") as second:
        assert second.read("/etc/old") == ""


def test_the_base_stays_as_it_is(lab: Lab, base: Path) -> None:
    """What a machine writes is its own, never the base's."""
    with Node(lab, "writer") as node:
        node.write("/etc/mark", "mark")
    assert not (base / "etc/mark").exists()


def test_an_ordinary_user_of_a_machine_has_no_rights(lab: Lab) -> None:
    """A command run as a user has that user's ids in every place, and cannot read root's files."""
    with Node(lab, "rights") as node:
        node.write("/etc/secret", "secret", mode=0o600)
        assert node.run("cat", "/etc/secret", user="tester", check=False).status != 0
        assert (
            "CapEff:\t0000000000000000" in node.run("cat", "/proc/self/status", user="tester").out
        )


def test_a_door_leads_to_a_server_of_ours_until_it_is_closed(lab: Lab) -> None:
    """A machine reaches it at an address of the machine's own, while the door is open."""
    ask = ["python3", "-c", _ASK]
    with Node(lab, "visitor") as node, socket.create_server(("127.0.0.1", 0)) as server:
        greeter = threading.Thread(target=_greet, args=(server,))
        greeter.start()
        door = Door(node, server.getsockname()[1], at=_METADATA)
        assert node.run(*ask).out == "hello visitor\n"
        greeter.join()
        with pytest.raises(PoolError, match="no door can be made"):
            Door(node, 1, at=_METADATA)
        door.close()
        assert "ConnectionRefusedError" in node.run(*ask, check=False).err


def test_a_command_that_does_not_end_is_ended(lab: Lab) -> None:
    """A time limit holds for what runs on the machine, not only for us."""
    with Node(lab, "slow") as node:
        with pytest.raises(PoolError, match="exit status 124"):
            node.run("sleep", "1000", seconds=0.2)
        assert node.run("pgrep", "sleep", check=False).out == ""
