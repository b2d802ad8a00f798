"""A folder of real photos, in process: the dev split of Flickr8k with beam 3, and how good its captions are."""

from __future__ import annotations

from pathlib import Path

from captioner.caption import Captioner
from captioner.data.examples import load_dataset
from captioner.evaluate import evaluate
from captioner.network.decoding_config import DecodingConfig


def measure(data: Path, model: Path | None) -> dict:
    """Scores, and pictures a second from file to caption."""
    if not data.exists():
        return {"dev split": f"left out: {data} is not there"}
    report, _ = evaluate(Captioner.load(model), load_dataset(data), "dev", DecodingConfig())
    figures = {name: report[name] for name in ("CIDEr", "BLEU-4")} | report["speed"]
    return {f"dev split, beam 3, {name}": value for name, value in figures.items()}
