"""A lease function or a sweep that would not end the annex is found before any capacity."""

import json
from collections.abc import Callable, Iterator

import pytest

from localcloud import LocalCloud
from tests.support import (
    ACCOUNT,
    FUNCTION_ARN,
    REGION,
    SWEEP_RULE,
    Annexd,
    Ended,
    allow,
    console_config,
    make_lease_function,
    make_sweep,
)

_SETUP = "`condor_annex -setup` makes or mends the lease function's stack"


@pytest.fixture(scope="module")
def sweeping(
    cloud_process: LocalCloud, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Annexd]:
    """A daemon whose annexes are ended by the sweep."""
    directory = tmp_path_factory.mktemp("sweeping")
    # In small letters: it is the same word.
    annexd = Annexd(directory, cloud_process.endpoint, {"ANNEX_LEASE_METHOD": "sweep"})
    annexd.start()
    yield annexd
    assert annexd.stop() == 0


def _functions(cloud: LocalCloud) -> None:
    """Empty the cloud, and put a function into it that nobody may run."""
    cloud.reset()
    make_lease_function(cloud, allowed=False)


def _refused(ended: Ended, cloud: LocalCloud, *said: str) -> None:
    """See that the tool was refused with these words, and no capacity was asked for."""
    assert (5, "") == (ended.status, ended.out), ended.err
    assert [] == [words for words in said if words not in ended.err], ended.err
    assert [] == cloud.requests("RequestSpotFleet")
    assert cloud.contents().empty


def test_a_function_that_is_missing(annexd: Annexd, cloud: LocalCloud) -> None:
    """It is named, and how to make it."""
    cloud.reset()
    ended = annexd.ask(console_config())
    _refused(ended, cloud, f"there is no lease function {FUNCTION_ARN}", _SETUP)


def test_a_function_that_is_disabled(annexd: Annexd, cloud: LocalCloud) -> None:
    """A reserved concurrency of 0 keeps it from running; it is told how to let it run."""
    functions = cloud.client("lambda", looks=True)
    functions.put_function_concurrency(FunctionName="annex-lease", ReservedConcurrentExecutions=0)
    ended = annexd.ask(console_config())
    _refused(
        ended, cloud, "is disabled: its reserved concurrency is 0", "delete-function-concurrency"
    )


def test_a_function_with_a_reserve_is_not_disabled(annexd: Annexd, cloud: LocalCloud) -> None:
    """Any other reserved concurrency is fine."""
    functions = cloud.client("lambda", looks=True)
    functions.put_function_concurrency(FunctionName="annex-lease", ReservedConcurrentExecutions=1)
    assert 0 == annexd.ask(console_config()).status


def test_a_function_that_has_failed(annexd: Annexd, cloud: LocalCloud) -> None:
    """AWS's own reason is told."""
    cloud.function_state(FUNCTION_ARN, "Failed", "its key is gone")
    ended = annexd.ask(console_config())
    _refused(ended, cloud, f"{FUNCTION_ARN} is Failed: its key is gone", _SETUP)


def test_a_function_that_has_been_idle_for_long(annexd: Annexd, cloud: LocalCloud) -> None:
    """Inactive, it wakes at the next call."""
    cloud.function_state(FUNCTION_ARN, "Inactive")
    assert 0 == annexd.ask(console_config()).status


def test_a_function_that_is_being_made_is_waited_for(annexd: Annexd, cloud: LocalCloud) -> None:
    """Pending for longer than a step is tried, it is given up."""
    cloud.function_state(FUNCTION_ARN, "Pending", "it is being made")
    ended = annexd.ask(console_config())
    _refused(ended, cloud, "is Pending: it is being made", "Check lease function: tried again")


def test_a_function_that_nobody_may_run(annexd: Annexd, cloud: LocalCloud) -> None:
    """It has no policy."""
    _functions(cloud)
    ended = annexd.ask(console_config())
    _refused(ended, cloud, "EventBridge may not run the lease function", "it has no policy", _SETUP)


@pytest.mark.parametrize(
    ("grant", "said"),
    [
        (lambda cloud: allow(cloud, principal="s3.amazonaws.com"), "no statement of its policy"),
        (lambda cloud: allow(cloud, "another-*"), "rule/another-*"),
        (lambda cloud: allow(cloud, account="999999999999"), "SourceAccount 999999999999"),
    ],
    ids=["another principal", "another rule", "another account"],
)
def test_a_permission_for_something_else(
    annexd: Annexd, cloud: LocalCloud, grant: Callable[[LocalCloud], None], said: str
) -> None:
    """What the policy asks for instead is told."""
    _functions(cloud)
    grant(cloud)
    ended = annexd.ask(console_config())
    _refused(ended, cloud, "EventBridge may not run the lease function", said, _SETUP)


def test_a_check_that_is_throttled_is_made_again(annexd: Annexd, cloud: LocalCloud) -> None:
    """As every other call."""
    cloud.fail("GetPolicy", "TooManyRequestsException", status=429, times=4)
    assert 0 == annexd.ask(console_config()).status


def test_an_alias_is_asked_for_as_it_is(annexd: Annexd, cloud: LocalCloud) -> None:
    """The function's version or alias belongs to its name."""
    functions = cloud.client("lambda", looks=True)
    functions.create_alias(FunctionName="annex-lease", Name="live", FunctionVersion="$LATEST")
    arn = FUNCTION_ARN + ":live"
    # moto keeps one policy for all aliases: the statement's resource tells them apart.
    assert "no statement of its policy allows" in annexd.ask(console_config(), arn=arn).err
    functions.add_permission(
        FunctionName="annex-lease",
        Qualifier="live",
        StatementId="live",
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=f"arn:aws:events:{REGION}:{ACCOUNT}:rule/htcondor-annex-*",
    )
    assert 0 == annexd.ask(console_config(), arn=arn).status
    asked = [seen.parameters["FunctionName"] for seen in cloud.requests("GetFunction")]
    assert [arn, arn] == asked
    ((target,),) = cloud.contents().targets.values()
    assert arn == target["Arn"]


# -- the sweep -------------------------------------------------------------------------------------


def test_an_annex_of_the_sweep_has_no_rule(sweeping: Annexd, cloud: LocalCloud) -> None:
    """A fleet with the lease in its tags is all that is made; it is told which method it is."""
    make_sweep(cloud)
    ended = sweeping.ask(console_config(), "-annex-name", "swept")
    assert 0 == ended.status, ended.err
    contents = cloud.contents()
    assert (1, [SWEEP_RULE]) == (len(contents.fleets), [rule["Name"] for rule in contents.rules])
    assert {"PutRule", "PutTargets", "GetFunctionConfiguration"}.isdisjoint(
        seen.action for seen in cloud.requests()
    )
    assert "RequestSpotFleet" == cloud.requests()[-1].action
    assert "SWEEP" == sweeping.status("swept")["lease_method"]


def test_its_end_and_its_lease_need_no_rule(sweeping: Annexd, cloud: LocalCloud) -> None:
    """An update changes the tags of fleet and instances, in this order; the end ends the fleet."""
    make_sweep(cloud)
    sweeping.ask(console_config(), "-annex-name", "whole", "-lease-duration", "1000")
    cloud.forget()
    assert 0 == sweeping.plain("-annex-name", "whole", "-lease-duration", "5000").status
    tagged = [seen.parameters["Resources"] for seen in cloud.requests("CreateTags")]
    assert [["sfr"], ["i", "i"]] == [[one.split("-")[0] for one in some] for some in tagged]
    end = str(sweeping.status("whole")["lease_expires"])
    ends = {
        tag["Value"]
        for thing in (*cloud.contents().fleets, *cloud.contents().instances)
        for tag in thing["Tags"]
        if tag["Key"] == "htcondor:lease-expires"
    }
    assert {end} == ends
    assert 0 == sweeping.plain("off", "-annex-name", "whole").status
    assert cloud.contents().empty
    assert [] == cloud.requests(service="events")


def test_an_annex_keeps_its_method(own_annexd: Annexd, cloud: LocalCloud) -> None:
    """Made with a rule, it has one until its end, whatever the knob says by then."""
    own_annexd.start()
    own_annexd.ask(console_config(), "-annex-name", "kept")
    own_annexd.stop()
    own_annexd.configure({**own_annexd.knobs, "ANNEX_LEASE_METHOD": "SWEEP"})
    own_annexd.start()
    assert "RULE" == own_annexd.status("kept")["lease_method"]
    own_annexd.plain("off", "-annex-name", "kept")
    assert cloud.contents().empty


def test_a_sweep_that_is_missing(sweeping: Annexd, cloud: LocalCloud) -> None:
    """Rules of annexes are none."""
    events = cloud.client("events", looks=True)
    name = "htcondor-annex-00000000-0000-4000-8000-000000000000"
    events.put_rule(Name=name, ScheduleExpression="rate(5 minutes)")
    target = {"Id": name, "Arn": FUNCTION_ARN, "Input": json.dumps({"Sweep": True})}
    events.put_targets(Rule=name, Targets=[target])
    ended = sweeping.ask(console_config())
    events.remove_targets(Rule=name, Ids=[name])
    events.delete_rule(Name=name)
    _refused(ended, cloud, "has no sweep that works: no rule runs it by itself", _SETUP)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda cloud: make_sweep(cloud, state="DISABLED"), "is DISABLED"),
        (
            lambda cloud: make_sweep(cloud, schedule="rate(1 day)"),
            "runs by 'rate(1 day)', less often",
        ),
        (lambda cloud: make_sweep(cloud, told={"Sweep": True, "DryRun": True}), "does not tell"),
        (lambda cloud: make_sweep(cloud, told={}), "does not tell the function to sweep"),
        (lambda cloud: make_sweep(cloud, allowed=False), "may not run it"),
    ],
    ids=["disabled", "seldom", "dry", "wrong input", "not allowed"],
)
def test_a_sweep_that_would_not_end_it(
    sweeping: Annexd, cloud: LocalCloud, make: Callable[[LocalCloud], None], said: str
) -> None:
    """The rule is named, and what is wrong with it."""
    make(cloud)
    ended = sweeping.ask(console_config())
    _refused(ended, cloud, "has no sweep that works", f"the rule {SWEEP_RULE} {said}", _SETUP)


def test_a_function_of_the_sweep_that_is_missing(sweeping: Annexd, cloud: LocalCloud) -> None:
    """It is looked for under either method."""
    cloud.reset()
    ended = sweeping.ask(console_config())
    _refused(ended, cloud)


def test_the_sweep_is_found_among_many_rules(sweeping: Annexd, cloud: LocalCloud) -> None:
    """Rules of annexes fill pages before it, and are not asked about."""
    events = cloud.client("events", looks=True)
    for number in range(12):
        name = f"htcondor-annex-00000000-0000-4000-8000-{number:012}"
        events.put_rule(Name=name, ScheduleExpression="rate(5 minutes)")
        events.put_targets(Rule=name, Targets=[{"Id": name, "Arn": FUNCTION_ARN}])
    make_sweep(cloud)
    cloud.page_size(5)
    ended = sweeping.ask(console_config())
    assert 0 == ended.status, ended.err
    assert 3 == len(cloud.requests("ListRuleNamesByTarget"))
    assert [SWEEP_RULE] == [seen.parameters["Name"] for seen in cloud.requests("DescribeRule")]


@pytest.mark.parametrize(
    "action", ["ListRuleNamesByTarget", "DescribeRule", "ListTargetsByRule", "GetPolicy"]
)
def test_a_look_at_the_sweep_that_fails(sweeping: Annexd, cloud: LocalCloud, action: str) -> None:
    """What AWS said is told, and nothing is asked for."""
    make_sweep(cloud)
    cloud.fail(action, "AccessDeniedException", status=403, message="not for you")
    ended = sweeping.ask(console_config())
    _refused(ended, cloud, f"AWS refused {action}: AccessDeniedException: not for you")
