"""The commands that make models and tell of them: train, evaluate, sweep, export, info, models; `cli` names them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from textgen import command_line
from textgen.arguments import Files, Model
from textgen.engine.choice import require_train
from textgen.errors import UserError
from textgen.output import complain, print_json
from textgen.sweep_config import SweepConfig
from textgen.training.config import TrainConfig


@dataclass(frozen=True)
class TrainCommand:
    """Train a generator on any text file or files, folders of .txt, or columns of a CSV.

    `textgen train --pairs FILE...` trains a translator, `textgen train --classes FILE...` a classifier, and
    `textgen train CORPUS --family NAME` a model of another family; their settings are shown by
    `textgen train --pairs --help`, `textgen train --classes --help` and `textgen train --family --help`.
    Ctrl-C leaves a checkpoint that --resume continues; the best model so far, by held-out loss, is always in --out.
    """

    corpus: Files
    """Text files in UTF-8, folders of .txt, or CSVs."""
    out: Annotated[Path, arg(metavar="DIR")]
    """Folder for the model; its state while it trains is in DIR/training."""
    dev: Annotated[tuple[Path, ...], arg(metavar="FILE...")] = ()
    """Judge by these, files or folders as CORPUS, and train on all of that, instead of holding out its tail."""
    test: Annotated[tuple[Path, ...], arg(metavar="FILE...")] = ()
    """Judge the best model by these files, too, once, at the end."""
    resume: bool = False
    """Go on with an interrupted run, with the run's own settings."""
    config: OmitArgPrefixes[TrainConfig] = TrainConfig()

    def run(self) -> None:
        require_train("train")
        from textgen.training.memory import keep_freed_memory

        keep_freed_memory()
        from textgen.train import train

        train(self.corpus, self.out, self.config, self.resume, self.dev, self.test)


@dataclass(frozen=True)
class EvaluateCommand:
    """Score a corpus: nats a token and a character, perplexity a token and a word.

    `textgen evaluate --pairs FILE...` scores a translator, `textgen evaluate --classes FILE...` a classifier.
    """

    corpus: Files
    """Text files in UTF-8, folders of .txt, or CSVs."""
    model: Model = None
    """A model in the box (`textgen models` lists them) or a trained model's folder; shakespeare unless told."""
    engine: str = "auto"
    """onnx (ONNX Runtime), torch, or auto: the first where the model has graphs."""
    split: str = "held-out"
    """held-out, train or all."""
    held_out: float = 0.1
    """Share at the end of each file that is held out; as in training."""
    columns: Annotated[tuple[str, ...], arg(metavar="COLUMN...")] = ()
    """Columns of a CSV, by name or by number from 1."""
    streams: int = 16
    """Parts of a stream read side by side, each from 256 tokens before it on; 1 is exact and slow."""
    json: bool = False
    """Print one JSON document."""

    def run(self) -> int:
        from textgen.decoding.likelihood import EXACT
        from textgen.evaluate import evaluate
        from textgen.generator import TextGenerator

        generator = TextGenerator.load(self.model, self.engine)
        report = evaluate(
            generator, self.corpus, self.split, self.held_out, columns=self.columns, streams=self.streams
        )
        if self.json:
            print_json(report)
            return 0
        for note in report["notes"]:
            complain("textgen", note)
        print(f"{report['split']}; {report['tokens']:,} tokens, {report['characters']:,} characters")
        unit, least = report["token"], ", at least" * bool(report["unknown"])
        ends = ", line ends included" * report["lines"]
        words = f"{report['words']:,} words between white space{ends}"
        told = "" if report["likelihood"] == EXACT else f" ({report['likelihood']})"
        figures = {
            f"nats a {unit}{told}": f"{report['nats_per_token']:.4f}",
            f"perplexity a {unit}": f"{report['perplexity']:.2f}",
            f"bits a character{least}": f"{report['bits_per_character']:.4f}",
            # Once, where the tokens are characters.
            f"nats a character{least}": f"{report['nats_per_character']:.4f}",
            f"perplexity a spaced word{least}": f"{report['word_perplexity']:.2f}; {words}",
            "unknown": f"{report['unknown_rate']:.2%}; {report['vocabulary']:,} in the vocabulary",
        }
        width = max(map(len, figures))
        for name, value in figures.items():
            print(f"{name:{width}} {value}")
        return 0


@dataclass(frozen=True)
class SweepCommand:
    """The same prompts at several temperatures: the texts, and quality against diversity."""

    prompts: Annotated[Positional[tuple[str, ...]], arg(metavar="PROMPT...")] = ()
    """Where the texts begin; without one, five that suit the model."""
    model: Model = None
    """A model in the box (`textgen models` lists them) or a trained model's folder; shakespeare unless told."""
    engine: str = "auto"
    """onnx (ONNX Runtime), torch, or auto: the first where the model has graphs."""
    config: OmitArgPrefixes[SweepConfig] = SweepConfig()
    plot: Annotated[Path | None, arg(metavar="OUT.PNG")] = None
    """Draw quality against diversity; needs the extra [plot]."""
    json: bool = False
    """Print one JSON document."""

    def run(self) -> int:
        from textgen.engine.text_model import BOX
        from textgen.generator import TextGenerator
        from textgen.storage.bundle import model_files
        from textgen.storage.files import check_output
        from textgen.sweep import plot, sweep, table

        check_output(self.plot, "--plot", (".png",), model_files(BOX.find(self.model)))
        generator = TextGenerator.load(self.model, self.engine)
        for warning in (warning for prompt in self.prompts for warning in generator.read(prompt).warnings):
            complain("textgen", warning)
        report = sweep(generator, self.prompts, self.config)
        if self.plot:
            plot(report, self.plot)
        if self.json:
            print_json(report)
        else:
            print(table(report))
        return 0


@dataclass(frozen=True)
class ExportCommand:
    """Give a trained model the graphs that ONNX Runtime runs; training does it at its end."""

    model: Annotated[Positional[Path], arg(metavar="DIR")]
    """A trained model's folder."""
    precision: str = "int8"
    """int8 or float32."""

    pack: bool = False
    """Store the weights in 8 bits, too: half the size, and no way back."""
    summary: Annotated[int | None, arg(metavar="INT")] = None
    """Of a translator: store the matrix from the mean of a sentence to the decoder's first states as a product of two with so
    many features between them; no way back, either."""

    def run(self) -> None:
        require_train("export")
        from textgen.kinds import kind_of
        from textgen.translation import stored as translation

        kind = kind_of(self.model)
        kind.BOX.refuse_own(self.model)
        if self.summary is not None:
            if kind is not translation:
                raise UserError(f"--summary: {self.model} is a {kind.KIND}; it is for translators")
            translation.narrow_model(self.model, self.summary)
        kind.export_model(self.model, self.precision, self.pack)


@dataclass(frozen=True)
class InfoCommand:
    """Show a model's card."""

    model: Annotated[Positional[str | None], arg(metavar="NAME|DIR")] = None
    """A model in the box, as `textgen models` lists them, or a trained model's folder; shakespeare unless told."""
    json: bool = False
    """Print model.json without its vocabulary."""

    def run(self) -> int:
        from textgen.kinds import find_any, kind_of

        folder = find_any(self.model)
        command_line.print_card(folder, kind_of(folder).KIND, self.json)
        return 0


@dataclass(frozen=True)
class ModelsCommand:
    """List the models in the box: size, what each is made of and was trained on, its figures."""

    json: bool = False
    """Print one JSON document."""

    def run(self) -> None:
        from textgen.kinds import KINDS

        command_line.print_models([kind.BOX for kind in KINDS.values()], self.json)
