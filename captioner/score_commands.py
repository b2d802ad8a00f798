"""The commands that judge captions: evaluate, score; `cli` names them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, arg

from captioner.arguments import Data, MaxMegapixels
from captioner.network.decoding_config import DecodingConfig
from captioner.score_config import ReportConfig
from textgen.arguments import Model
from textgen.errors import UserError
from textgen.output import complain, print_json


@dataclass(frozen=True)
class EvaluateCommand:
    """Caption a split of DATA and score it by coco-caption's protocol, with all that `score` reports."""

    data: Data
    """Folder of captioned pictures, in any form that train takes."""
    split: str = "dev"
    """train, dev, test or all."""
    model: Model = None
    """A model in the box by its name, or a trained model's folder; general unless told."""
    engine: str = "auto"
    """onnx (ONNX Runtime), torch, or auto: the first where the model has graphs."""
    beam: int = 3
    """Beams kept side by side."""
    rerank: Annotated[str | None, arg(metavar="NAME|DIR")] = None
    """An energy-based model that chooses among the beams."""
    rerank_weight: float = DecodingConfig.rerank_weight
    """How much its word counts against the captioner's."""
    save: Annotated[Path | None, arg(metavar="FILE.JSON")] = None
    """Save the captions in COCO's results format."""
    max_megapixels: MaxMegapixels = None
    """Of a picture, that may be held in memory; 50 unless told. A JPEG, decoded at a reduced scale, may have 20 times as many."""
    config: OmitArgPrefixes[ReportConfig] = ReportConfig()

    def run(self) -> None:
        config = DecodingConfig(beam=self.beam, rerank=self.rerank, rerank_weight=self.rerank_weight)
        from captioner.caption import Captioner
        from captioner.data.examples import load_dataset
        from captioner.evaluate import evaluate
        from captioner.network.stored import BOX
        from captioner.pictures.refusals import ImageLimits
        from captioner.score_config import check_report
        from textgen.storage.bundle import model_files
        from textgen.storage.files import check_output

        limits = ImageLimits.of_megapixels(self.max_megapixels)
        folder = BOX.find(self.model)
        check_output(self.save, "--save", (".json",), model_files(folder))
        check_report(self.config.report, model_files(folder))
        dataset = load_dataset(self.data)
        dataset.split(self.split)
        name = BOX.title(folder)
        captioner = Captioner.load(self.model, self.engine)
        report, _ = evaluate(
            captioner, dataset, self.split, config, self.config, name, self.save, limits=limits
        )
        _print_report(report, self.config.json)


@dataclass(frozen=True)
class ScoreCommand:
    """Score captions of any origin against their references by coco-caption's protocol: BLEU, ROUGE-L, CIDEr.

    PREDICTIONS: COCO's results JSON, a CSV or JSONL with image and caption, the JSON of `captioner caption`, or a
    caption a line. REFERENCES: COCO annotations, Karpathy's JSON, Flickr8k's files or folder, CSV, JSONL; or, for
    captions a line, one or more files with a reference a line. No model is needed.
    """

    predictions: Annotated[Positional[Path], arg(metavar="PREDICTIONS")]
    """One caption a picture."""
    references: Annotated[Positional[tuple[Path, ...]], arg(metavar="REFERENCES...")]
    """One or more captions a picture, by people."""
    other: Annotated[Path | None, arg(metavar="PREDICTIONS")] = None
    """A second system's captions: the paired difference, and where the two differ most."""
    split: Annotated[str | None, arg(metavar="NAME")] = None
    """Only the references of this split: train, dev, test; all unless told."""
    pictures: Annotated[Path | None, arg(metavar="FILE")] = None
    """Only the pictures that this file lists, one a line, as Flickr_8k.testImages.txt does."""
    train: Annotated[Path | None, arg(metavar="DATA")] = None
    """The training captions, to count the predictions that copy one."""
    translation: bool = False
    """PREDICTIONS are translations, a line each, and REFERENCES files with a line for each: sacrebleu's BLEU and chrF
    with their signatures; needs the extra [scores]."""
    config: OmitArgPrefixes[ReportConfig] = ReportConfig()

    def run(self) -> None:
        if self.translation:
            from textgen.evaluate_sentences import score_translations

            if (
                self.split
                or self.pictures
                or self.train
                or self.config != ReportConfig(json=self.config.json)
            ):
                raise UserError("--translation: takes no other option than --other and --json")
            return score_translations(self.predictions, self.references, self.other, self.config.json)
        from captioner.score import score
        from textgen.training.memory import without_collection

        with without_collection():
            report = score(
                self.predictions,
                self.references,
                self.config,
                other=self.other,
                split=self.split,
                pictures=self.pictures,
                train=self.train,
            )
        _print_report(report, self.config.json)


def _print_report(report: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        return print_json(report)
    for note in (*report["notes"], *report.get("unreadable", {}).values()):
        complain("captioner", note)
    for warning in report["warnings"]:
        complain("captioner", f"WARNING: {warning}")
    from captioner.report.text import report_text

    print(report_text(report))
