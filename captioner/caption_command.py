"""The command `captioner caption`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from captioner.arguments import MaxMegapixels
from captioner.network.decoding_config import DecodingConfig
from textgen.arguments import MaybeFloat, MaybeInt, MaybePath, MaybeText, Model, Words
from textgen.errors import UserError
from textgen.output import complain, print_json

if TYPE_CHECKING:
    from captioner.network.decoding import Caption
    from captioner.pictures.refusals import ImageLimits

_DRAWN = (448, 448)  # pixels of a photo that is drawn with attention, at least; a tile has half of it


@dataclass(frozen=True)
class CaptionCommand:
    """Caption photos. Photos that cannot be read are named on standard error; the others go on.

    Exit status: 0 when every photo has its caption, 1 when some failed, 2 when all did.
    """

    photos: Annotated[Positional[Words], arg(metavar="PHOTO...")]
    """Photos, folders of photos, patterns such as "trip/*.jpg"."""
    model: Model = None
    """A model in the box by its name, or a trained model's folder; general unless told."""
    engine: str = "auto"
    """onnx (ONNX Runtime), torch, or auto: the first where the model has graphs."""
    beam: int = 3
    """Beams kept side by side."""
    n: Annotated[int, arg(aliases=("-n",))] = 1
    """Captions a photo."""
    temperature: Annotated[MaybeFloat, arg(metavar="T")] = None
    """Sample at this temperature instead of beam search; 0 is greedy."""
    top_k: int = 0
    """Sample from the k most likely words only; 0 is all."""
    top_p: float = 1.0
    """Sample from the likeliest words that reach this probability."""
    seed: Annotated[MaybeInt, arg(metavar="INT")] = None
    """Same seed, same captions."""
    max_length: int = 30
    """Words; a longer caption is cut and marked."""
    attention: Annotated[MaybePath, arg(metavar="OUT.PNG")] = None
    """Save a picture of where the model looked for each word (one photo)."""
    max_megapixels: MaxMegapixels = None
    """Of a photo, that may be held in memory; 50 unless told. A JPEG, decoded at a reduced scale, may have 20 times as many."""
    rerank: Annotated[MaybeText, arg(metavar="NAME|DIR")] = None
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
