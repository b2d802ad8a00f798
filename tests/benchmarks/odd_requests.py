"""A thousand requests that no friend sends, at 16 connections, to `captioner serve` with its own limits: what each is told."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

from tests.benchmarks.our_service import megabytes, started
from tests.benchmarks.sample_photos import photos
from tests.benchmarks.timing import asked
from tests.helpers.odd_requests import KINDS, UNHEARD, answered, why_wrong

_REQUESTS, _CONNECTIONS, _PATIENCE = 1000, 16, 3


def measure(model: Path | None) -> dict:
    """How many were refused as they should be, by status; whether the service lives, answers as before, and keeps no memory."""
    service, address, log = started(model, "--receive-seconds", str(_PATIENCE))
    host, port = address.removeprefix("http://").split(":")
    names = [list(KINDS)[place % len(KINDS)] for place in range(_REQUESTS)]
    try:
        before = _caption(host, port)
        _load_all(host, port)
        kept = megabytes(service.pid)
        began = time.perf_counter()

        def ask(place: int) -> bytes:
            return answered((host, int(port)), names[place], random.Random(place))

        with ThreadPoolExecutor(_CONNECTIONS) as threads:
            answers = list(threads.map(ask, range(_REQUESTS)))
        seconds = time.perf_counter() - began
        wrong = [
            f"{name}: {why}"
            for name, answer in zip(names, answers, strict=True)
            if (why := why_wrong(name, answer))
        ]
        time.sleep(_PATIENCE)
        lives, kept = _caption(host, port) == before, megabytes(service.pid) - kept
    finally:
        service.terminate()
        status = service.wait(timeout=60)
    statuses = Counter(
        answer[9:12].decode() for name, answer in zip(names, answers, strict=True) if name != UNHEARD
    )
    return {
        "requests, kinds, seconds": f"{_REQUESTS:,}, {len(KINDS)}, {seconds:.0f}",
        "answers by status": ", ".join(f"{one}: {count}" for one, count in sorted(statuses.items())),
        "gone before an answer": names.count(UNHEARD),
        "answers that are no refusal of one sentence": asked(len(wrong), "0"),
        **{f"the first, {place}": why for place, why in enumerate(wrong[:3], 1)},
        "answers a photo as before": asked(lives, "1"),
        "memory kept, MB": kept,
        "lines of its log that are no record of a request": asked(
            sum(not line.startswith("{") for line in log), "0"
        ),
        "exit status": status,
    }


def _caption(host: str, port: str) -> bytes:
    client = HTTPConnection(host, int(port), timeout=60)
    client.request("POST", "/v1/captions", photos()[0], {"Content-Type": "image/jpeg"})
    return client.getresponse().read()


def _load_all(host: str, port: str) -> None:
    """The models that are loaded when they are asked for."""
    for path in ("text", "translations", "classes"):
        client = HTTPConnection(host, int(port), timeout=60)
        body = json.dumps({"prompt": "a"} if path == "text" else {"texts": ["a"]})
        client.request("POST", f"/v1/{path}", body, {"Content-Type": "application/json"})
        client.getresponse().read()
