"""A cloud in a box: AWS's place, for trying annexes with no account and for testing failures.

moto answers, served over HTTP by a process of its own; a layer in front of it does what AWS does
and moto does not, and fails on demand. Everything speaks real HTTP with real signatures.

    from localcloud import LocalCloud

    with LocalCloud() as cloud:                      # or LocalCloud(access_keys={id: secret})
        ec2 = cloud.client("ec2")                    # a boto3 client of this cloud
        subprocess.run([...], env={**os.environ, **cloud.environment()})
        cloud.requests("RequestSpotFleet")[0].parameters["SpotFleetRequestConfig"]["ValidUntil"]
        cloud.contents()                             # live fleets, instances, rules, targets
        cloud.reset()                                # empty again, keys and endpoint kept

Faults of single calls; each says which calls pass first (`skip`) and how many it meets (`times`),
and is `localcloud.faults.Fault`:

        cloud.fail("RequestSpotFleet", "RequestLimitExceeded", status=503, times=2)
        cloud.fail("PutTargets", "InternalException", status=500, when="after")
        cloud.lose("RequestSpotFleet", when="after")  # moto acts, the connection breaks
        cloud.kill(daemon.pid, skip=3, when="after")  # SIGKILL; it has ended when that breaks
        cloud.latency(50)                            # milliseconds, every request

Random faults, the same for the same calls with the same seed; `localcloud.weather` tells the kinds:

        cloud.weather(seed, 0.1)                     # a tenth of the calls
        cloud.weather(seed, 0.1, ["throttled", "lost-after"])
        [seen.met for seen in cloud.requests()]      # what met each call
        cloud.calm()                                 # all these end

What AWS may do at any time; `localcloud.world` tells the sources:

        cloud.capacity(5)                            # at most so many instances live in the Region
        cloud.capacity(delay=2, step=0.5)            # a fleet's come late, and one by one
        cloud.capacity(0); cloud.capacity()          # none; as many as are asked for
        cloud.hide(3)                                # what is made is not seen for so long
        cloud.slow_end(3)                            # instances are shutting-down for so long
        cloud.page_size(2)                           # of fleets, instances, tags, rules, targets
        cloud.forget_ended()                         # as AWS does, an hour or two days after

Nothing runs by itself: what time has brought is done when the next call comes. Clients made with
`looks=True`, and `contents`, meet no fault, are not recorded, and see what is hidden.

Client tokens work as AWS's do, for RequestSpotFleet, RunInstances and CreateFleet, until `reset`:
the same answer to the same request, IdempotentParameterMismatch to another, and
IdempotentInstanceTerminated where RunInstances' instances have all terminated. Fleets of type
`maintain`, which is the default, replace instances that someone terminates: cancel first.
What is put right beside that, and what is not modelled, is told by `localcloud.conform` and the
modules that it names.

IAM's policies, which count from then on, until `reset`; `localcloud.authority` tells how:

        key, secret = cloud.enforce(policy)          # a user's; the cloud's own may do all
        key, secret, token = cloud.role_credentials(arn)
        [(one.action, one.resource) for one in cloud.denied()]
        cloud.asked("iam:PassRole")                  # every question, with its condition keys

By hand, `python -m localcloud -port 5000` prints the endpoint and serves until it is stopped;
`LocalCloud.at("http://127.0.0.1:5000")` speaks with it. `localcloud.stacks` makes the project's
CloudFormation stacks there, `localcloud.rules` fires rules as EventBridge would.

As on AWS, a cancelled Spot Fleet stays visible for DescribeSpotFleetRequests, in state
`cancelled`, and `cancelled_running` or `cancelled_terminating` before; `contents()` leaves it out.
"""

from localcloud.cloud import Contents, LocalCloud, Seen
from localcloud.enforcing import Decided

__all__ = ["Contents", "Decided", "LocalCloud", "Seen"]
