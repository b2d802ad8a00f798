"""`python -m tests.benchmarks`: every figure in one run, as a table on standard error and JSON on standard output.

`--data`, `--encoder-weights` and `--novels` point to Flickr8k, to the backbone's ImageNet weights and to the novels'
text; what needs them is left out, and said so, when they are not there. Figures in parentheses are the 10th and 90th
percentile. Each group runs in a process of its own, so that none inherits another's memory or threads.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from tests.benchmarks import (
    bulk,
    captioning,
    floor,
    growth,
    mutations,
    ngrams,
    odd_requests,
    page,
    photos,
    processes,
    scoring,
    sentences,
    serving,
    text_steps,
    text_training,
    training,
)
from tests.benchmarks.timing import seconds_of_others, shown

GROUPS = {
    "floor": lambda options: floor.measure(options.model, options.rounds),
    "photos": lambda options: photos.measure(options.model, options.rounds),
    "steps": lambda options: text_steps.measure(options.rounds),
    "sentences": lambda options: sentences.measure(options.rounds),
    "processes": lambda options: processes.measure(options.model, options.rounds, options.long),
    "growth": lambda options: growth.measure(options.model, options.rounds),
    "page": lambda options: page.measure(options.model),
    "captioning": lambda options: captioning.measure(options.data, options.model),
    "scoring": lambda options: scoring.measure(options.data),
    "mutations": lambda options: mutations.measure(),
    "serving": lambda options: serving.measure(options.data, options.model),
    "odd": lambda options: odd_requests.measure(options.model),
    "bulk": lambda options: bulk.measure(options.data, options.model),
    "training": lambda options: training.measure(options.data, options.encoder_weights),
    "text": lambda options: {**text_training.measure(), **ngrams.measure(options.novels)},
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/flickr8k"))
    parser.add_argument(
        "--encoder-weights", type=Path, default=Path("../shared/encoders/mobilenet_v2_imagenet.safetensors")
    )
    parser.add_argument("--novels", type=Path, default=Path("../shared/text/novels"))
    parser.add_argument("--model", type=Path, help="a captioner's folder, instead of the model in the box")
    parser.add_argument("--rounds", type=int, default=8, help="turns of each contender")
    parser.add_argument("--long", action="store_true", help="a folder of 20,000 photos, too")
    parser.add_argument("--only", choices=GROUPS, nargs="+", default=list(GROUPS), metavar="GROUP")
    options = parser.parse_args()
    results: dict = {
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    }
    for group in options.only:
        if len(options.only) > 1:
            command = [sys.executable, "-m", "tests.benchmarks", *sys.argv[1:], "--only", group]
            results |= json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            continue
        before, started = seconds_of_others(), time.perf_counter()
        figures = GROUPS[group](options)
        busy = (seconds_of_others() - before) / (time.perf_counter() - started)
        results[group] = {"cores kept busy by others": busy, **figures}
        for name, value in results[group].items():
            print(f"{group:10} {name:62} {shown(value)}", file=sys.stderr)
    print(json.dumps(results, indent=1))


main()
