"""The function under AWS's own runtime client: what ends, when, and what events do nothing.

Every test runs the committed template's text in a process as Lambda has it, which makes real calls
to the local cloud. Its clock is what the test says.
"""

import json
import time
import uuid
from typing import Any

import pytest

from localcloud import LocalCloud
from tests.lease.conftest import (
    BUCKET,
    EXPIRES,
    LATER,
    SESSION_TOKEN,
    SWEEP,
    Annexes,
    Lambda,
    lines,
)
from tests.support import SECRET_KEY

ID = "5f0c4b3e-6f52-4b8e-9d35-0f1d2c3b4a59"
by_rule_and_sweep = pytest.mark.parametrize("sweeps", [False, True], ids=["rule", "sweep"])


def event_of(annexes: Annexes, annex_id: str, *, sweeps: bool) -> dict[str, Any]:
    """Return the rule's event of an annex, or the sweep's."""
    return SWEEP if sweeps else annexes.event(annex_id)


@by_rule_and_sweep
@pytest.mark.parametrize("count", [0, 1, 7])
def test_all_instances_of_an_annex_end(
    cloud: LocalCloud, annexes: Annexes, lambda_: Lambda, count: int, *, sweeps: bool
) -> None:
    """None, one and some, with the rule; the report counts them."""
    annex_id = str(uuid.uuid4())
    annexes.rule(annex_id)
    if count:
        annexes.instances(annex_id, count, expires=str(EXPIRES))
    report = lambda_.run(event_of(annexes, annex_id, sweeps=sweeps)).value
    assert (count, 1, 0) == (report["instances_ended"], report["rules_deleted"], report["left"])
    assert cloud.contents().empty


@by_rule_and_sweep
@pytest.mark.parametrize(
    ("now", "ends"), [(EXPIRES - 1, False), (EXPIRES, False), (EXPIRES + 1, True)]
)
def test_a_lease_ends_to_the_second(
    cloud: LocalCloud,
    annexes: Annexes,
    lambda_: Lambda,
    now: int,
    *,
    ends: bool,
    sweeps: bool,
) -> None:
    """In its last second the annex lives, in the next it does not."""
    annex_id = str(uuid.uuid4())
    annexes.rule(annex_id)
    annexes.fleet(annex_id, 1, expires=str(EXPIRES))
    lambda_.run(event_of(annexes, annex_id, sweeps=sweeps), now=now)
    assert ends is cloud.contents().empty


@by_rule_and_sweep
@pytest.mark.parametrize(
    ("lease", "ahead", "ends"),
    [
        (-30, -60, False),  # over, but not by a clock that is late: the next run ends it
        (-90, -60, True),
        (30, 60, True),  # early by no more than the clock is
        (90, 60, False),
    ],
)
def test_a_clock_a_minute_off_is_off_by_that_minute(
    cloud: LocalCloud,
    annexes: Annexes,
    lambda_: Lambda,
    lease: int,
    ahead: float,
    *,
    ends: bool,
    sweeps: bool,
) -> None:
    """And by no more, in both directions; with the right clock all is as it should be."""
    annex_id, expires = str(uuid.uuid4()), int(time.time()) + lease
    annexes.fleet(annex_id, 1, expires=str(expires))
    event = SWEEP if sweeps else annexes.event(annex_id, LeaseExpiration=expires)
    assert lambda_.run(event, clock_offset=ahead).failure == ""
    assert ends is cloud.contents().empty
    lambda_.run(event, now=expires + 1)
    assert cloud.contents().empty


def test_the_result_is_the_last_line_of_the_log(annexes: Annexes, lambda_: Lambda) -> None:
    """Every line is a JSON object with level and message; the last one is the report."""
    annex_id = annexes.whole()
    result = lambda_.run(annexes.event(annex_id))
    said = lines(result)
    assert all({"level", "message", "annex"} <= set(line) for line in said)
    assert result.value == {name: said[-1][name] for name in result.value}


def test_a_process_serves_many_events_in_little_memory(annexes: Annexes, lambda_: Lambda) -> None:
    """It is kept for the next run, and stays well below what the template gives it."""
    first, second = (lambda_.run(annexes.event(annexes.whole())) for _ in range(2))
    assert (first.failure, second.failure) == ("", "")
    assert 0 < second.memory < 256


# -- bad events ------------------------------------------------------------------------------------

GOOD = {"AnnexID": ID, "LeaseExpiration": EXPIRES, "RuleName": f"htcondor-annex-{ID}"}
OTHER = f"{ID[:-1]}0"


def without(name: str) -> dict[str, Any]:
    """Return a good event without a key."""
    return {key: value for key, value in GOOD.items() if key != name}


def raw(text: str) -> bytes:
    """Return a good event's text with something else for the expiration."""
    return json.dumps({**GOOD, "LeaseExpiration": "HERE"}).replace('"HERE"', text).encode()


BAD: dict[str, Any] = {
    "nothing": None,
    "a truth": True,
    "a number": 7,
    "a text": "Sweep",
    "an empty list": [],
    "a list of good events": [GOOD],
    "an empty object": {},
    "a scheduled event": {"detail-type": "Scheduled Event", "source": "aws.events", "detail": {}},
    "an event within an event": {"event": GOOD},
    "no id": without("AnnexID"),
    "an id that is null": {**GOOD, "AnnexID": None},
    "an id that is a list": {**GOOD, "AnnexID": [ID]},
    "an id that is an object": {**GOOD, "AnnexID": {"id": ID}},
    "an empty id": {**GOOD, "AnnexID": "", "RuleName": "htcondor-annex-"},
    "an id in capitals": {**GOOD, "AnnexID": ID.upper()},
    "an id cut short": {**GOOD, "AnnexID": ID[:-1], "RuleName": f"htcondor-annex-{ID[:-1]}"},
    "an id with more": {**GOOD, "AnnexID": f"{ID}0", "RuleName": f"htcondor-annex-{ID}0"},
    "a wildcard": {**GOOD, "AnnexID": "*", "RuleName": "htcondor-annex-*"},
    "a wildcard in an id": {**GOOD, "AnnexID": f"{ID[:-1]}*", "RuleName": "htcondor-annex-*"},
    "an id and a line end": {**GOOD, "AnnexID": f"{ID}\n", "RuleName": f"htcondor-annex-{ID}\n"},
    "digits of another script": {**GOOD, "AnnexID": ID.replace("5", "\u0665")},
    "a huge id": {**GOOD, "AnnexID": "5" * 1_000_000},
    "no expiration": without("LeaseExpiration"),
    "an expiration in a text": {**GOOD, "LeaseExpiration": str(EXPIRES)},
    "an expiration in another script": {**GOOD, "LeaseExpiration": "\u0661" * 10},
    "an expiration with a fraction": {**GOOD, "LeaseExpiration": EXPIRES + 0.5},
    "a whole number with a point": {**GOOD, "LeaseExpiration": float(EXPIRES)},
    "a truth for an expiration": {**GOOD, "LeaseExpiration": True},
    "an expiration of nought": {**GOOD, "LeaseExpiration": 0},
    "an expiration before all time": {**GOOD, "LeaseExpiration": -1},
    "an expiration after all time": {**GOOD, "LeaseExpiration": 10**30},
    "a number too great for a float": raw("1e400"),
    "no rule": without("RuleName"),
    "a rule that is a number": {**GOOD, "RuleName": 7},
    "another annex's rule": {**GOOD, "RuleName": f"htcondor-annex-{OTHER}"},
    "a rule of no annex": {**GOOD, "RuleName": "nightly-backup"},
    "a bucket without a key": {**GOOD, "S3BucketName": BUCKET},
    "a key without a bucket": {**GOOD, "S3Key": "key"},
    "no name of a bucket": {**GOOD, "S3BucketName": "../x", "S3Key": "key"},
    "a bucket that is a list": {**GOOD, "S3BucketName": [BUCKET], "S3Key": "key"},
    "an empty key": {**GOOD, "S3BucketName": BUCKET, "S3Key": ""},
    "a key too long": {**GOOD, "S3BucketName": BUCKET, "S3Key": "k" * 1025},
    "half a character for a key": {**GOOD, "S3BucketName": BUCKET, "S3Key": "\ud800" * 1025},
    "a sweep that is not": {"Sweep": False},
    "a sweep in a text": {"Sweep": "true"},
    "a sweep by number": {"Sweep": 1},
    "a sweep that is null": {"Sweep": None},
    "a sweep of one annex": {"Sweep": True, **GOOD},
    "a sweep with another key": {"Sweep": True, "Force": True},
    "a dry run in a text": {"Sweep": True, "DryRun": "yes"},
    "a dry run that is null": {"Sweep": True, "DryRun": None},
    "a dry run of nothing": {"DryRun": True},
}


@pytest.mark.parametrize("event", BAD.values(), ids=BAD)
def test_a_bad_event_is_logged_and_ends_nothing(
    cloud: LocalCloud, lambda_: Lambda, event: object
) -> None:
    """AWS is not even asked, and Lambda is told of no failure: it would only try again."""
    result = lambda_.run(event)
    assert (b"null", "", []) == (result.payload, result.failure, cloud.requests())
    (line,) = lines(result)
    assert ("ERROR", "bad event, nothing done") == (line["level"], line["message"].split(":")[0])
    assert len(result.log) < 300


NO_JSON = {
    "nothing": b"",
    "half an object": b'{"Sweep": true',
    "no UTF-8": b"\xff\xfe",
    "not a number": raw("NaN"),
    "without end": raw("Infinity"),
    "minus without end": raw("-Infinity"),
    "nested a hundred thousand times": b"[" * 100_000 + b"]" * 100_000,
}


@pytest.mark.parametrize("event", NO_JSON.values(), ids=NO_JSON)
def test_what_is_no_event_at_all_ends_nothing(
    cloud: LocalCloud, lambda_: Lambda, event: bytes
) -> None:
    """What cannot be read stops before the function, and is logged by Lambda's own client."""
    result = lambda_.run(event)
    assert ("Unhandled", []) == (result.failure, cloud.requests())
    assert "[ERROR]" in result.log


def test_the_log_holds_no_secret(cloud: LocalCloud, annexes: Annexes, lambda_: Lambda) -> None:
    """Neither what goes well, nor what fails, nor a bad event, nor what AWS quotes in an error."""
    annex_id = annexes.whole()
    secrets = (SESSION_TOKEN, SECRET_KEY)
    quoted = f"the canonical request was 'x-amz-security-token:{SESSION_TOKEN}'"
    cloud.fail("TerminateInstances", "InvalidSignatureException", status=403, message=quoted)
    logs = [lambda_.run(annexes.event(annex_id, LeaseExpiration=EXPIRES)).log]
    cloud.fail("*", "AccessDenied", status=403, message=quoted, times=99)
    logs.append(lambda_.run(SWEEP).log)
    cloud.calm()
    logs.append(lambda_.run(SWEEP).log)
    logs.append(lambda_.run(annexes.event(annex_id, RuleName=SECRET_KEY)).log)
    assert [] == [one for one in secrets if one in "".join(logs)]


# -- time ------------------------------------------------------------------------------------------


@by_rule_and_sweep
def test_a_time_limit_that_runs_out_goes_on_in_the_next_run(
    cloud: LocalCloud, annexes: Annexes, lambda_: Lambda, *, sweeps: bool
) -> None:
    """What would not be done in time is not begun; the rule stays for the next run."""
    annex_id = str(uuid.uuid4())
    annexes.rule(annex_id)
    annexes.instances(annex_id, 3, expires=str(EXPIRES))
    event = event_of(annexes, annex_id, sweeps=sweeps)
    result = lambda_.run(event, timeout=10)
    left = cloud.contents()
    assert ("", 3, 1) == (result.failure, len(left.instances), len(left.rules))
    assert "WARNING" in [line["level"] for line in lines(result)]
    lambda_.run(event)
    assert cloud.contents().empty


@by_rule_and_sweep
def test_a_run_that_is_killed_is_taken_up_by_the_next(
    cloud: LocalCloud, annexes: Annexes, lambda_: Lambda, *, sweeps: bool
) -> None:
    """AWS answers too late, and Lambda kills the function in the middle."""
    annex_id = str(uuid.uuid4())
    annexes.rule(annex_id)
    annexes.fleet(annex_id, 2, expires=str(EXPIRES))
    event = event_of(annexes, annex_id, sweeps=sweeps)
    cloud.latency(5_000, "DescribeInstances")
    killed = lambda_.run(event, now=LATER, timeout=1)
    assert killed.error.startswith("Sandbox.Timedout")
    assert not cloud.contents().empty
    cloud.calm()
    assert lambda_.run(event).failure == ""
    assert cloud.contents().empty
