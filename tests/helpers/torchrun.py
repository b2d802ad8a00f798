"""Commands that several processes share, as `torchrun` starts them."""

import os
import subprocess
import sys
from pathlib import Path

from tests.helpers.paths import ROOT

_TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node")


def started(processes: int, module: str, *arguments: str | Path, **options) -> subprocess.Popen:
    """`python -m module arguments` in so many processes; in one without torchrun."""
    several = [*_TORCHRUN, str(processes)] if processes > 1 else []
    command = [sys.executable, *several, "-m", module, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )


def run(processes: int, module: str, *arguments: str | Path, status: int = 0) -> str:
    """Waits for it; returns what it said."""
    process = started(processes, module, *arguments)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == status, said
    return said
