"""`python -m tests.benchmarks`: every figure in one run, as a table on standard error and JSON on standard output.

`--data`, `--encoder-weights` and `--novels` point to Flickr8k, to the backbone's ImageNet weights and to the novels'
text; what needs them is left out, and said so, when they are not there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path

from tests.benchmarks import captioning, kneser_ney, scoring, text_training, training

GROUPS = {
    "captioning": lambda options: captioning.measure(options.data),
    "scoring": lambda options: scoring.measure(options.data),
    "training": lambda options: training.measure(options.data, options.encoder_weights),
    "text": lambda options: {**text_training.measure(), **kneser_ney.measure(options.novels)},
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/flickr8k"))
    parser.add_argument(
        "--encoder-weights", type=Path, default=Path("../shared/encoders/mobilenet_v2_imagenet.safetensors")
    )
    parser.add_argument("--novels", type=Path, default=Path("../shared/text/novels"))
    parser.add_argument("--only", choices=GROUPS)
    options = parser.parse_args()
    results = {"machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}}
    for group, measure in GROUPS.items():
        if options.only in (None, group):
            results[group] = measure(options)
    for group, figures in results.items():
        for name, value in figures.items():
            shown = f"{value:.2f}" if isinstance(value, float) else value
            print(f"{group:12} {name:45} {shown}", file=sys.stderr)
    print(json.dumps(results, indent=1))


main()
