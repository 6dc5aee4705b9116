"""Starts ministack with a clock of its schedules that runs faster: PORT FACTOR.

Run by the Python of ministack's own environment. A rate of five minutes is counted from the rule's
creation; nothing but EventBridge's clock is touched.
"""

import os
import sys
import time

from ministack.app import main
from ministack.services import eventbridge

port, factor = sys.argv[1:]
start = time.time()
eventbridge._now_ts = lambda: start + (time.time() - start) * float(factor)
eventbridge._SCHEDULER_TICK_INTERVAL = 1
os.environ.update(GATEWAY_PORT=port, BIND_HOST="127.0.0.1")
sys.argv = ["ministack"]
main()
