"""-setup is interrupted at any instant, repeated, and ends as if nothing had happened."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from htcondor_annex.setup.knobfile import Place
from htcondor_annex.setup.stacks import STACKS, Spec
from localcloud import LocalCloud
from tests.setup.host import Host, end_state
from tests.support import wait_for

_PACE = 0.02
"""Seconds a resource: an interruption meets stacks that are half made."""
_STRIDE = 3


class Undisturbed(NamedTuple):
    """A run that nothing disturbed: what it ended with, and its calls of CloudFormation."""

    state: dict[str, Any]
    calls: int


@pytest.fixture(scope="session")
def undisturbed(cloud_process: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """What a run ends with that nothing disturbs, and how many calls of CloudFormation it makes."""
    cloud_process.reset()
    host = Host(tmp_path_factory.mktemp("undisturbed"), cloud_process.endpoint)
    cloud_process.stack_pace(_PACE)
    assert host.setup().status == 0
    calls = cloud_process.requests(service="cloudformation")
    return Undisturbed(end_state(cloud_process, host), len(calls))


def _killer(cloud: LocalCloud, **how: Any) -> Callable[[int], None]:  # noqa: ANN401
    return lambda pid: cloud.kill(pid, service="cloudformation", **how)


@pytest.mark.parametrize("number", range(len(STACKS)))
def test_killed_at_the_making_of_each_stack(
    undisturbed: Undisturbed,
    empty: LocalCloud,
    host: Host,
    number: int,
) -> None:
    """SIGKILL right after CreateStack has acted, unanswered; repeating ends the same."""
    empty.stack_pace(_PACE)
    killed = host.setup(before=_killer(empty, action="CreateStack", skip=number, when="after"))
    again = host.setup()
    assert (killed.status, again.status) == (-signal.SIGKILL, 0), again.err
    assert end_state(empty, host) == undisturbed.state


def test_killed_at_every_few_calls(
    undisturbed: Undisturbed, empty: LocalCloud, tmp_path: Path
) -> None:
    """Wherever SIGKILL meets it, a repeated -setup ends the same."""
    expected, calls = undisturbed
    for number in range(0, calls, _STRIDE):
        empty.reset()
        empty.stack_pace(_PACE)
        directory = tmp_path / str(number)
        directory.mkdir()
        host = Host(directory, empty.endpoint)
        host.setup(before=_killer(empty, skip=number))
        empty.calm()  # the run may have come through with fewer calls
        again = host.setup()
        assert again.status == 0, (number, again.err)
        assert end_state(empty, host) == expected, number


@pytest.mark.parametrize("spec", STACKS[:3], ids=lambda spec: spec.name)
def test_interrupted_by_the_user(
    undisturbed: Undisturbed,
    empty: LocalCloud,
    host: Host,
    spec: Spec,
) -> None:
    """Ctrl-C while a stack is being made says what goes on; repeating ends the same."""
    empty.stack_pace(0.3)

    def interrupt(pid: int) -> None:
        def wait() -> None:
            wait_for(
                lambda: any(
                    seen.parameters["StackName"].startswith("arn:")
                    and f"stack/{spec.name}/" in seen.parameters["StackName"]
                    for seen in empty.requests("DescribeStackEvents")
                ),
                f"look at {spec.name}",
            )
            os.kill(pid, signal.SIGINT)

        threading.Thread(target=wait, daemon=True).start()

    stopped = host.setup(before=interrupt)
    assert stopped.status == 130, stopped.err
    assert f"  {spec.name}: AWS goes on with it by itself" in stopped.err
    assert "Repeat the command: it goes on from there." in stopped.err
    empty.stack_pace(_PACE)
    again = host.setup()
    assert again.status == 0, again.err
    assert end_state(empty, host) == undisturbed.state


@pytest.mark.parametrize("number", range(0, len(STACKS), 2))
def test_a_teardown_is_interrupted_too(empty: LocalCloud, host: Host, number: int) -> None:
    """SIGKILL at each DeleteStack; repeated, nothing is left."""
    host.setup()
    empty.stack_pace(_PACE)
    killed = host.teardown(before=_killer(empty, action="DeleteStack", skip=number, when="after"))
    again = host.teardown()
    assert (killed.status, again.status) == (-signal.SIGKILL, 0), again.err
    listed = empty.client("cloudformation", looks=True).list_stacks()["StackSummaries"]
    assert {one["StackStatus"] for one in listed} == {"DELETE_COMPLETE"}
    assert list(host.config_d.iterdir()) == []


@pytest.mark.parametrize("call", ["fsync", "rename", "fchmod"])
def test_a_file_of_knobs_is_whole_or_not_there(tmp_path: Path, call: str) -> None:
    """Killed at any step of writing, it holds what it held; the next run writes it all."""
    place = Place(tmp_path / "user_config", shared=True)
    place.path.write_text("MINE = 1\n")
    pid = os.fork()
    if pid == 0:
        try:
            setattr(os, call, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
            place.write("us-east-1", ["A = 1"])
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    assert place.path.read_text() == "MINE = 1\n"
    assert place.write("us-east-1", ["A = 1"])
    assert place.path.read_text().endswith("MINE = 1\n")
    assert [path.name for path in tmp_path.iterdir()] == ["user_config"]
