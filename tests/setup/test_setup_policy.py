"""templates/annexd-policy.json is enough, and each statement of it is needed.

Everything runs with a user who has this policy and no other, before a local cloud that asks IAM.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from htcondor_annex.templates import lease_template
from htcondor_annex.templates.parts import trust
from localcloud import LocalCloud
from localcloud.enforcing import Decided
from localcloud.iampolicy import Request, decide, parse
from tests.setup.host import Host
from tests.support import ROOT, Annexd, Ended, console_config, wait_for

POLICY: dict[str, Any] = json.loads((ROOT / "templates" / "annexd-policy.json").read_text())
SIDS = [statement["Sid"] for statement in POLICY["Statement"]]


def _without(sid: str) -> dict[str, Any]:
    kept = [statement for statement in POLICY["Statement"] if statement["Sid"] != sid]
    return {**POLICY, "Statement": kept}


class Scene:
    """A host with its annexd, whose users have the enforced user's keys."""

    def __init__(self, cloud: LocalCloud, directory: Path) -> None:
        """Write their files; nothing runs yet."""
        self.cloud = cloud
        self.host = Host(directory, cloud.endpoint)
        self.directory = directory / "annexd"
        self.directory.mkdir()
        self.annexd: Annexd | None = None

    def enforce(self, policy: Mapping[str, Any]) -> None:
        """Let policies count, and give the user this one."""
        key, secret = self.cloud.enforce(policy)
        self.host.keys = (self.host.write_key("key", key), self.host.write_key("own", secret))

    def start(self, **knobs: str) -> Annexd:
        """Start annexd with what -setup has written."""
        knobs = {"LOCAL_CONFIG_DIR": str(self.host.config_d), **knobs}
        self.annexd = Annexd(self.directory, self.cloud.endpoint, knobs)
        self.host.configure({**self.host.knobs, "ANNEXD_SOCKET": str(self.annexd.socket)})
        self.annexd.start()
        return self.annexd

    def stop(self) -> None:
        """End annexd, if it runs."""
        if self.annexd is not None and self.annexd.process is not None:
            self.annexd.stop()

    # -- what a user does; each returns what came of it -------------------------------------------

    def setup(self) -> Ended:
        """The region is set up."""
        return self.host.setup("-pool-address", "192.0.2.0/24")

    def check(self) -> Ended:
        """And looked at."""
        return self.host.check()

    def update(self) -> Ended:
        """A later version, and other wishes, come."""
        older = lease_template()
        older["Resources"]["LeaseFunction"]["Properties"] |= {
            "MemorySize": 128,
            "Code": {"ZipFile": "def handler(event, context):\n    return None\n"},
        }
        role = older["Resources"]["LeaseFunctionRole"]["Properties"]
        role |= {"Description": "older", "AssumeRolePolicyDocument": trust("ec2")}
        self.cloud.client("cloudformation", looks=True).update_stack(
            StackName="HTCondorAnnex-LeaseFunction",
            TemplateBody=json.dumps(older),
            Parameters=[{"ParameterKey": "ConfigurationBucket", "UsePreviousValue": True}],
            Capabilities=["CAPABILITY_IAM"],
        )
        boundary = "arn:aws:iam::123456789012:policy/Bound"
        for wishes in (["none", boundary], ["none", ""]):
            ended = self.host.setup("-pool-address", wishes[0], "-permissions-boundary", wishes[1])
            if ended.status:
                break
        return ended

    def create(self) -> Ended:
        """An annex is asked for."""
        return self._tool("-annex-name", "mine", str(self._config()))

    def extend(self) -> Ended:
        """Its lease is made longer."""
        return self._tool("-annex-name", "mine", "-duration", "2")

    def status(self) -> Ended:
        """It is looked at."""
        return self._tool("status", "-annex-name", "mine")

    def end(self) -> Ended:
        """It is ended."""
        return self._tool("off", "-annex-name", "mine")

    def sweep(self) -> Ended:
        """An annex without a rule of its own is asked for, and ended."""
        self.stop()
        self.start(ANNEX_LEASE_METHOD="SWEEP")
        made = self._tool("-annex-name", "swept", str(self._config()))
        return made if made.status else self._tool("off", "-annex-name", "swept")

    def teardown(self) -> Ended:
        """All goes, and with it what an annex left in the bucket."""
        (bucket,) = self.cloud.client("s3", looks=True).list_buckets()["Buckets"]
        self.cloud.client("s3", looks=True).put_object(
            Bucket=bucket["Name"], Key="config-1.tar.gz", Body=b""
        )
        return self.host.teardown()

    def _tool(self, *arguments: str) -> Ended:
        access, secret = map(str, self.host.keys)
        return self.host.tool("-access", access, "-secret", secret, *arguments)

    def _outputs(self, name: str) -> dict[str, str]:
        client = self.cloud.client("cloudformation", looks=True)
        (stack,) = client.describe_stacks(StackName=name)["Stacks"]
        return {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}

    def _config(self) -> Path:
        profile = self._outputs("HTCondorAnnex-InstanceRole")["InstanceProfileARN"]
        group = self._outputs("HTCondorAnnex-SecurityGroup")["SecurityGroupID"]
        config = console_config(
            IamFleetRole=self._outputs("HTCondorAnnex-FleetRole")["FleetRoleARN"],
            LaunchSpecifications=[
                {
                    "ImageId": "ami-12345678",
                    "InstanceType": "m5.large",
                    "IamInstanceProfile": {"Arn": profile},
                    "SecurityGroups": [{"GroupId": group}],
                }
            ],
        )
        path = self.host.directory / "config.json"
        path.write_text(json.dumps(config))
        return path


PHASES: Mapping[str, Callable[[Scene], Ended]] = {
    "setup": Scene.setup,
    "check": Scene.check,
    "update": Scene.update,
    "create": Scene.create,
    "extend": Scene.extend,
    "status": Scene.status,
    "end": Scene.end,
    "sweep": Scene.sweep,
    "teardown": Scene.teardown,
}


# What each needs to have come before it.
_BEFORE: Mapping[str, Sequence[str]] = {
    "setup": (),
    "create": ("setup",),
    "extend": ("setup", "create"),
    "status": ("setup", "create"),
    "end": ("setup", "create"),
    "sweep": ("setup",),
    **dict.fromkeys(("check", "update", "teardown"), ("setup",)),
}


class Story(NamedTuple):
    """What came of each phase, what was refused, and what was asked of IAM for the user."""

    ended: Mapping[str, Ended]
    denied: list[Decided]
    asked: Mapping[str, list[Decided]]


@pytest.fixture(scope="module")
def story(cloud_process: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """A whole life with the policy as it is."""
    cloud_process.reset()
    scene = Scene(cloud_process, tmp_path_factory.mktemp("story"))
    scene.enforce(POLICY)
    ended, denied, asked = {}, [], {}
    try:
        for name, phase in PHASES.items():
            if name == "create":
                scene.start(ANNEXD_POLL_INTERVAL="1", ANNEXD_RECONCILE_INTERVAL="1")
            ended[name] = phase(scene)
            denied += cloud_process.denied()
            asked[name] = [one for one in cloud_process.asked() if ":user/" in one.who]
            cloud_process.forget()
    finally:
        scene.stop()
    return Story(ended, denied, asked)


def test_the_policy_is_enough(story: Story) -> None:
    """Every phase ends well, and nothing that was asked for was refused."""
    said = {name: ended.err + ended.out for name, ended in story.ended.items() if ended.status}
    assert said == {}, list(said.values())
    assert [(one.who, one.action, one.resource) for one in story.denied] == []


def _missed(asked: list[Decided], policy: Mapping[str, Any]) -> set[str]:
    """Return the actions that a policy would have refused, of those that were allowed."""
    parsed = parse(policy)
    return {
        one.action
        for one in asked
        if one.allowed
        and not decide(
            [parsed],
            Request(
                one.action, one.resource, {key.lower(): found for key, found in one.context.items()}
            ),
        ).allowed
    }


def _needing(story: Story, sid: str) -> dict[str, set[str]]:
    """Return the phases that need a statement, each with the actions for which it does."""
    reduced = _without(sid)
    found = {phase: _missed(asked, reduced) for phase, asked in story.asked.items()}
    return {phase: missed for phase, missed in found.items() if missed}


@pytest.fixture
def scene(cloud_process: LocalCloud, tmp_path: Path) -> Iterator[Scene]:
    """A host before an empty cloud."""
    cloud_process.reset()
    made = Scene(cloud_process, tmp_path)
    yield made
    made.stop()


def _refused_end(scene: Scene) -> str:
    """Let the user end the annex, which cannot be; return what annexd waits for then."""
    assert scene.annexd is not None
    annexd = scene.annexd
    access, secret = map(str, scene.host.keys)
    command = [sys.executable, "-m", "htcondor_annex.tool.main", "off", "-annex-name", "mine"]
    with subprocess.Popen(
        [*command, "-access", access, "-secret", secret],
        env=scene.host.environment,
        stderr=subprocess.DEVNULL,
    ) as process:
        said = wait_for(
            lambda: str(annexd.status("mine").get("waiting_for") or ""), "reason to wait"
        )
        process.terminate()
    return said


@pytest.mark.parametrize("sid", SIDS)
def test_each_statement_is_needed(story: Story, scene: Scene, sid: str) -> None:
    """Without one of them, what needs it first is refused, and says by whom."""
    phases = _needing(story, sid)
    assert phases, f"{sid}: nothing ever needs it"
    phase = next(iter(phases))
    for name in _BEFORE[phase]:
        # The keys of before are the cloud's own: nothing is asked of IAM.
        if name == "create":
            scene.enforce(POLICY)
            scene.start()
        assert PHASES[name](scene).status == 0
    scene.enforce(_without(sid))
    scene.cloud.forget()
    if phase == "create":
        scene.start()
    if phase == "end":
        said = _refused_end(scene)
    else:
        ended = PHASES[phase](scene)
        said = ended.out + ended.err
        assert ended.status != 0, said
    refused = {one.action for one in scene.cloud.denied()}
    assert refused & phases[phase], said
    assert any(action.partition(":")[2] in said for action in refused), (refused, said)
