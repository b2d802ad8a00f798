"""How many cores there are to share work out to."""

import os


def cores() -> int:
    """Those that this process may run on: in a container or under `taskset` fewer than the computer has."""
    if hasattr(os, "sched_getaffinity"):  # Linux has it
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
