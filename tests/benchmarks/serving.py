"""`captioner serve` under load, over real sockets: whether answers stay right, how long they take, and what memory is kept."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from captioner.caption import Captioner
from tests.benchmarks.sample_photos import photos
from tests.benchmarks.timing import asked
from tests.helpers.paths import ROOT

_CONNECTIONS, _SECONDS = 32, 60
_PHOTOS = 400


@dataclass
class _Seen:
    """What the connections have seen."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter = field(default_factory=Counter)
    """0 of what had no answer: refused, or reset."""
    wrong: int = 0


def measure(data: Path, model: Path | None) -> dict:
    """Photos a second and latencies at 32 connections for a minute, beside `captioner caption` over the same photos."""
    found = _photos(data)
    captioner = Captioner.load(model)
    truth = [captioner.caption(photo)[0].text for photo in found]
    began = time.perf_counter()
    list(captioner.caption(found * 2))
    folder = 2 * len(found) / (time.perf_counter() - began)
    process, address, log = _started(model)
    try:
        asyncio.run(_load(address, found, truth, 5, _Seen()))  # what is made once
        before = _megabytes(process.pid)
        seen = _Seen()
        asyncio.run(_load(address, found, truth, _SECONDS, seen))
        time.sleep(2)
        after = _megabytes(process.pid)
        ending, logged = _Seen(), len(log)
        asyncio.run(_load(address, found, truth, 6, ending, ended=process))
        status = process.wait(timeout=60)
        time.sleep(1)
    finally:
        process.kill()
    rate = seen.statuses[200] / _SECONDS
    p50, p99 = np.percentile(seen.seconds, [50, 99])
    return {
        "connections, seconds": f"{_CONNECTIONS}, {_SECONDS}",
        "answers by status": ", ".join(
            f"{status}: {count:,}" for status, count in sorted(seen.statuses.items())
        ),
        "answers unlike the command line's": asked(seen.wrong, "0"),
        "photos a second": rate,
        "of the folder rate": asked(rate / folder, ">= 0.85"),
        "p50, s": p50,
        "p99, s": asked(p99, "<= 1.5"),
        "memory kept, MB": asked(after - before, "<= 50"),
        "SIGTERM: taken, and never answered": asked(len(log) - logged - len(ending.seconds), "0"),
        "SIGTERM: answered, refused": f"{len(ending.seconds)}, {ending.statuses[0]}",
        "SIGTERM: exit status": status,
    }


def _photos(data: Path) -> list[bytes]:
    """Flickr8k's dev photos where they are, else the examples."""
    listed = data / "Flickr_8k.devImages.txt"
    if not listed.exists():
        return photos() * 25
    names = listed.read_text().split()[:_PHOTOS]
    return [(data / "Images" / name).read_bytes() for name in names]


def _started(model: Path | None) -> tuple[subprocess.Popen, str, list[str]]:
    """The service, its address, and its log, which grows: a line a request that it has taken."""
    command = [sys.executable, "-m", "captioner", "serve", "--port", "0", "--queue", "64"]
    command += ["--model", str(model)] if model else []
    process = subprocess.Popen(command, stderr=subprocess.PIPE, cwd=ROOT, text=True)
    assert process.stderr is not None, "a pipe"
    address = process.stderr.readline().split()[-1].removesuffix("/docs")
    log: list[str] = []
    threading.Thread(
        target=lambda: log.extend(line for line in process.stderr or () if line.startswith("{")), daemon=True
    ).start()
    return process, address, log


async def _load(
    address: str,
    found: list[bytes],
    truth: list[str],
    seconds: float,
    seen: _Seen,
    ended: subprocess.Popen | None = None,
) -> None:
    """All connections ask for `seconds`; half way `ended` is told to end."""
    import httpx

    until = time.perf_counter() + seconds

    async def connection(number: int) -> None:
        # A connection that is kept may be closed before it is used again: at the end each request has its own.
        kept = httpx.Limits(max_keepalive_connections=0 if ended else None)
        async with httpx.AsyncClient(timeout=30, limits=kept) as client:
            place = number
            while time.perf_counter() < until:
                photo = place % len(found)
                place += _CONNECTIONS
                began = time.perf_counter()
                try:
                    answer = await client.post(
                        f"{address}/v1/captions", content=found[photo], headers={"content-type": "image/jpeg"}
                    )
                except httpx.TransportError:
                    seen.statuses[0] += 1
                    if ended:
                        return
                    continue
                seen.seconds.append(time.perf_counter() - began)
                seen.statuses[answer.status_code] += 1
                if answer.status_code == 200:
                    seen.wrong += answer.json()["photos"][0]["captions"][0]["text"] != truth[photo]
                elif answer.status_code == 503:
                    await asyncio.sleep(0.1)

    async def end() -> None:
        await asyncio.sleep(seconds / 2)
        assert ended is not None, "else nobody waits for this"
        ended.send_signal(signal.SIGTERM)

    await asyncio.gather(*map(connection, range(_CONNECTIONS)), *([end()] if ended else []))


def _megabytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
