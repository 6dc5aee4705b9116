"""The resource types that stacks may have: those that annexes need."""

from collections.abc import Mapping

from localcloud import cfnfunctions, cfngroups, cfniam, cfns3
from localcloud.cfnkinds import Kind

__all__ = ["KINDS"]

KINDS: Mapping[str, Kind] = {
    kind.name: kind for kind in (*cfnfunctions.KINDS, *cfngroups.KINDS, *cfniam.KINDS, *cfns3.KINDS)
}
"""By name."""
