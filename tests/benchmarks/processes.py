"""Whole processes as people start them, a folder of photos, and eight threads at once."""

from __future__ import annotations

import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from captioner.caption import Captioner
from tests.benchmarks.sample_photos import folder_of, jpeg, photos
from tests.benchmarks.timing import asked, process, spread

_FEW, _MANY = 1_000, 20_000
_THREADS = 8
_EACH = 5  # of the photos, a thread


def measure(model: Path | None, rounds: int, long: bool) -> dict:
    """Seconds and megabytes of processes; pictures a second of a folder, with 20,000 of them if `long`; threads."""
    python, chosen = [sys.executable], ["--model", str(model.resolve())] if model else []
    caption = [*python, "-m", "captioner", "caption", "--engine", "onnx", *chosen]
    results: dict = {}
    with tempfile.TemporaryDirectory() as name:
        photo = Path(name) / "photo.jpg"
        photo.write_bytes(jpeg())
        commands = {
            "captioner caption photo.jpg": [*caption, str(photo)],
            "captioner --help": [*python, "-m", "captioner", "--help"],
            "import numpy, onnxruntime, PIL.Image": [*python, "-c", "import numpy, onnxruntime, PIL.Image"],
            "import torch, torchvision": [*python, "-c", "import torch, torchvision"],
        }
        found: dict[str, list] = {title: [] for title in commands}
        for _ in range(rounds + 1):
            for title, command in commands.items():
                found[title].append(process(command))
        for title, runs in found.items():
            seconds, megabytes = zip(*runs[1:], strict=True)
            results[f"{title}, s"] = spread(seconds)
            results[f"{title}, peak MB"] = max(megabytes)
        seconds = {title: np.median([run[0] for run in runs[1:]]) for title, runs in found.items()}
    results["captioner caption photo.jpg, median s"] = asked(
        seconds["captioner caption photo.jpg"], "<= 0.45"
    )
    peak = results["captioner caption photo.jpg, peak MB"]
    results["captioner caption photo.jpg, most MB"] = asked(peak, "<= 150")
    results["captioner --help, median s"] = asked(seconds["captioner --help"], "<= 0.2")
    return (
        results
        | _folders(caption, seconds["captioner caption photo.jpg"], long)
        | _threads(Captioner.load(model, engine="onnx"))
    )


def _folders(caption: list[str], alone: float, long: bool) -> dict:
    """Of `captioner caption FOLDER`; `alone` are the seconds of one photo's process."""
    results: dict = {}
    peaks = []
    for count in (_FEW, _MANY) if long else (_FEW,):
        with tempfile.TemporaryDirectory() as folder:
            folder_of(count, Path(folder))
            seconds, megabytes = process([*caption, folder])
        peaks.append(megabytes)
        results[f"folder of {count:,}, pictures a second"] = asked(count / seconds, ">= 120")
        results[f"folder of {count:,}, the same without the start"] = (count - 1) / (seconds - alone)
        results[f"folder of {count:,}, peak MB"] = megabytes
    if long:
        results["peak MB, of the many over that of the few"] = asked(peaks[1] / peaks[0], "flat: 1")
    return results


def _threads(ours: Captioner) -> dict:
    """Eight threads, each captioning one photo after the other, beside one thread."""
    work = photos() * _EACH

    def answers(workers: int) -> tuple[list, float]:
        with ThreadPoolExecutor(workers) as pool:
            started = time.perf_counter()
            found = [caption[0] for caption in pool.map(ours.caption, work * workers)]
            return found, len(found) / (time.perf_counter() - started)

    answers(1)
    alone, one = answers(1)
    together, many = answers(_THREADS)
    alone_again, again = answers(1)
    same = sum(
        a.text == b.text and a.log_prob == b.log_prob for a, b in zip(alone * _THREADS, together, strict=True)
    )
    one = (one + again) / 2
    return {
        f"{_THREADS} threads, answers equal to one thread's": f"{same} of {len(together)}",
        "1 thread twice, equal": sum(
            a.log_prob == b.log_prob for a, b in zip(alone, alone_again, strict=True)
        ),
        "1 thread, pictures a second": one,
        f"{_THREADS} threads, pictures a second": many,
        f"{_THREADS} threads over one": asked(many / one, ">= 1"),
    }
