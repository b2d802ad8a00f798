"""`captioner score` as a process: files to report, 5,000 captions with five references each."""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from captioner.datasets import load_dataset

_PICTURES = 5_000
_REPEATS = 5


def measure(data: Path) -> dict:
    """Seconds (median of 5) and peak memory, without a bootstrap and with 1,000 draws."""
    if not data.exists():
        return {"score": f"left out: {data} is not there"}
    examples = load_dataset(data).split("train")[:_PICTURES]
    draw = random.Random(0)
    results: dict = {}
    with tempfile.TemporaryDirectory() as folder:
        predictions, references = Path(folder) / "predictions.json", Path(folder) / "references.json"
        said = [draw.choice(draw.choice(examples).captions).lower().rstrip(" .") for _ in examples]
        rows = [{"image_id": e.id, "caption": text} for e, text in zip(examples, said, strict=True)]
        predictions.write_text(json.dumps(rows))
        references.write_text(json.dumps({e.id: e.captions for e in examples}))
        for draws in (0, 1000):
            command = [sys.executable, "-m", "captioner", "score", str(predictions), str(references)]
            seconds, memory = zip(
                *(_run([*command, "--bootstrap", str(draws)]) for _ in range(_REPEATS)), strict=True
            )
            results[f"score 5,000 x 5, {draws} draws, s"] = statistics.median(seconds)
            results[f"score 5,000 x 5, {draws} draws, peak MB"] = max(memory)
    return results


def _run(command: list[str]) -> tuple[float, float]:
    """Seconds and megabytes of a process."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with status {status}")
    return time.perf_counter() - started, usage.ru_maxrss / 1000
