"""Uploaded captions, or the captions of a model on uploaded photos, to a report as people take it home."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from app.work.limits import Limits
from app.work.uploads import Desk, Uploaded, desk
from captioner import Captioner
from captioner.data.examples import load_dataset
from captioner.evaluate import Watch, evaluate
from captioner.metrics.stopping import Check, go_on
from captioner.network.decoding_config import DecodingConfig
from captioner.score import score
from captioner.score_config import ReportConfig


@dataclass(frozen=True)
class Scored:
    """A report, in the two forms of `captioner score`."""

    name: str
    page: str = field(repr=False)
    """The self-contained HTML page."""
    json: str = field(repr=False)

    @property
    def report(self) -> dict[str, Any]:
        return json.loads(self.json)


@dataclass(frozen=True)
class Files:
    """What is to be scored; see `captioner.score.score`."""

    predictions: Uploaded
    references: Sequence[Uploaded]
    other: Uploaded | None = None
    split: str | None = None
    pictures: Uploaded | None = None
    train: Uploaded | None = None


def score_uploads(files: Files, config: ReportConfig, limits: Limits, check: Check = go_on) -> Scored:
    """As `captioner score` does; what `check` raises ends it. Raises UserError as it does, in the visitor's names."""
    with desk() as here:

        def put(drawer: str, file: Uploaded) -> Path:
            return here.put(drawer, file, limits.upload_mb)

        def put_any(drawer: str, file: Uploaded | None) -> Path | None:
            return None if file is None else put(drawer, file)

        report = score(
            put("predictions", files.predictions),
            [put(f"references-{number}", file) for number, file in enumerate(files.references)],
            _with_page(config, here),
            other=put_any("other", files.other),
            split=files.split,
            pictures=put_any("pictures", files.pictures),
            train=put_any("training", files.train),
            check=check,
        )
        return _scored(report, here)


def score_model(
    captioner: Captioner,
    name: str,
    files: Sequence[Uploaded],
    split: str,
    decoding: DecodingConfig,
    config: ReportConfig,
    limits: Limits,
    watch: Watch,
) -> Scored:
    """As `captioner evaluate` does, on a folder or a ZIP archive of captioned photos; `watch` is its progress bar.

    Raises UserError for what is no such folder, and for more than the limits allow.
    """
    with desk() as here:
        folder = here.put_folder("data", files, limits.evaluation_mb, limits.evaluation_files)
        dataset = load_dataset(folder)
        page = _with_page(config, here)
        report, _ = evaluate(
            captioner, dataset, split, decoding, page, name, watch=watch, limits=limits.images
        )
        return _scored(report, here)


def _with_page(config: ReportConfig, here: Desk) -> ReportConfig:
    return replace(config, report=here.root / "report.html")


def _scored(report: dict[str, Any], here: Desk) -> Scored:
    page = (here.root / "report.html").read_text(encoding="utf-8")
    text = json.dumps(report, ensure_ascii=False, indent=1) + "\n"
    return Scored(report["name"], here.without_paths(page), here.without_paths(text))
