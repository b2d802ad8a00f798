"""`captioner serve` as a process of its own, to be asked."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from tests.helpers.paths import ROOT


def started(model: Path | None, *options: str) -> tuple[subprocess.Popen, str, list[str]]:
    """The service, its address, and what it writes after that, which grows: a line a request that it has taken."""
    command = [sys.executable, "-m", "captioner", "serve", "--port", "0", "--queue", "64", *options]
    command += ["--model", str(model)] if model else []
    service = subprocess.Popen(command, stderr=subprocess.PIPE, cwd=ROOT, text=True)
    assert service.stderr is not None, "a pipe"
    address = service.stderr.readline().split()[-1].removesuffix("/docs")
    log: list[str] = []
    threading.Thread(target=lambda: log.extend(service.stderr or ()), daemon=True).start()
    return service, address, log


def megabytes(pid: int) -> float:
    """What a process holds in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
