"""The commands of models of lines: train another family, compare, fill, blend; `cli` names them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from textgen.arguments import Files, MaybeFloat, MaybePath, Words
from textgen.compare_config import CompareConfig
from textgen.engine.choice import require_train
from textgen.errors import UserError
from textgen.families.training_config import FamilyConfig
from textgen.output import as_text, complain, print_json

Model = Annotated[str, arg(metavar="NAME|DIR")]


@dataclass(frozen=True)
class TrainFamilyCommand:
    """Train a model of lines of another family than the recurrent one, on any text files or columns of a CSV.

    Every line is a text of its own. Ctrl-C leaves a checkpoint that --resume continues; the best model so far, by the
    held-out lines, is always in --out.
    """

    corpus: Files
    """Text files in UTF-8, folders of .txt, or CSVs."""
    out: Annotated[Path, arg(metavar="DIR")]
    """Folder for the model; its state while it trains is in DIR/training."""
    config: OmitArgPrefixes[FamilyConfig]
    dev: Annotated[tuple[Path, ...], arg(metavar="FILE...")] = ()
    """Judge by these, files or folders as CORPUS, and train on all of that, instead of holding out its tail."""
    test: Annotated[tuple[Path, ...], arg(metavar="FILE...")] = ()
    """Judge the best model by these files, too, once, at the end."""
    lines: bool = False
    """As of the recurrent family; these have no other models, so it may be left out."""
    resume: bool = False
    """Go on with an interrupted run, with the run's own settings."""

    def run(self) -> None:
        require_train("train")
        from textgen.training.memory import keep_freed_memory

        keep_freed_memory()
        from textgen.families.training import train_family

        train_family(self.corpus, self.out, self.config, self.resume, self.dev, self.test)


@dataclass(frozen=True)
class CompareCommand:
    """Models of lines side by side: likelihood, quality against diversity over temperatures, samples, speed, size."""

    models: Annotated[Positional[Words], arg(metavar="NAME|DIR...")]
    """Models in the box or trained models' folders."""
    train: Annotated[Path, arg(metavar="FILE")]
    """The lines that they were trained on."""
    held_out: Annotated[Path, arg(metavar="FILE")]
    """Lines that none of them was trained on."""
    engine: str = "auto"
    """onnx (ONNX Runtime), torch, or auto: the first where the model has graphs."""
    config: OmitArgPrefixes[CompareConfig] = CompareConfig()
    report: Annotated[MaybePath, arg(metavar="OUT.HTML")] = None
    """Write a page with table, plot and samples."""
    plot: Annotated[MaybePath, arg(metavar="OUT.PNG")] = None
    """Draw quality against diversity; needs the extra [plot]."""
    json: bool = False
    """Print one JSON document."""

    def run(self) -> int:
        from textgen.compare import compare
        from textgen.engine.text_model import BOX
        from textgen.generator import TextGenerator
        from textgen.report.comparison import comparison_page, save_plot, table
        from textgen.storage.bundle import model_files
        from textgen.storage.files import atomic_write, check_output
        from textgen.text.corpus import load_corpus

        if not self.models:
            raise UserError("compare: name a model or more, as captions-lstm, or folders")
        own = [file for model in self.models for file in model_files(BOX.find(model))]
        check_output(self.report, "--report", (".html",), own)
        check_output(self.plot, "--plot", (".png",), own)
        corpus = load_corpus([self.train], lines=True, dev=[self.held_out])
        models = {
            Path(os.path.abspath(model)).name: TextGenerator.load(model, self.engine) for model in self.models
        }
        if len(models) < len(self.models):
            raise UserError("compare: two models have one name; give each folder a name of its own")
        report = compare(
            models,
            corpus.part("train"),
            corpus.held_out,
            self.config,
            said=lambda line: complain("textgen", line),
        )
        if self.plot:
            save_plot(report, self.plot)
        if self.report:
            page = comparison_page(report)
            atomic_write(self.report, lambda file: file.write(page.encode()))
        if self.json:
            print_json(report)
        else:
            print(table(report))
        return 0


@dataclass(frozen=True)
class FillCommand:
    """Fill the gaps of a line, as in "a dog ___ on the ___", or say a share of it otherwise; of a diffusion model."""

    text: Annotated[Positional[str], arg(metavar="TEXT")]
    """A line with gaps, ___ each, of one to four words; with --revise a line."""
    revise: Annotated[MaybeFloat, arg(metavar="SHARE")] = None
    """The share of the line's words that are told anew, wherever they stand."""
    model: Model = "captions-diffusion"
    """A diffusion model in the box or a trained model's folder."""
    engine: str = "auto"
    """onnx (ONNX Runtime), torch, or auto: the first where the model has graphs."""
    n: Annotated[int, arg(aliases=("-n",))] = 3
    """Lines."""
    temperature: float = 0.8
    """0 takes the likeliest word each time."""
    seed: int = 0
    """Same seed, same lines."""
    json: bool = False
    """Print one JSON document."""

    def run(self) -> int:
        from textgen.generator import TextGenerator
        from textgen.rewriting import fill, revise

        generator = TextGenerator.load(self.model, self.engine)
        text = as_text(self.text)
        for warning in generator.known(text.replace("_", "")).warnings:
            complain("textgen", warning)
        if self.revise is not None:
            found = revise(generator, text, self.n, self.revise, self.temperature, self.seed)
            return _print_lines(found, self.json)
        return _print_lines(fill(generator, text, self.n, self.temperature, self.seed), self.json)


@dataclass(frozen=True)
class BlendCommand:
    """Lead from one line to another through the latent space of a vae or a flow; of one line alone: what is near it."""

    lines: Annotated[Positional[Words], arg(metavar="TEXT...")]
    """One line or two."""
    model: Model = "captions-vae"
    """A vae or flow in the box or a trained model's folder."""
    engine: str = "auto"
    """onnx (ONNX Runtime), torch, or auto: the first where the model has graphs."""
    n: Annotated[int, arg(aliases=("-n",))] = 7
    """Lines, the ends included."""
    seed: int = 0
    """Of what is near one line."""
    json: bool = False
    """Print one JSON document."""

    def run(self) -> int:
        from textgen.generator import TextGenerator
        from textgen.rewriting import between, near

        given = [as_text(line) for line in self.lines]
        if not 1 <= len(given) <= 2:
            raise UserError(f"blend: {len(given)} lines given; give one or two")
        generator = TextGenerator.load(self.model, self.engine)
        for warning in (warning for line in given for warning in generator.known(line).warnings):
            complain("textgen", warning)
        if len(given) == 2:
            return _print_lines(between(generator, given[0], given[1], self.n), self.json)
        return _print_lines(near(generator, given[0], self.n, self.seed), self.json)


def _print_lines(lines: list[str], as_json: bool) -> int:
    if as_json:
        print_json({"lines": lines})
    else:
        print("\n".join(lines))
    return 0
