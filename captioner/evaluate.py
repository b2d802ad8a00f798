"""A model's captions of a split, scored by coco-caption's protocol."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from captioner.caption import Captioner
from captioner.data.examples import Dataset, Example
from captioner.data.readable import named
from captioner.metrics import Corpus
from captioner.network.decoding import Caption
from captioner.network.decoding_config import DecodingConfig
from captioner.pictures.refusals import ImageError, ImageLimits
from captioner.score import full_report, write_page
from captioner.score_config import ReportConfig, check_report
from textgen.errors import Interrupted, UserError
from textgen.storage.files import atomic_write, check_output

_MOST_BAD = 0.01  # share of a split's pictures that may be unreadable

Found = Iterable[list[Caption] | ImageError]
Watch = Callable[[Found, int], Found]
"""Passes on what is found as it comes, of so many pictures: a progress bar."""


def evaluate(
    captioner: Captioner,
    dataset: Dataset,
    split: str,
    config: DecodingConfig = DecodingConfig(),
    report_config: ReportConfig = ReportConfig(),
    name: str = "model",
    save: Path | None = None,
    watch: Watch | None = None,
    limits: ImageLimits = ImageLimits(),
) -> tuple[dict[str, Any], dict[str, str]]:
    """Report and predictions (id -> caption) of `split`.

    `save` gets the predictions as soon as they are there; with `report_config.report`, a page is written, too. `watch`
    is a progress bar instead of the terminal's, and `limits` are those of a picture.

    The report is `full_report`'s with the speed (photo file to caption), the unreadable pictures, the captions cut at
    the length limit, and a signature that says which split, decoding, model and data.
    Raises UserError when more than 1 % of the pictures cannot be read.
    """
    check_output(save, "--save", (".json",), dataset.inputs)
    check_report(report_config.report, dataset.inputs)
    examples = {example.id: example for example in dataset.split(split)}
    started = time.perf_counter()
    found = _captions(captioner, examples.values(), config, watch or _terminal_bar(split), limits, save)
    seconds = time.perf_counter() - started
    bad = {key: str(caption) for key, caption in found.items() if isinstance(caption, ImageError)}
    if len(bad) > _MOST_BAD * len(examples):
        raise UserError(f"of {len(examples):,} pictures {named(bad)}")
    captions = {key: caption for key, caption in found.items() if not isinstance(caption, ImageError)}
    predictions = {key: caption.text for key, caption in captions.items()}
    if save:
        save_predictions(save, predictions)
    references = {key: examples[key].captions for key in captions}
    corpus = Corpus.of(predictions, references, tokenizer=report_config.tokenizer)
    train = [text for e in dataset.examples if e.split == "train" for text in e.captions]
    report = full_report(corpus, report_config, f"{name}, {split}", train=train or None, notes=dataset.notes)
    report["signature"] += (
        f"|split:{split}|{config.describe()}|model:{captioner.hash[:12]}|data:{dataset.hash[:12]}"
    )
    report["diversity"]["cut"] = sum(not caption.finished for caption in captions.values())
    report["unreadable"] = bad
    report["speed"] = {"pictures_per_second": len(examples) / seconds}
    if report_config.report:

        def look(file: Path) -> Caption:
            captions = next(captioner.caption_each([file], config, attention=True, limits=limits))
            if isinstance(captions, ImageError):
                raise captions
            return captions[0]

        files = {key: examples[key].path for key in captions}
        write_page(report_config.report, report, corpus, files, look=look)
    return report, predictions


def _captions(
    captioner: Captioner,
    examples: Iterable[Example],
    config: DecodingConfig,
    watch: Watch,
    limits: ImageLimits,
    save: Path | None,
) -> dict[str, Caption | ImageError]:
    """The best caption of each picture, or why it has none, by id; stopped, what there is is saved."""
    examples = list(examples)
    found = captioner.caption_each((example.path for example in examples), config, limits=limits)
    best: dict[str, Caption | ImageError] = {}
    try:
        for example, captions in zip(examples, watch(found, len(examples)), strict=True):
            best[example.id] = captions if isinstance(captions, ImageError) else captions[0]
    except KeyboardInterrupt as stopped:
        said = {key: caption.text for key, caption in best.items() if not isinstance(caption, ImageError)}
        if not (save and said):
            raise
        save_predictions(save, said)
        kept = f"the first {len(said):,} of {len(examples):,} captions are in {save}"
        raise Interrupted(f"stopped; {kept}") from stopped
    return best


def _terminal_bar(label: str) -> Watch:
    def watch(found: Found, total: int) -> Iterator[list[Caption] | ImageError]:
        from tqdm import tqdm

        yield from tqdm(found, total=total, desc=label, mininterval=1, leave=False)

    return watch


def save_predictions(path: Path, predictions: Mapping[str, str]) -> None:
    """Predictions in COCO's results format, which pycocoevalcap and others re-score."""
    rows = [{"image_id": key, "caption": text} for key, text in predictions.items()]
    data = json.dumps(rows, ensure_ascii=False, indent=0).encode() + b"\n"
    atomic_write(path, lambda file: file.write(data))
