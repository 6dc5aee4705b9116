"""The layer in front of moto: it records, refuses, fails and loses, as it is told."""

import io
import json
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

from localcloud import LocalCloud
from localcloud.faults import Layer
from localcloud.shared import ONLOOKER
from tests.localcloud.conftest import Client, fleet_config

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:lease"


def test_requests_are_seen_field_by_field(cloud: LocalCloud, ec2: Client) -> None:
    """EC2's query encoding is read back through AWS's own model, with types and times."""
    asked = fleet_config(
        TargetCapacity=3,
        ValidUntil="2030-01-02T03:04:05Z",
        TerminateInstancesWithExpiration=True,
        LaunchSpecifications=[{"ImageId": "ami-1", "WeightedCapacity": 1.5}],
    )
    ec2.request_spot_fleet(SpotFleetRequestConfig=asked)
    seen = cloud.requests("RequestSpotFleet")[0]
    assert {"SpotFleetRequestConfig": asked} == seen.parameters
    assert (seen.service, seen.region, seen.status) == ("ec2", "us-east-1", 200)
    assert cloud.credentials[0] == seen.access_key


def test_requests_of_every_protocol_are_seen(cloud: LocalCloud) -> None:
    """JSON of EventBridge, REST of Lambda and S3, queries of IAM."""
    rule = {"Name": "rule", "ScheduleExpression": "rate(5 minutes)"}
    cloud.client("events").put_rule(**rule)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        cloud.client("lambda").get_function(FunctionName=FUNCTION)
    cloud.client("s3").create_bucket(Bucket="bucket")
    cloud.client("s3").put_object(Bucket="bucket", Key="a b/ü", Body=b"body")
    with pytest.raises(ClientError, match="NoSuchEntity"):
        cloud.client("iam").get_role(RoleName="none")
    seen = [(one.service, one.action, one.status) for one in cloud.requests()]
    assert seen == [
        ("events", "PutRule", 200),
        ("lambda", "GetFunction", 404),
        ("s3", "CreateBucket", 200),
        ("s3", "PutObject", 200),
        ("iam", "GetRole", 404),
    ]
    assert rule == cloud.requests("PutRule")[0].parameters
    assert cloud.requests("GetFunction")[0].parameters["FunctionName"] == FUNCTION
    assert cloud.requests("PutObject")[0].parameters["Key"] == "a b/ü"


CALLS = {
    "ec2": ("describe_instances", "DescribeInstances"),
    "events": ("list_rules", "ListRules"),
    "lambda": ("list_functions", "ListFunctions"),
    "s3": ("list_buckets", "ListBuckets"),
    "iam": ("list_roles", "ListRoles"),
}


def call(client: Client, service: str) -> Any:  # noqa: ANN401  (boto3)
    """Make the harmless call of a service."""
    return getattr(client, CALLS[service][0])()


@pytest.mark.parametrize("service", CALLS)
def test_an_error_is_worded_as_the_service_words_it(cloud: LocalCloud, service: str) -> None:
    """boto3 reads code, message and status out of each protocol."""
    cloud.fail(CALLS[service][1], "Throttling", status=503, message="slow <down>")
    with pytest.raises(ClientError) as failed:
        call(cloud.client(service), service)
    answer = failed.value.response
    assert (
        answer["Error"]["Code"],
        answer["Error"]["Message"],
        answer["ResponseMetadata"]["HTTPStatusCode"],
    ) == ("Throttling", "slow <down>", 503)


@pytest.mark.parametrize("service", CALLS)
def test_a_wrong_secret_is_refused(cloud: LocalCloud, service: str) -> None:
    """Each service has its own code for it."""
    codes = {
        "ec2": "AuthFailure",
        "events": "InvalidSignatureException",
        "lambda": "InvalidSignatureException",
        "s3": "SignatureDoesNotMatch",
        "iam": "SignatureDoesNotMatch",
    }
    assert codes[service] == _refused(cloud, service, (cloud.credentials[0], "wrong"))


@pytest.mark.parametrize("service", CALLS)
def test_an_unknown_key_is_refused(cloud: LocalCloud, service: str) -> None:
    """Each service has its own code for that, too."""
    codes = {
        "ec2": "AuthFailure",
        "events": "UnrecognizedClientException",
        "lambda": "UnrecognizedClientException",
        "s3": "InvalidAccessKeyId",
        "iam": "InvalidClientTokenId",
    }
    assert codes[service] == _refused(cloud, service, ("AKIANOBODY", cloud.credentials[1]))


def _refused(cloud: LocalCloud, service: str, keys: tuple[str, str]) -> str:
    client = boto3.client(
        service,
        region_name="us-east-1",
        endpoint_url=cloud.endpoint,
        aws_access_key_id=keys[0],
        aws_secret_access_key=keys[1],
        config=Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(ClientError) as refused:
        call(client, service)
    return str(refused.value.response["Error"]["Code"])


def test_a_call_that_fails_before_does_nothing(cloud: LocalCloud, ec2: Client) -> None:
    """Moto never hears of it."""
    cloud.fail("RequestSpotFleet", "InternalError", status=500)
    with pytest.raises(ClientError, match="InternalError"):
        ec2.request_spot_fleet(SpotFleetRequestConfig=fleet_config())
    assert cloud.contents().empty


def test_a_call_that_fails_after_has_done_its_work(cloud: LocalCloud, ec2: Client) -> None:
    """AWS acts, and the client hears of an error."""
    cloud.fail("RequestSpotFleet", "InternalError", status=500, when="after")
    with pytest.raises(ClientError, match="InternalError"):
        ec2.request_spot_fleet(SpotFleetRequestConfig=fleet_config())
    assert len(cloud.contents().fleets) == 1


@pytest.mark.parametrize(("when", "fleets"), [("before", 0), ("after", 1)])
def test_an_answer_can_be_lost(cloud: LocalCloud, ec2: Client, when: str, fleets: int) -> None:
    """The connection breaks, and the client cannot know whether AWS acted."""
    cloud.lose("RequestSpotFleet", when=when)
    with pytest.raises(ConnectionClosedError):
        ec2.request_spot_fleet(SpotFleetRequestConfig=fleet_config())
    assert fleets == len(cloud.contents().fleets)
    assert [seen.status for seen in cloud.requests("RequestSpotFleet")] == [0]


def test_faults_count_their_calls(cloud: LocalCloud, ec2: Client) -> None:
    """So many pass, so many fail, and then all is well."""
    cloud.fail("DescribeInstances", "InternalError", status=500, skip=1, times=2)
    for expected in (200, 500, 500, 200):
        if expected == 200:
            ec2.describe_instances()
        else:
            with pytest.raises(ClientError, match="InternalError"):
                ec2.describe_instances()
    assert [seen.status for seen in cloud.requests()] == [200, 500, 500, 200]
    assert cloud.faults() == []


def test_a_fault_is_of_its_service_alone(cloud: LocalCloud) -> None:
    """The same action of another service is not met."""
    cloud.fail("*", "InternalError", status=500, service="events")
    cloud.client("ec2").describe_instances()
    with pytest.raises(ClientError, match="InternalError"):
        cloud.client("events").list_rules()


def test_calm_takes_faults_away(cloud: LocalCloud, ec2: Client) -> None:
    """What waited for its call waits no more."""
    cloud.fail("DescribeInstances", "InternalError", status=500)
    cloud.calm()
    assert "Reservations" in ec2.describe_instances()


@pytest.mark.parametrize(
    "wrong", [{"when": "later"}, {"status": 200}, {"status": 999}, {"times": 0}, {"skip": -1}]
)
def test_a_fault_that_makes_no_sense_is_refused(cloud: LocalCloud, wrong: dict[str, Any]) -> None:
    """At once, rather than never to happen."""
    with pytest.raises(ValueError, match="refused POST faults"):
        cloud.fail("DescribeInstances", "InternalError", **wrong)


def test_looking_at_the_contents_is_not_seen(cloud: LocalCloud) -> None:
    """A test's own looks neither count nor meet faults."""
    cloud.fail("*", "InternalError", status=500)
    assert cloud.contents().empty
    assert cloud.requests() == []


def test_latency_is_of_all_calls_or_of_one_action() -> None:
    """The layer pauses as long as it is told, for whom it is told; an onlooker never waits."""
    pauses: list[float] = []
    layer = Layer(lambda _, start: [start("200 OK", []) or b""], pause=pauses.append)

    def ask(action: str, agent: str = "") -> None:
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/",
            "HTTP_HOST": "127.0.0.1",
            "HTTP_AUTHORIZATION": "AWS4-HMAC-SHA256 Credential=AK/20300101/us-east-1/events/aws4",
            "HTTP_X_AMZ_TARGET": f"AWSEvents.{action}",
            "HTTP_USER_AGENT": agent,
            "CONTENT_TYPE": "application/x-amz-json-1.1",
            "CONTENT_LENGTH": "2",
            "wsgi.input": io.BytesIO(b"{}"),
            "wsgi.url_scheme": "http",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
        }
        list(layer(environ, lambda *_: None))

    ask("ListRules")
    layer.set_latency(0.05)
    layer.set_latency(2, "PutRule")
    ask("ListRules")
    ask("PutRule")
    ask("PutRule", agent=ONLOOKER)
    layer.clear()
    ask("ListRules")
    assert pauses == [0.05, 2]


def test_what_moto_cannot_do_is_an_error_of_its_own(cloud: LocalCloud, ec2: Client) -> None:
    """Not implemented is 501, which no client tries again."""
    with pytest.raises(ClientError, match="NotImplemented"):
        ec2.describe_spot_fleet_request_history(
            SpotFleetRequestId="sfr-1", StartTime="2030-01-01T00:00:00Z"
        )
    assert [seen.status for seen in cloud.requests()] == [501]


def test_reset_empties_the_cloud(cloud: LocalCloud, ec2: Client) -> None:
    """Things, tokens, faults and calls are gone; the keys stay."""
    ec2.request_spot_fleet(SpotFleetRequestConfig=fleet_config(ClientToken="token"))
    cloud.client("events").put_rule(Name="rule", ScheduleExpression="rate(5 minutes)")
    cloud.fail("DescribeInstances", "InternalError")
    cloud.reset()
    assert (cloud.requests(), cloud.faults(), cloud.contents().empty) == ([], [], True)
    ec2.request_spot_fleet(SpotFleetRequestConfig=fleet_config(ClientToken="token"))
    assert len(cloud.contents().fleets) == 1
    assert _refused(cloud, "ec2", ("AKIANOBODY", "x")) == "AuthFailure"


def test_requests_are_json_all_the_way(cloud: LocalCloud, ec2: Client) -> None:
    """What was seen can be written down."""
    ec2.run_instances(ImageId="ami-1", MinCount=1, MaxCount=1, UserData="#!/bin/sh")
    assert "RunInstances" in json.dumps([one.action for one in cloud.requests()])
    assert json.dumps(cloud.requests("RunInstances")[0].parameters)
