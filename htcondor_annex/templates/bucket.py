"""The configuration bucket's template: private, encrypted, and nothing in it for long. Pure.

It holds what instances of annexes fetch at boot. Sources: S3 User Guide, "Blocking public access to
your Amazon S3 storage", "Setting default server-side encryption behavior", "Managing the lifecycle
of objects", "Security best practices for Amazon S3".
"""

from htcondor_annex.templates.parts import Template, policy

__all__ = ["DAYS_KEPT", "bucket_template"]

DAYS_KEPT = 30
"""Days after which S3 itself removes an object that nobody removed; more than ANNEX_MAX_LEASE."""

_ARN = {"Fn::GetAtt": ["ConfigurationBucket", "Arn"]}
_OBJECTS = {"Fn::Sub": "${ConfigurationBucket.Arn}/*"}


def _bucket() -> Template:
    return {
        "Type": "AWS::S3::Bucket",
        # A stack that is removed takes its bucket along; what lies in it would keep it back.
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        "Properties": {
            "BucketEncryption": {
                "ServerSideEncryptionConfiguration": [
                    {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
                ]
            },
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": True,
                "BlockPublicPolicy": True,
                "IgnorePublicAcls": True,
                "RestrictPublicBuckets": True,
            },
            # No access control lists: policies alone decide.
            "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            "LifecycleConfiguration": {
                "Rules": [
                    {
                        "Id": "NothingStays",
                        "Status": "Enabled",
                        "ExpirationInDays": DAYS_KEPT,
                        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
                    }
                ]
            },
        },
    }


def _transport() -> Template:
    """Return the policy that refuses every request without TLS, whoever asks."""
    return {
        "Type": "AWS::S3::BucketPolicy",
        "Properties": {
            "Bucket": {"Ref": "ConfigurationBucket"},
            "PolicyDocument": policy(
                {
                    "Sid": "RefuseWithoutTLS",
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "s3:*",
                    "Resource": [_ARN, _OBJECTS],
                    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                }
            ),
        },
    }


def bucket_template() -> Template:
    """Return the template of the bucket that holds annexes' configurations."""
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "HTCondor annex: the private bucket of its instances' configurations",
        "Resources": {
            "ConfigurationBucket": _bucket(),
            "ConfigurationBucketPolicy": _transport(),
        },
        "Outputs": {
            "BucketName": {
                "Description": "The bucket's name",
                "Value": {"Ref": "ConfigurationBucket"},
            }
        },
    }
