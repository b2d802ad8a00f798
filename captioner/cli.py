"""The command line: caption, train, evaluate, score, export, calibrate, info, models, app, serve, bulk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, arg

from captioner.many_commands import BulkCommand, ServeCommand
from captioner.network.decoding_config import DecodingConfig
from captioner.score_config import ReportConfig
from captioner.training.config import TrainConfig
from textgen import command_line
from textgen.engine.choice import require_train
from textgen.errors import UserError
from textgen.output import complain, print_json

Model = Annotated[str | None, arg(metavar="NAME|DIR")]
if TYPE_CHECKING:
    from captioner.network.decoding import Caption
    from captioner.pictures.refusals import ImageLimits

MaxMegapixels = Annotated[float | None, arg(metavar="N")]
Data = Annotated[Positional[Path], arg(metavar="DATA")]


@dataclass(frozen=True)
class CaptionCommand:
    """Caption photos. Photos that cannot be read are named on standard error; the others go on.

    Exit status: 0 when every photo has its caption, 1 when some failed, 2 when all did.
    """

    photos: Annotated[Positional[tuple[str, ...]], arg(metavar="PHOTO...")]
    """Photos, folders of photos, patterns such as "trip/*.jpg"."""
    model: Model = None
    """A model in the box by its name, or a trained model's folder; general unless told."""
    engine: str = "auto"
    """onnx (ONNX Runtime), torch, or auto: the first where the model has graphs."""
    beam: int = 3
    """Beams kept side by side."""
    n: Annotated[int, arg(aliases=("-n",))] = 1
    """Captions a photo."""
    temperature: Annotated[float | None, arg(metavar="T")] = None
    """Sample at this temperature instead of beam search; 0 is greedy."""
    top_k: int = 0
    """Sample from the k most likely words only; 0 is all."""
    top_p: float = 1.0
    """Sample from the likeliest words that reach this probability."""
    seed: Annotated[int | None, arg(metavar="INT")] = None
    """Same seed, same captions."""
    max_length: int = 30
    """Words; a longer caption is cut and marked."""
    attention: Annotated[Path | None, arg(metavar="OUT.PNG")] = None
    """Save a picture of where the model looked for each word (one photo)."""
    max_megapixels: MaxMegapixels = None
    """Of a photo, that may be held in memory; 50 unless told. A JPEG, decoded at a reduced scale, may have 20 times as many."""
    rerank: Annotated[str | None, arg(metavar="NAME|DIR")] = None
    """An energy-based model, as `textgen train --family energy` makes them, that chooses among the beams."""
    language: Annotated[str, arg(metavar="en|de|fr")] = "en"
    """Print captions in German or French, translated by a model in the box; JSON has them beside the English ones."""
    confidence: bool = False
    """Print how sure each caption is, 0 to 1: the probability that it is right."""
    json: bool = False
    """Print one JSON document; stopped before its end, it holds what was done, and says so."""
    jsonl: bool = False
    """Print a line of JSON a photo, as it comes."""

    def run(self) -> int:
        if self.json and self.jsonl:
            raise UserError("--json, --jsonl: give one of them")
        config = DecodingConfig(
            self.n,
            self.beam,
            self.temperature,
            self.top_k,
            self.top_p,
            self.seed,
            self.max_length,
            rerank=self.rerank,
        )
        from captioner.languages import check_language
        from captioner.pictures.files import find_pictures

        check_language(self.language)
        if not self.photos:
            raise UserError("no photo given; try: captioner caption my.jpg")
        photos = find_pictures(self.photos)
        if self.attention and len(photos) != 1:
            raise UserError(f"--attention: draws one photo, and {len(photos)} are given")
        from captioner.network.stored import BOX
        from textgen.storage.bundle import model_files
        from textgen.storage.files import check_output

        check_output(self.attention, "--attention", (".png",), [*photos, *model_files(BOX.find(self.model))])

        from captioner.caption import Captioner
        from captioner.pictures.refusals import ImageError, ImageLimits, TooLarge
        from captioner.report.exports import captions_document, photo_entry

        captioner = Captioner.load(self.model, self.engine)
        if self.confidence and (captioner.confidence is None or config.sampling):
            why = "sampled captions have none" if config.sampling else "the model was not calibrated"
            raise UserError(f"--confidence: {why}; see captioner calibrate --help")
        limits = ImageLimits.of_megapixels(self.max_megapixels)
        found = captioner.caption_each(
            photos, config, attention=bool(self.attention), limits=limits, language=self.language
        )
        results: list[tuple[str, list[Caption] | ImageError]] = []
        failed, ended = 0, None
        try:
            for photo, captions in zip(photos, found, strict=True):
                name = str(photo)
                if self.json:
                    results.append((name, captions))
                elif self.jsonl:
                    print_json(photo_entry(name, captions), indent=None)
                if isinstance(captions, ImageError):
                    failed += 1
                    more = ", or allow --max-megapixels" if isinstance(captions, TooLarge) else ""
                    complain("captioner", f"{captions}{more}")
                    continue
                if not (self.json or self.jsonl):
                    print(_as_text(name, captions, len(photos) == 1, self.confidence), flush=True)
                if self.attention:
                    _draw_attention(self.attention, photo, captions[0], limits)
        except BaseException as error:
            ended = f"{len(results):,} of {len(photos):,} photos: {_reason(error)}"
            raise
        finally:
            # Whatever has ended it, what is done is not lost.
            if self.json and (results or ended is None):
                print_json(captions_document(captioner.hash, config, results, incomplete=ended))
        return 0 if not failed else 2 if failed == len(photos) else 1


@dataclass(frozen=True)
class TrainCommand:
    """Train a captioner: cross-entropy, fine-tuning end to end, self-critical training.

    DATA is a folder: the Flickr8k CSV package or its original Flickr8k.token.txt, COCO captions_*.json,
    Karpathy's dataset_*.json, or a CSV or JSONL with image, caption and, if you like, split. Ctrl-C leaves a
    checkpoint that --resume continues; the best model so far, by CIDEr on the dev split, is always in --out.
    """

    data: Annotated[Positional[tuple[Path, ...]], arg(metavar="DATA...")]
    """Folders of captioned pictures, each in a form of its own; the mean of their dev scores selects."""
    out: Annotated[Path, arg(metavar="DIR")]
    """Folder for the model; its state while it trains is in DIR/training."""
    resume: bool = False
    """Go on with an interrupted run, with the run's own settings."""
    config: OmitArgPrefixes[TrainConfig] = TrainConfig()

    def run(self) -> None:
        require_train("train")
        from textgen.training.memory import keep_freed_memory

        keep_freed_memory()
        from captioner.train import train

        train(self.data, self.out, self.config, self.resume)


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


@dataclass(frozen=True)
class ExportCommand:
    """Give a trained model the graphs that ONNX Runtime runs; training does it at its end."""

    model: Annotated[Positional[Path], arg(metavar="DIR")]
    """A trained model's folder."""
    precision: str = "int8"
    """Of the decoder: int8 or float32."""
    pictures: Annotated[Path | None, arg(metavar="DATA")] = None
    """Compute the encoder in 8 bits, too, calibrated on the train pictures of this folder; its weights are stored so."""

    pack: bool = False
    """Store the weights in 8 bits, too: half the size, and no way back."""

    def run(self) -> None:
        require_train("export")
        from captioner.network.export import export_model
        from captioner.network.stored import BOX

        BOX.refuse_own(self.model)
        seen = None
        if self.pictures:
            from captioner.data.examples import load_dataset
            from captioner.network.export import calibration_pixels
            from captioner.network.stored import KIND
            from textgen.storage.bundle import read_header

            size = read_header(self.model, KIND)["preprocessing"]["size"]
            seen = calibration_pixels(load_dataset(self.pictures).split("train"), size)
        export_model(self.model, self.precision, self.pack, seen)


@dataclass(frozen=True)
class InfoCommand:
    """Show a model's card."""

    model: Model = None
    """A model in the box by its name, or a trained model's folder; general unless told."""
    json: bool = False
    """Print model.json without its vocabulary."""

    def run(self) -> int:
        from captioner.network.stored import BOX, KIND

        command_line.print_card(BOX.find(self.model), KIND, self.json)
        return 0


@dataclass(frozen=True)
class CalibrateCommand:
    """Fit how sure a model's captions are on the dev splits of DATA; kept in the model's folder.

    A caption counts as right that is as near to the references as three of four captions by people are. The figures are
    of pictures that the fit had not seen.
    """

    model: Annotated[Positional[Path], arg(metavar="DIR")]
    """A trained model's folder."""
    data: Annotated[Positional[tuple[Path, ...]], arg(metavar="DATA...")]
    """Folders of captioned pictures, in any form that train takes."""
    report: Annotated[Path | None, arg(metavar="FILE.HTML")] = None
    """Write one self-contained page with a reliability plot and what dropping the least sure captions is worth."""
    json: bool = False
    """Print one JSON document."""

    def run(self) -> None:
        from captioner.calibrate import calibrate
        from captioner.network.stored import BOX
        from captioner.report.sureness import calibration_page
        from captioner.report.text import calibration_text
        from textgen.storage.files import atomic_write

        found = calibrate(self.model, self.data, self.report)
        if self.report:
            title = f"How sure {BOX.title(BOX.find(self.model))} is"
            page = calibration_page(found, title).encode()
            atomic_write(self.report, lambda file: file.write(page))
        if self.json:
            return print_json(found.to_json())
        print(calibration_text(found))


@dataclass(frozen=True)
class ModelsCommand:
    """List the models in the box: size, what each is made of and was trained on, its figures."""

    json: bool = False
    """Print one JSON document."""

    def run(self) -> None:
        from captioner.network.stored import BOX

        command_line.print_models([BOX], self.json)


@dataclass(frozen=True)
class AppCommand:
    """Open the page: captions, text, scores and models in a browser. Ctrl-C ends it."""

    model: Model = None
    """The captioner it begins with: one in the box by its name, or a folder; general unless told."""
    text_model: Model = None
    """The text model it begins with: one in the box by its name, or a folder."""
    engine: str = "auto"
    """onnx (ONNX Runtime), torch, or auto: the first where the model has graphs."""
    host: str = "localhost"
    """Whom it serves: localhost this machine only, 0.0.0.0 the whole network."""
    port: int = 8501
    """Of the address, http://HOST:PORT."""
    no_browser: bool = False
    """Open no browser."""

    def run(self) -> int:
        if not 1 <= self.port <= 65535:
            raise UserError(f"port: {self.port} is outside 1 to 65535")
        from captioner.page_server import serve

        return serve(
            self.host, self.port, self.model, self.text_model, self.engine, browser=not self.no_browser
        )


COMMANDS = {
    "caption": CaptionCommand,
    "train": TrainCommand,
    "evaluate": EvaluateCommand,
    "score": ScoreCommand,
    "export": ExportCommand,
    "calibrate": CalibrateCommand,
    "info": InfoCommand,
    "models": ModelsCommand,
    "app": AppCommand,
    "serve": ServeCommand,
    "bulk": BulkCommand,
}


_DRAWN = (448, 448)  # pixels of a photo that is drawn with attention, at least; a tile has half of it


def main(argv: Sequence[str] | None = None) -> int:
    return command_line.main("captioner", "Captions for photos, offline, on an ordinary CPU.", COMMANDS, argv)


def _print_report(report: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        return print_json(report)
    for note in (*report["notes"], *report.get("unreadable", {}).values()):
        complain("captioner", note)
    for warning in report["warnings"]:
        complain("captioner", f"WARNING: {warning}")
    from captioner.report.text import report_text

    print(report_text(report))


def _reason(error: BaseException) -> str:
    return "stopped" if isinstance(error, KeyboardInterrupt) else str(error) or type(error).__name__


def _as_text(photo: str, captions: Sequence[Caption], alone: bool, confidence: bool) -> str:
    lines = [
        (caption.translation or caption.text) + ("" if caption.finished else " ... (cut)")
        for caption in captions
    ]
    if confidence:
        lines = [f"{caption.confidence:.2f}  {line}" for caption, line in zip(captions, lines, strict=True)]
    if len(captions) > 1:
        lines = [f"{caption.log_prob:7.2f}  {line}" for caption, line in zip(captions, lines, strict=True)]
    if alone:
        return "\n".join(lines)
    return f"{photo}: {lines[0]}" if len(lines) == 1 else "\n".join([f"{photo}:", *lines])


def _draw_attention(path: Path, photo: Path, caption: Caption, limits: ImageLimits) -> None:
    from captioner.pictures.load import load_image
    from captioner.report.attention import attention_figure
    from textgen.storage.files import atomic_write

    figure = attention_figure(load_image(photo, size=_DRAWN, limits=limits), caption)
    atomic_write(path, lambda file: figure.save(file, "PNG"))
