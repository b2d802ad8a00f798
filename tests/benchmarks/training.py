"""An epoch of cross-entropy over cached features, and the peak memory of a training process."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path


def measure(data: Path, encoder_weights: Path) -> dict:
    """Seconds of the second epoch and gigabytes at the peak, of `captioner train` as people start it."""
    if not (data.exists() and encoder_weights.exists()):
        return {"cross-entropy": f"left out: {data} or {encoder_weights} is not there"}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "captioner", "train", str(data), "--out", str(out)]
        command += ["--encoder-weights", str(encoder_weights), "--epochs", "2", "--finetune-epochs", "0"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        lines = [json.loads(line) for line in (out / "training" / "log.jsonl").read_text().splitlines()]
    return {
        "cross-entropy epoch, cached features, seconds": lines[1]["seconds"],
        "peak memory, GB": lines[1]["peak_memory_gb"],
    }
