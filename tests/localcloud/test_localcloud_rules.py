"""Rules that are fired by hand run the real function, as the stack's template has it."""

import json
import time
import uuid

import pytest

from localcloud import LocalCloud, rules, stacks
from localcloud.rules import Function
from tests.localcloud.conftest import fleet_config


def make_annex(cloud: LocalCloud, function_arn: str, lease: int) -> str:
    """Make a leased fleet as the daemon does; return the annex's id."""
    annex_id = str(uuid.uuid4())
    tags = [{"Key": "htcondor:annex-id", "Value": annex_id}]
    events, rule = cloud.client("events"), f"htcondor-annex-{annex_id}"
    expires = int(time.time()) + lease
    event = {"AnnexID": annex_id, "LeaseExpiration": expires, "RuleName": rule}
    events.put_rule(Name=rule, ScheduleExpression="rate(5 minutes)", State="ENABLED")
    target = {"Id": rule, "Arn": function_arn, "Input": json.dumps(event)}
    events.put_targets(Rule=rule, Targets=[target])
    cloud.client("ec2").request_spot_fleet(
        SpotFleetRequestConfig=fleet_config(
            TagSpecifications=[{"ResourceType": "spot-fleet-request", "Tags": tags}]
        )
    )
    return annex_id


def function(source: str, timeout: float = 30) -> Function:
    """Return a function of some source."""
    return Function("arn:aws:lambda:us-east-1:123456789012:function:f", source, "index.f", timeout)


def test_a_fired_rule_runs_the_stacks_function(cloud: LocalCloud) -> None:
    """Before its time the lease holds; with the clock moved on, all is ended."""
    arn = stacks.make_lease_stack(cloud)
    annex_id = make_annex(cloud, arn, lease=1000)
    early = rules.fire(cloud, f"htcondor-annex-{annex_id}")
    assert [(one.error, one.result["expired"]) for one in early] == [("", False)]
    assert len(cloud.contents().fleets) == 1
    late = rules.fire(cloud, f"htcondor-annex-{annex_id}", clock_offset=1001)
    assert [(one.error, one.result["rules_deleted"]) for one in late] == [("", 1)]
    assert {annex_id} == {line["annex"] for line in late[0].lines}
    assert cloud.contents().empty


def test_one_rule_can_be_fired_alone(cloud: LocalCloud) -> None:
    """The other annex lives on."""
    arn = stacks.make_lease_stack(cloud)
    ending, other = (make_annex(cloud, arn, lease=0) for _ in range(2))
    fired = rules.fire(cloud, f"htcondor-annex-{ending}", clock_offset=10)
    assert [f"htcondor-annex-{ending}"] == [one.rule for one in fired]
    assert f"htcondor-annex-{other}" in [rule["Name"] for rule in cloud.contents().rules]


def test_a_disabled_rule_is_not_fired(cloud: LocalCloud) -> None:
    """As on AWS, nothing runs."""
    arn = stacks.make_lease_stack(cloud)
    annex_id = make_annex(cloud, arn, lease=0)
    cloud.client("events").disable_rule(Name=f"htcondor-annex-{annex_id}")
    assert rules.fire(cloud, f"htcondor-annex-{annex_id}", clock_offset=10) == []


def test_a_target_that_is_no_function_is_told(cloud: LocalCloud) -> None:
    """AWS counts a failed invocation."""
    make_annex(cloud, "arn:aws:lambda:us-east-1:123456789012:function:none", lease=0)
    assert [one.error.partition(":")[0] for one in rules.fire(cloud)] == [
        "ResourceNotFoundException"
    ]


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("def f(event, context):\n    raise KeyError('x')", "KeyError: 'x'"),
        ("def f(event, context:", "Runtime.UserCodeSyntaxError: Syntax error"),
        ("def g(event, context): pass", "Runtime.HandlerNotFound: Handler 'f'"),
        ("def f(event, context):\n    return object()", "Runtime.MarshalError"),
        ("import os\ndef f(event, context):\n    os._exit(3)", "Runtime.ExitError"),
    ],
)
def test_a_broken_function_is_told(cloud: LocalCloud, source: str, error: str) -> None:
    """With the error that Lambda would show."""
    done = rules.invoke(cloud, function(source), {})
    assert done.result is None
    assert done.error.startswith(error)


def test_a_function_that_takes_too_long_is_ended(cloud: LocalCloud) -> None:
    """After its own timeout."""
    source = "import time\ndef f(event, context):\n    time.sleep(60)"
    done = rules.invoke(cloud, function(source, timeout=1), {})
    assert done.error.startswith("Sandbox.Timedout: ")
    assert done.error.endswith(" Task timed out after 1.00 seconds")


def test_a_function_sees_its_event_its_clock_and_its_log(cloud: LocalCloud) -> None:
    """And a context like Lambda's."""
    source = (
        "import time\n"
        "def f(event, context):\n"
        "    print('hello')\n"
        "    left = context.get_remaining_time_in_millis()\n"
        "    return [event, time.time(), 0 < left <= 30000, context.function_name]\n"
    )
    before = time.time()
    done = rules.invoke(cloud, function(source), {"a": [1]}, clock_offset=5000)
    event, clock, in_time, name = done.result
    assert (event, in_time, name, done.log) == ({"a": [1]}, True, "f", "hello\n")
    assert before + 5000 <= clock <= time.time() + 5000


def test_a_function_sees_no_environment_but_its_own(
    cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tester's own variables stay outside."""
    monkeypatch.setenv("AWS_PROFILE", "real-money")
    source = "import os\ndef f(event, context):\n    return sorted(os.environ)"
    names = rules.invoke(cloud, function(source), {}).result
    assert "AWS_ENDPOINT_URL" in names
    assert "AWS_PROFILE" not in names
