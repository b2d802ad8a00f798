"""`captioner score` as a process: files to report, 5,000 captions with five references each."""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
from pathlib import Path

from captioner.data.examples import load_dataset
from tests.benchmarks.timing import process

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
                *(process([*command, "--bootstrap", str(draws)]) for _ in range(_REPEATS)), strict=True
            )
            results[f"score 5,000 x 5, {draws} draws, s"] = statistics.median(seconds)
            results[f"score 5,000 x 5, {draws} draws, peak MB"] = max(memory)
    return results
