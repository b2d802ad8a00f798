"""`python process_cost.py COMMAND...`: its wall time, peak memory and exit status as JSON. Standard library only."""

import json
import os
import sys
import time

started = time.perf_counter()
quiet = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
process = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet)
_, status, usage = os.wait4(process, 0)
seconds = time.perf_counter() - started
# Bytes on a Mac, kilobytes elsewhere.
megabytes = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e6 / 1024)
print(json.dumps({"seconds": seconds, "megabytes": megabytes, "status": os.waitstatus_to_exitcode(status)}))
