"""Packaging of htcondor-annex; the tools' settings are in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

# Each part installs alone: an instance needs neither the daemon's nor the tool's packages.
# docs/decisions/ says why each of these is here.
AGENT = ["botocore>=1.40", "requests>=2.31", "urllib3>=2"]
TOOL = ["boto3>=1.40", "htcondor>=23.0"]
DAEMON = [*TOOL, "aiohttp>=3.10"]
# The local cloud mends what it knows of moto's inside, so the version is held.
LOCALCLOUD = [
    *AGENT,
    "awslambdaric>=4.2,<5",
    "boto3>=1.40",
    "moto[cloudformation,ec2,events,iam,awslambda,s3,server]>=5.2.5,<5.3",
]
DEV = [
    *DAEMON,
    *LOCALCLOUD,
    "build>=1.2",
    "cfn-lint>=1.50",
    "cryptography>=42",
    "hypothesis>=6.100",
    "mypy>=1.14",
    "pytest>=8.0",
    "pytest-xdist>=3.6",
    "ruff>=0.9",
    "types-requests",
]

setup(
    name="htcondor-annex",
    version="0.1.0",
    description="Lets an HTCondor pool borrow machines from AWS under a lease",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["htcondor_annex*", "instance_agent*"]),
    package_data={"htcondor_annex": ["py.typed"], "instance_agent": ["py.typed"]},
    extras_require={
        "agent": AGENT,
        "tool": TOOL,
        "daemon": DAEMON,
        "localcloud": [*DAEMON, *LOCALCLOUD],
        "dev": DEV,
    },
    entry_points={
        "console_scripts": [
            "condor_annex = htcondor_annex.tool.main:main",
            "condor_annexd = htcondor_annex.daemon.main:main",
            "condor_annex_ec2 = instance_agent.main:main",
        ]
    },
    data_files=[
        ("share/htcondor-annex/config", ["config/80annexd"]),
        (
            "share/htcondor-annex/templates",
            [
                "templates/annexd-policy.json",
                "templates/config.json",
                "templates/configuration-bucket.json",
                "templates/fleet-role.json",
                "templates/instance-role.json",
                "templates/lease-function.json",
                "templates/security-group.json",
            ],
        ),
    ],
)
