"""The template of the role that a Spot Fleet takes (`IamFleetRole` in config.json). Pure.

Source: EC2 User Guide, "Spot Fleet permissions": AWS's own managed policy is what it asks for.
"""

from htcondor_annex.templates.parts import (
    Template,
    boundary_parameter,
    boundary_property,
    trust,
)

__all__ = ["fleet_role_template"]

_MANAGED = "arn:${AWS::Partition}:iam::aws:policy/service-role/AmazonEC2SpotFleetTaggingRole"


def fleet_role_template() -> Template:
    """Return the template; the console makes such a role by itself, an API caller must."""
    boundary, condition = boundary_parameter()
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "HTCondor annex: the role with which Spot Fleets launch instances",
        "Parameters": boundary,
        "Conditions": condition,
        "Resources": {
            "FleetRole": {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "Description": "Lets Spot Fleets of HTCondor annexes launch and tag instances",
                    "AssumeRolePolicyDocument": trust("spotfleet"),
                    "ManagedPolicyArns": [{"Fn::Sub": _MANAGED}],
                    **boundary_property(),
                },
            }
        },
        "Outputs": {
            "FleetRoleARN": {
                "Description": "For IamFleetRole in config.json",
                "Value": {"Fn::GetAtt": ["FleetRole", "Arn"]},
            }
        },
    }
