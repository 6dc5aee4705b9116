"""`python -m localcloud [-port N]`: serve a local cloud until stopped."""

import sys

from localcloud.server import main

sys.exit(main())
