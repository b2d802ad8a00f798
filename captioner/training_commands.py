"""The commands that make a model: train, export, calibrate; `cli` names them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from captioner.training.config import TrainConfig
from textgen.engine.choice import require_train
from textgen.output import print_json


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
