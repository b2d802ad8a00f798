"""A model's captions of a split, scored by coco-caption's protocol."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

from captioner.caption import Captioner
from captioner.datasets import Dataset
from captioner.decoding import DecodingConfig
from captioner.images import ImageError
from captioner.metrics import corpus_report
from textgen.checkpoint import atomic_write
from textgen.errors import UserError

_MOST_BAD = 0.01  # share of a split's pictures that may be unreadable


def evaluate(
    captioner: Captioner, dataset: Dataset, split: str, config: DecodingConfig
) -> tuple[dict, dict[str, str]]:
    """Report and predictions (id -> caption) of `split`.

    The report is `corpus_report`'s with the share of distinct and unfinished captions, the speed (photo file
    to caption), the unreadable pictures, and a signature that says which split, decoding, model and data.
    Raises UserError when more than 1 % of the pictures cannot be read.
    """
    from tqdm import tqdm

    examples = dataset.split(split)
    predictions, unfinished, bad = {}, 0, {}
    started = time.perf_counter()
    found = captioner.caption_each((example.path for example in examples), config)
    for example, captions in tqdm(
        zip(examples, found, strict=True), total=len(examples), desc=split, mininterval=1, leave=False
    ):
        if isinstance(captions, ImageError):
            bad[example.id] = str(captions)
        else:
            predictions[example.id] = captions[0].text
            unfinished += not captions[0].finished
    seconds = time.perf_counter() - started
    if len(bad) > _MOST_BAD * len(examples):
        raise UserError(
            f"{len(bad)} of {len(examples)} pictures cannot be read; first: {next(iter(bad.values()))}"
        )
    report = corpus_report(predictions, {e.id: e.captions for e in examples if e.id in predictions})
    report["signature"] += (
        f"|split:{split}|{config.describe()}|model:{captioner.hash[:12]}|data:{dataset.hash[:12]}"
    )
    return {
        **report,
        "distinct_captions": len(set(predictions.values())),
        "unfinished": unfinished,
        "unreadable": bad,
        "pictures_per_second": len(examples) / seconds,
    }, predictions


def save_predictions(path: Path, predictions: Mapping[str, str]) -> None:
    """Predictions in COCO's results format, which pycocoevalcap and others re-score."""
    rows = [{"image_id": key, "caption": text} for key, text in predictions.items()]
    data = json.dumps(rows, ensure_ascii=False, indent=0).encode() + b"\n"
    atomic_write(path, lambda file: file.write(data))
