"""Lambda's Invoke runs a function as it is deployed; rules run it if its policy lets them."""

import base64
import io
import json
import os
import time
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud import LocalCloud, rules
from tests.localcloud.conftest import Client

Deploy = Callable[..., str]
"""Deploys a source with the handler `f`; returns the function's ARN."""

RULE_ARN = "arn:aws:events:us-east-1:123456789012:rule/"


def archive(source: str) -> bytes:
    """Return a function's code."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as files:
        files.writestr("index.py", source)
    return packed.getvalue()


@pytest.fixture
def client(cloud: LocalCloud) -> Client:
    """Lambda in the empty cloud."""
    return cloud.client("lambda")


@pytest.fixture
def deploy(cloud: LocalCloud, client: Client) -> Deploy:
    """Deploy a function."""
    role = cloud.client("iam", looks=True).create_role(
        RoleName="f", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17"})
    )

    def deploy_one(source: str, name: str = "f", **more: Any) -> str:  # noqa: ANN401  (boto3's)
        made = client.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Role=role["Role"]["Arn"],
            Handler="index.f",
            Code={"ZipFile": archive(source)},
            **more,
        )
        return str(made["FunctionArn"])

    return deploy_one


ECHO = "def f(event, context):\n    print('got', event)\n    return {'echo': event}\n"


@pytest.mark.parametrize("by", ["name", "arn"])
def test_invoke_runs_the_code_and_gives_its_result(client: Client, deploy: Deploy, by: str) -> None:
    """By name or ARN, with status 200, and without the log unless it is asked for."""
    arn = deploy(ECHO)
    done = client.invoke(FunctionName={"name": "f", "arn": arn}[by], Payload=b'{"a": [1]}')
    assert (200, {"echo": {"a": [1]}}) == (done["StatusCode"], json.load(done["Payload"]))
    assert not {"FunctionError", "LogResult"} & set(done)


def test_invoke_gives_the_tail_of_the_log(client: Client, deploy: Deploy) -> None:
    """Between Lambda's own lines, the last of which tells the memory."""
    deploy(ECHO)
    done = client.invoke(FunctionName="f", Payload=b"7", LogType="Tail")
    lines = base64.b64decode(done["LogResult"]).decode().splitlines()
    assert lines[0].startswith("START RequestId: ")
    assert lines[1] == "got 7"
    assert "Memory Size: 128 MB\tMax Memory Used: " in lines[-1]


def test_what_a_function_raises_is_its_answer(client: Client, deploy: Deploy) -> None:
    """The call itself succeeds: FunctionError tells."""
    deploy("def f(event, context):\n    raise KeyError('x')")
    done = client.invoke(FunctionName="f")
    said = json.load(done["Payload"])
    assert (200, "Unhandled", "KeyError") == (
        done["StatusCode"],
        done["FunctionError"],
        said["errorType"],
    )


def test_a_function_that_takes_too_long_is_killed(client: Client, deploy: Deploy) -> None:
    """After its own time, and the next event finds a new process."""
    deploy(
        "import os, time\ndef f(event, context):\n    time.sleep(event)\n    return os.getpid()",
        Timeout=1,
    )
    first = json.load(client.invoke(FunctionName="f", Payload=b"0")["Payload"])
    late = json.load(client.invoke(FunctionName="f", Payload=b"60")["Payload"])
    assert late["errorType"] == "Sandbox.Timedout"
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)
    assert first != json.load(client.invoke(FunctionName="f", Payload=b"0")["Payload"])


def test_a_process_is_used_again_until_the_code_changes(client: Client, deploy: Deploy) -> None:
    """What the module keeps is there for the next event, and new code starts anew."""
    counting = "n = {}\ndef f(event, context):\n    n['n'] = n.get('n', 0) + 1\n    return n['n']\n"
    deploy(counting)
    calls = [json.load(client.invoke(FunctionName="f")["Payload"]) for _ in range(3)]
    client.update_function_code(FunctionName="f", ZipFile=archive(counting + "# new\n"))
    calls.append(json.load(client.invoke(FunctionName="f")["Payload"]))
    assert calls == [1, 2, 3, 1]


def test_a_function_has_its_own_environment(
    client: Client, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its variables, Lambda's, and temporary credentials, but none of the tester's."""
    monkeypatch.setenv("AWS_PROFILE", "real-money")
    deploy(
        "import os\ndef f(event, context):\n    return dict(os.environ)",
        Environment={"Variables": {"BUCKET": "b"}},
        MemorySize=256,
    )
    seen = json.load(client.invoke(FunctionName="f")["Payload"])
    wanted = {
        "BUCKET": "b",
        "AWS_LAMBDA_FUNCTION_NAME": "f",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_REGION": "us-east-1",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "_HANDLER": "index.f",
    }
    assert wanted == {name: seen[name] for name in wanted}
    assert seen["AWS_SESSION_TOKEN"]
    assert "AWS_PROFILE" not in seen


def test_a_function_may_call_aws_while_invoke_waits_for_it(
    cloud: LocalCloud, client: Client, deploy: Deploy
) -> None:
    """It and its caller go to the same cloud at the same time."""
    deploy(
        "import boto3\ndef f(event, context):\n"
        "    return boto3.client('ec2').describe_instances()['Reservations']",
        Timeout=30,
    )
    assert json.load(client.invoke(FunctionName="f")["Payload"]) == []
    assert [seen.action for seen in cloud.requests(service="ec2")] == ["DescribeInstances"]


def test_an_event_is_taken_and_run_later(cloud: LocalCloud, client: Client, deploy: Deploy) -> None:
    """InvocationType Event answers 202 and nothing more."""
    deploy(
        "import boto3\ndef f(event, context):\n    boto3.client('ec2').describe_instances()",
        Timeout=30,
    )
    done = client.invoke(FunctionName="f", InvocationType="Event")
    assert (202, b"") == (done["StatusCode"], done["Payload"].read())
    end = time.monotonic() + 30
    while not cloud.requests(service="ec2"):
        assert time.monotonic() < end, "the function never ran"
        time.sleep(0.05)


def test_a_dry_run_runs_nothing(client: Client, deploy: Deploy) -> None:
    """It only says that it could."""
    deploy("raise SystemExit(3)")
    done = client.invoke(FunctionName="f", InvocationType="DryRun")
    assert (204, None) == (done["StatusCode"], done.get("FunctionError"))


def throttle(cloud: LocalCloud, arn: str) -> None:
    """Reserve no concurrency, which is how a function is switched off."""
    cloud.client("lambda").put_function_concurrency(
        FunctionName=arn, ReservedConcurrentExecutions=0
    )


def make_inactive(cloud: LocalCloud, arn: str) -> None:
    """Let it be idle for too long."""
    cloud.function_state(arn, "Inactive")


@pytest.mark.parametrize(
    ("how", "code", "status"),
    [
        (throttle, "TooManyRequestsException", 429),
        (make_inactive, "ResourceConflictException", 409),
    ],
)
def test_a_function_that_may_not_run_is_refused(
    cloud: LocalCloud, deploy: Deploy, how: Callable[..., None], code: str, status: int
) -> None:
    """With Lambda's error, for a caller as for a rule."""
    arn = deploy(ECHO)
    how(cloud, arn)
    with pytest.raises(ClientError) as refused:
        cloud.client("lambda").invoke(FunctionName="f")
    answer = refused.value.response
    assert (code, status) == (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"])
    permit(cloud, arn)
    schedule(cloud, "r", arn)
    assert [code] == [one.error.partition(":")[0] for one in rules.fire(cloud)]


def test_a_throttled_function_says_why(cloud: LocalCloud, deploy: Deploy) -> None:
    """The reason that Lambda gives."""
    throttle(cloud, deploy(ECHO))
    with pytest.raises(ClientError) as refused:
        cloud.client("lambda").invoke(FunctionName="f")
    answer = refused.value.response
    wanted = ("ReservedFunctionConcurrentInvocationLimitExceeded", "Rate Exceeded.")
    assert wanted == (answer["Reason"], answer["Error"]["Message"])


@pytest.mark.parametrize(
    ("name", "payload", "code"),
    [
        ("none", b"{}", "ResourceNotFoundException"),
        ("f", b"{", "InvalidRequestContentException"),
        ("f", b" " * (6 * 1024 * 1024 + 1), "RequestTooLargeException"),
    ],
)
def test_a_wrong_call_is_refused(
    client: Client, deploy: Deploy, name: str, payload: bytes, code: str
) -> None:
    """With Lambda's code."""
    deploy(ECHO)
    with pytest.raises(ClientError) as refused:
        client.invoke(FunctionName=name, Payload=payload)
    assert code == refused.value.response["Error"]["Code"]


# -- rules -----------------------------------------------------------------------------------------


def schedule(cloud: LocalCloud, name: str, arn: str, **target: str) -> None:
    """Make a rule that runs a function every five minutes."""
    events = cloud.client("events")
    events.put_rule(Name=name, ScheduleExpression="rate(5 minutes)")
    events.put_targets(Rule=name, Targets=[{"Id": "t", "Arn": arn, **target}])


def permit(cloud: LocalCloud, arn: str, **changes: str) -> None:
    """Let EventBridge run a function for any rule, or as changed."""
    given = {"SourceArn": RULE_ARN + "*", "SourceAccount": "123456789012", **changes}
    cloud.client("lambda").add_permission(
        FunctionName=arn,
        StatementId="s",
        Action="lambda:InvokeFunction",
        **{"Principal": "events.amazonaws.com", **given},
    )


def test_a_rule_needs_the_functions_permission(cloud: LocalCloud, deploy: Deploy) -> None:
    """Without any policy nothing runs."""
    schedule(cloud, "annex-1", deploy(ECHO))
    assert ["AccessDeniedException"] == [one.error.partition(":")[0] for one in rules.fire(cloud)]


@pytest.mark.parametrize(
    ("permission", "runs"),
    [
        ({}, True),
        ({"SourceArn": RULE_ARN + "annex-*"}, True),
        ({"SourceArn": RULE_ARN + "annex-2"}, False),
        ({"SourceArn": RULE_ARN.replace("us-east-1", "eu-west-1") + "*"}, False),
        ({"SourceAccount": "210987654321"}, False),
        ({"Principal": "s3.amazonaws.com"}, False),
    ],
)
def test_a_permission_is_for_rule_account_and_service(
    cloud: LocalCloud,
    deploy: Deploy,
    permission: dict[str, str],
    runs: bool,  # noqa: FBT001
) -> None:
    """Each of the three is looked at."""
    arn = deploy(ECHO)
    permit(cloud, arn, **permission)
    schedule(cloud, "annex-1", arn, Input='{"n": 1}')
    done = rules.fire(cloud)
    assert [({"echo": {"n": 1}} if runs else None)] == [one.result for one in done]


def test_a_permission_that_was_taken_away_permits_nothing(
    cloud: LocalCloud, deploy: Deploy
) -> None:
    """It is read at every firing."""
    arn = deploy(ECHO)
    permit(cloud, arn)
    schedule(cloud, "r", arn)
    assert [""] == [one.error for one in rules.fire(cloud)]
    cloud.client("lambda").remove_permission(FunctionName=arn, StatementId="s")
    assert [None] == [one.result for one in rules.fire(cloud)]


def test_a_target_without_input_gets_a_scheduled_event(cloud: LocalCloud, deploy: Deploy) -> None:
    """As EventBridge sends it."""
    arn = deploy(ECHO)
    permit(cloud, arn)
    schedule(cloud, "r", arn)
    event = rules.fire(cloud)[0].result["echo"]
    assert ("Scheduled Event", [RULE_ARN + "r"]) == (event["detail-type"], event["resources"])


def test_rules_of_one_region_can_be_fired_alone(cloud: LocalCloud) -> None:
    """All Regions', or one's."""
    for region in ("us-east-1", "eu-west-1"):
        events = cloud.client("events", region=region)
        events.put_rule(Name=f"r-{region}", ScheduleExpression="rate(1 hour)")
        arn = f"arn:aws:lambda:{region}:123456789012:function:none"
        events.put_targets(Rule=f"r-{region}", Targets=[{"Id": "t", "Arn": arn}])
    fired = [one.rule for one in rules.fire(cloud, region="eu-west-1")]
    assert (["r-eu-west-1"], 2) == (fired, len(rules.fire(cloud)))
