"""A cloud in a box: AWS's place, for trying annexes with no account and for testing failures.

moto answers, served over HTTP by a process of its own; a layer in front of it does what AWS does
and moto does not, and fails on demand. Everything speaks real HTTP with real signatures.

    from localcloud import LocalCloud

    with LocalCloud() as cloud:                      # or LocalCloud(access_keys={id: secret})
        ec2 = cloud.client("ec2")                    # a boto3 client of this cloud
        subprocess.run([...], env={**os.environ, **cloud.environment()})
        cloud.fail("RequestSpotFleet", "RequestLimitExceeded", status=503, times=2)
        cloud.fail("PutTargets", "InternalException", status=500, when="after")
        cloud.lose("RequestSpotFleet", when="after")  # moto acts, the connection breaks
        cloud.latency(50)                            # milliseconds, every request
        cloud.requests("RequestSpotFleet")[0].parameters["SpotFleetRequestConfig"]["ValidUntil"]
        cloud.contents()                             # live fleets, instances, rules, targets
        cloud.reset()                                # empty again, keys and endpoint kept

By hand, `python -m localcloud -port 5000` prints the endpoint and serves until it is stopped;
`LocalCloud.at("http://127.0.0.1:5000")` speaks with it. `localcloud.stacks` makes the project's
CloudFormation stacks there, `localcloud.rules` fires rules as EventBridge would.

As on AWS, a cancelled Spot Fleet stays visible for DescribeSpotFleetRequests, in state
`cancelled`; `contents()` leaves it out.
"""

from localcloud.cloud import Contents, LocalCloud, Seen

__all__ = ["Contents", "LocalCloud", "Seen"]
