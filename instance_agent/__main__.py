"""Lets `python -m instance_agent` do what the console script condor_annex_ec2 does."""

import sys

from instance_agent.main import main

if __name__ == "__main__":
    sys.exit(main())
