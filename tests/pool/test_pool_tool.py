"""condor_annex in the hands of a pool's ordinary users."""

import re

import pytest

from localcloud import LocalCloud
from localcloud.pool import Pool, wait_until
from tests.pool.support import InPool
from tests.support import SECRET_KEY

pytestmark = pytest.mark.pool

_HOME = "/home/tester/keys"


def test_an_ordinary_user_gets_a_request_id(annexd: InPool, cloud: LocalCloud) -> None:
    """With key files that nobody else can reach, standard output is the request's ID alone."""
    annexd.node.run("chmod", "0700", "/home/tester")
    done = annexd.ask("tester", annexd.write_keys(_HOME, "tester"))
    assert done.status == 0, done.err
    assert re.fullmatch(r"sfr-[0-9a-f-]+\n", done.out)
    held = cloud.contents()
    assert [fleet["SpotFleetRequestId"] for fleet in held.fleets] == [done.out.strip()]
    assert len(held.rules) == 1


@pytest.mark.parametrize(
    ("mode", "reason"), [(0o600, "Permission denied"), (0o644, "owned by other")]
)
def test_another_users_key_files_are_refused(
    annexd: InPool, cloud: LocalCloud, mode: int, reason: str
) -> None:
    """Whether he could read them or not, a user cannot ask with files that are not his own."""
    keys = annexd.write_keys(f"/srv/keys-{mode:o}", "other", mode)
    done = annexd.ask("tester", keys)
    assert done.status != 0
    assert done.out == ""
    assert keys[0] in done.err
    assert reason in done.err
    assert cloud.contents().empty


def test_a_key_file_out_of_the_users_reach_is_refused(annexd: InPool, cloud: LocalCloud) -> None:
    """It is opened with the user's own rights; root's would do for any file."""
    keys = annexd.write_keys("/srv/closed", "tester")
    annexd.node.run("chmod", "0700", "/srv/closed")
    done = annexd.ask("tester", keys)
    assert done.status != 0
    assert "Permission denied" in done.err
    assert cloud.contents().empty


def test_an_annex_has_an_ad_while_it_lives(pool: Pool, annexd: InPool, cloud: LocalCloud) -> None:
    """The pool sees an annex's state under MyType Annex; when it has ended, its ad is gone."""
    assert cloud.endpoint
    keys = annexd.write_keys(_HOME, "tester")
    name = f"seen-{pool.node.name}-{annexd.pid()}"
    done = annexd.ask("tester", keys, "-annex-name", name)
    assert done.status == 0, done.err

    def ads() -> list[str]:
        query = ("-any", "-constraint", f'MyType == "Annex" && AnnexName == "{name}"')
        return pool.ads(*query, "-af", "State", "Owner", "SpotFleetRequestID")

    wait_until(lambda: ads() == [f"active tester {done.out.strip()}"], "ad of the annex")
    off = annexd.node.run("condor_annex", "off", "-annex-name", name, user="tester")
    assert f"Annex {name} " in off.out
    wait_until(lambda: ads() == [], "end of the ad")


def test_the_secret_is_in_no_log_of_the_pool(pool: Pool, annexd: InPool, cloud: LocalCloud) -> None:
    """AnnexdLog tells of an annex in lines of dates and words; no log has the secret key."""
    cloud.fail("RequestSpotFleet", "MaxSpotFleetRequestCountExceeded")
    assert annexd.ask("tester", annexd.write_keys(_HOME, "tester")).status != 0
    lines = pool.log("AnnexdLog").splitlines()
    assert any("MaxSpotFleetRequestCountExceeded" in line for line in lines)
    assert all(re.match(r"\d\d/\d\d/\d\d \d\d:\d\d:\d\d \S|\t\S", line) for line in lines)
    found = annexd.node.run(*("grep", "-rlF", "--", SECRET_KEY, "/var/log/condor"), check=False)
    assert found.out == ""
