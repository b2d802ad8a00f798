"""From a photo's file to its caption, in process, with the model in the box and beam 3."""

from __future__ import annotations

import io
import statistics
import time
from pathlib import Path

from PIL import Image

from captioner import Captioner
from captioner.caption import MODEL_IN_THE_BOX
from captioner.datasets import load_dataset
from captioner.decoding import DecodingConfig
from captioner.evaluate import evaluate

EXAMPLES = MODEL_IN_THE_BOX.parent / "examples"
_REPEATS = 40


def measure(data: Path) -> dict:
    """Milliseconds for one photo (median of 40 after 5), and pictures a second over the dev split."""
    import torch

    captioner = Captioner.load()
    results: dict = {"threads": torch.get_num_threads()}
    for name, size in (("640 x 480", (640, 480)), ("12 megapixels", (4000, 3000))):
        file = io.BytesIO()
        with Image.open(EXAMPLES / "coffee.jpg") as photo:
            photo.resize(size).save(file, "JPEG", quality=88)
        times = []
        for _ in range(5 + _REPEATS):
            started = time.perf_counter()
            captioner.caption(file.getvalue(), beam=3)
            times.append(1000 * (time.perf_counter() - started))
        times = sorted(times[5:])
        results[f"JPEG {name}, median ms"] = statistics.median(times)
        results[f"JPEG {name}, 10th to 90th percentile ms"] = f"{times[4]:.1f} to {times[-5]:.1f}"
    if data.exists():
        report, _ = evaluate(captioner, load_dataset(data), "dev", DecodingConfig())
        for name in ("CIDEr", "BLEU-4", "pictures_per_second"):
            results[f"dev split, beam 3, {name}"] = report[name]
    else:
        results["dev split"] = f"left out: {data} is not there"
    return results
