"""The daemon's own clients of AWS."""

from htcondor_annex.aws.clients import Clients
from htcondor_annex.aws.credentials import Credentials
from localcloud import LocalCloud
from tests.support import ACCESS_KEY, REGION, SECRET_KEY, console_config


def test_times_are_left_as_texts(cloud: LocalCloud) -> None:
    """Reading times takes a third of a look at a thousand instances, and nothing uses them."""
    cloud.client("ec2", looks=True).request_spot_fleet(SpotFleetRequestConfig=console_config())
    keys = Credentials(ACCESS_KEY, SECRET_KEY)
    client = Clients(1, 10).get("ec2", cloud.endpoint, REGION, keys)
    (fleet,) = client.describe_spot_fleet_requests()["SpotFleetRequestConfigs"]
    assert isinstance(fleet["CreateTime"], str)
    client.close()
