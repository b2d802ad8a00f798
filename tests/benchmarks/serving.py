"""`captioner serve` under load, over real sockets: whether answers stay right, how long they take, and what memory is kept."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import numpy as np

from captioner.caption import Captioner
from tests.benchmarks.our_service import megabytes, started
from tests.benchmarks.sample_photos import photos
from tests.benchmarks.timing import asked, process

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
    loaded = 2 * len(found) / (time.perf_counter() - began)
    folder = _folder_rate(found * 2, model)
    service, address, log = started(model)
    try:
        _load(address, found, truth, 5, _Seen())  # what is made once
        before = megabytes(service.pid)
        seen = _Seen()
        _load(address, found, truth, _SECONDS, seen)
        time.sleep(2)
        after = megabytes(service.pid)
        ending, logged = _Seen(), len(log)
        _load(address, found, truth, 6, ending, ended=service)
        status = service.wait(timeout=60)
        time.sleep(1)
    finally:
        service.kill()
    rate = seen.statuses[200] / _SECONDS
    p50, p99 = np.percentile(seen.seconds, [50, 99])
    return {
        "connections, seconds": f"{_CONNECTIONS}, {_SECONDS}",
        "answers by status": ", ".join(
            f"{status}: {count:,}" for status, count in sorted(seen.statuses.items())
        ),
        "answers unlike the command line's": asked(seen.wrong, "0"),
        "photos a second": rate,
        "captioner caption, photos a second": folder,
        "of that": asked(rate / folder, ">= 0.85"),
        "of Captioner.caption, which was loaded before": rate / loaded,
        "p50, s": p50,
        "p99, s": asked(p99, "<= 1.5"),
        "memory kept, MB": asked(after - before, "<= 50"),
        "SIGTERM: taken, and never answered": asked(len(log) - logged - len(ending.seconds), "0"),
        "SIGTERM: answered, refused": f"{len(ending.seconds)}, {ending.statuses[0]}",
        "SIGTERM: exit status": status,
    }


def _folder_rate(found: list[bytes], model: Path | None) -> float:
    """Photos a second of the command on a folder."""
    with tempfile.TemporaryDirectory() as name:
        for place, photo in enumerate(found):
            (Path(name) / f"{place:05}.jpg").write_bytes(photo)
        command = [
            sys.executable,
            "-m",
            "captioner",
            "caption",
            name,
            *(["--model", str(model)] if model else []),
        ]
        return len(found) / process(command)[0]


def _photos(data: Path) -> list[bytes]:
    """Flickr8k's dev photos where they are, else the examples."""
    listed = data / "Flickr_8k.devImages.txt"
    if not listed.exists():
        return photos() * 25
    names = listed.read_text().split()[:_PHOTOS]
    return [(data / "Images" / name).read_bytes() for name in names]


def _load(
    address: str,
    found: list[bytes],
    truth: list[str],
    seconds: float,
    seen: _Seen,
    ended: subprocess.Popen | None = None,
) -> None:
    """All connections ask for `seconds`; half way `ended` is told to end.

    By the standard library's client: httpx would take a tenth of the two cores that it is to measure.
    """
    until = time.perf_counter() + seconds
    host = address.removeprefix("http://")

    def connection(number: int) -> None:
        client = HTTPConnection(host, timeout=30)
        place = number
        while time.perf_counter() < until:
            photo = place % len(found)
            place += _CONNECTIONS
            began = time.perf_counter()
            try:
                client.request("POST", "/v1/captions", found[photo], {"Content-Type": "image/jpeg"})
                answer = client.getresponse()
                body = answer.read()
            except (OSError, HTTPException):
                seen.statuses[0] += 1
                client.close()
                if ended:
                    return
                continue
            seen.seconds.append(time.perf_counter() - began)
            seen.statuses[answer.status] += 1
            if answer.status == 200:
                seen.wrong += json.loads(body)["photos"][0]["captions"][0]["text"] != truth[photo]
            elif answer.status == 503:
                time.sleep(0.1)
            if ended:  # a connection that is kept may be closed before it is used again
                client.close()

    with ThreadPoolExecutor(_CONNECTIONS) as threads:
        asking = [threads.submit(connection, number) for number in range(_CONNECTIONS)]
        if ended:
            time.sleep(seconds / 2)
            ended.send_signal(signal.SIGTERM)
        for one in asking:
            one.result()
