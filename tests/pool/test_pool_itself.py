"""The pool is a real one."""

import pytest

from localcloud.pool import CONFIG_DIR, WORKER_CONFIG, Lab, Master, Node, Pool, wait_until

pytestmark = pytest.mark.pool

_JOB = """
executable = /usr/bin/id
arguments = -un
output = job.out
log = job.log
queue
"""


def test_an_ordinary_users_job_runs_as_that_user(pool: Pool) -> None:
    """A job goes from condor_submit to its end, and ran with its owner's name."""
    pool.node.write("/home/tester/job.sub", _JOB, owner="tester")
    pool.node.run("condor_submit", "job.sub", user="tester")
    pool.node.run("condor_wait", "-wait", "60", "job.log", user="tester", seconds=70)
    assert pool.node.read("/home/tester/job.out") == "tester\n"


def test_the_pool_cannot_reach_any_other_network(pool: Pool) -> None:
    """A machine of the pool has no way to an address outside the lab."""
    connect = "import socket; socket.create_connection(('192.0.2.1', 80))"
    done = pool.node.run("python3", "-c", connect, check=False)
    assert "Network is unreachable" in done.err


def test_a_second_machine_joins_with_a_token_and_runs_a_job(pool: Pool, lab: Lab) -> None:
    """A machine with two files of its own, configuration and token, is a worker of the pool."""
    with Node(lab, "worker") as worker:
        worker.know({"cm": pool.node.address})
        pool.node.know({"worker": worker.address})
        worker.write(f"{CONFIG_DIR}/10-pool", WORKER_CONFIG)
        worker.write("/etc/condor/tokens.d/pool", pool.token(600), mode=0o600)
        master = Master(worker)
        try:
            machines = ("-af", "Machine")
            wait_until(lambda: worker.full_name in pool.ads(*machines), "worker in the pool")
            there = f'requirements = TARGET.Machine == "{worker.full_name}"\n'
            job = _JOB.replace("queue", there + "should_transfer_files = YES\nqueue")
            job = job.replace("/usr/bin/id", "/bin/hostname").replace("-un", "")
            pool.node.write("/home/other/job.sub", job, owner="other")
            pool.node.run("condor_submit", "job.sub", user="other")
            pool.node.run("condor_wait", "-wait", "60", "job.log", user="other", seconds=70)
            assert pool.node.read("/home/other/job.out") == f"{worker.full_name}\n"
        finally:
            master.stop()
