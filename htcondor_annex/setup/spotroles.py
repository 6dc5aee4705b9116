"""AWS's own two roles for Spot requests, which an account needs once.

The console makes them by itself; who asks through the API must have made them before (EC2 User
Guide, "Service-linked role for Spot Fleet" and "... for Spot Instance requests"). They are the
account's, so -teardown leaves them.
"""

from htcondor_annex.errors import AwsError
from htcondor_annex.setup.aws import Aws

__all__ = ["make_spot_roles"]

_SERVICES = ("spot.amazonaws.com", "spotfleet.amazonaws.com")
# "Service role name ... has been taken in this account"; emulators have IAM's usual code.
_THERE = frozenset({"InvalidInput", "EntityAlreadyExists"})


def make_spot_roles(aws: Aws) -> list[str]:
    """Make those that are missing; return their services.

    Raises:
        AwsError: If one cannot be made.
    """
    made = []
    for service in _SERVICES:
        try:
            aws.call("iam", "create_service_linked_role", AWSServiceName=service)
        except AwsError as error:
            if error.aws_code not in _THERE:
                raise
        else:
            made.append(service)
    return made
