"""The project's CloudFormation templates, each generated from one source.

`python -m htcondor_annex.templates lease` prints the lease function's, `... role BUCKET KEY` an
instance role's; `... write` brings the committed files up to date.
"""

from htcondor_annex.templates.bucket import bucket_template
from htcondor_annex.templates.fleetrole import fleet_role_template
from htcondor_annex.templates.lease import lease_template
from htcondor_annex.templates.network import security_group_template
from htcondor_annex.templates.objects import ObjectName, check_object
from htcondor_annex.templates.permissions import annexd_policy
from htcondor_annex.templates.role import role_template

__all__ = [
    "ObjectName",
    "annexd_policy",
    "bucket_template",
    "check_object",
    "fleet_role_template",
    "lease_template",
    "role_template",
    "security_group_template",
]
