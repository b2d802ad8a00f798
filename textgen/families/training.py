"""Training a model of lines of any family; the best by the held-out lines is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from textgen.decoding.settings import Constraints, SamplingConfig
from textgen.decoding.writing import StepWriter, Writer, Writing, score
from textgen.engine import text_model
from textgen.engine.torch import TorchEngine
from textgen.errors import UserError
from textgen.families.energy import ended
from textgen.families.networks import read_network, torch_engines
from textgen.families.recipes import Recipe, recipe_of
from textgen.families.stored import (
    BOX,
    PARTS,
    export_model,
    load_any,
    model_header,
    read_stored,
    write_model,
    writer_of,
)
from textgen.families.training_config import BASES, FamilyConfig
from textgen.rows import share
from textgen.storage import bundle
from textgen.storage.bundle import Header
from textgen.text.batches import LineBatches
from textgen.text.encoding import Encoded, drawn_lines
from textgen.text.kneser_ney import LineNgrams
from textgen.text.tokenizer import BOS, EOS, PAD, UNK, CharTokenizer, Tokenizer
from textgen.training.export import export_trained
from textgen.training.opening import opened
from textgen.training.processes import joined, together
from textgen.training.runs import RunFolder, read_notes, say, without_folders
from textgen.training.texts import Texts
from textgen.training.whole import fit_whole

_COST = 0.02  # nats a token that 8 bits may cost
_SAMPLES = 3  # lines shown after an epoch
_LONGEST = 60  # tokens of a line
_JUDGED = 1000  # lines that a gan writes to be judged by


@dataclass
class _Run:
    """What a run's parts share."""

    config: FamilyConfig
    folder: RunFolder
    texts: Texts
    recipe: Recipe
    extra: Header
    """What was measured of the model for its config."""

    def header(self, metrics: dict[str, float], test: dict[str, float] | None = None) -> Header:
        provenance: Header = {
            "command": self.folder.command,
            **self.texts.provenance(),
            "parameters": sum(p.numel() for p in self.recipe.stored.parameters()),
            "minutes": self.folder.minutes(),
            "settings": without_folders(self.config),
            "held_out": metrics,
            **({"test": test} if test else {}),
            "torch": torch.__version__,
        }
        config = {**self.recipe.config, **self.extra}
        notes = read_notes(self.config.notes)
        return model_header(self.config.family, config, self.texts.tokenizer, provenance, notes)

    def writer(self) -> Writer:
        """The model as it is now."""
        stored = self.recipe.stored.eval()
        if self.config.family not in PARTS:  # a recurrent decoder alone
            decoder: Any = stored
            return StepWriter(TorchEngine(decoder))
        return writer_of(self.header({})["config"], bundle.weights_of(stored), torch_engines(stored))


@joined()
def train_family(
    paths: Sequence[Path],
    out: Path,
    config: FamilyConfig,
    resume: bool = False,
    dev: Sequence[Path] = (),
    test: Sequence[Path] = (),
) -> dict[str, float]:
    """Trains on the lines of `paths`, leaves the best model in `out` and the run's state in `out/training`.

    As `textgen.train.train` otherwise, whose recurrent decoder is one more family.
    """
    with together():
        if share().count > 1:
            raise UserError(f"family: a {config.family} is trained by one process; start it without torchrun")
    asked = config.family
    folder, config, device = opened(out, "textgen", config, resume)
    if config.family != asked:
        raise UserError(
            f"{out} (--resume): a run of the family {config.family}, not {asked}; leave --family out or say so"
        )
    base, tokenizer = _base(config) if config.base else (None, None)
    level = config.level
    if tokenizer is not None:  # as the base has it
        level = "char" if isinstance(tokenizer, CharTokenizer) else "word"
    texts = Texts.read(
        paths,
        dev,
        test,
        level=level,
        lines=True,
        columns=config.columns,
        held_out=config.held_out,
        min_count=config.min_count,
        vocabulary=config.vocabulary,
        tokenizer=tokenizer,
    )
    lines, places = _cut(texts, config)
    batches = LineBatches(lines, config.batch, config.seed)
    recipe = recipe_of(config, len(texts.tokenizer), config.epochs * len(batches), places, base)
    recipe.network.to(device)
    run = _Run(config, folder, texts, recipe, {})
    folder.begin(config, " ".join(map(str, [*paths, *dev, *test])), texts.corpus.hash)
    for note in texts.corpus.notes:
        say(note)
    say(f"{texts.described(sum(p.numel() for p in recipe.stored.parameters()))}, {device}")

    def keep(metrics: dict[str, float], test: dict[str, float] | None = None) -> None:
        if not metrics:  # stopped before it was judged
            run.extra = recipe.measure()
        _write(run, run.header(metrics, test))

    best = fit_whole(
        recipe.network,
        batches,
        recipe.loss,
        config,
        folder,
        evaluate=partial(_judge, run, judged=config.judged),
        keep=keep,
        resume=resume,
        label=config.family,
        groups=recipe.groups,
    )
    best = _judge(run, None)
    keep(best, _figures(run.writer(), texts, texts.test, None) if texts.test else None)
    exports = {
        "8 bits": partial(export_model, out, "int8", pack=True),
        "float32": partial(export_model, out, "float32"),
    }
    export_trained(out, config.graphs, exports, partial(_exported_score, run), -best["nats"], _COST)
    say(f"best: held-out {_described(best)}; the model is in {out}")
    return best


def _base(config: FamilyConfig) -> tuple[Any, Tokenizer]:
    """The network that a run starts from, and its vocabulary. Raises UserError for one of another family."""
    assert config.base, "only where one is named"
    folder = BOX.find(config.base)
    header = bundle.read_header(folder, BOX.kind)
    family, wanted = header["config"].get("family", "autoregressive"), BASES[config.family]
    if family != wanted or header["config"].get("lines") is not True:
        what = "" if family != wanted else ", of lines (--lines)"
        raise UserError(
            f"{folder} (--base): a model of the family {family}; a {config.family} starts from {wanted}{what}"
        )
    if wanted == "autoregressive":
        alone = text_model.read_model(folder)
        return alone.decoder, alone.tokenizer
    stored, tokenizer = read_stored(folder)
    return read_network(stored), tokenizer


def _cut(texts: Texts, config: FamilyConfig) -> tuple[list[list[int]], int]:
    """The lines to train on, and how many places the longest of all has."""
    every = [texts.train.ids, texts.held_out.ids, *([texts.test.ids] if texts.test else [])]
    assert all(isinstance(ids, list) for ids in every), "lines"
    train = [list(line) for line in texts.train.ids]
    if longer := sum(len(line) > config.max_line for line in train):
        # A line that is cut has not come to its end.
        say(
            f"{longer} of {len(train)} lines are longer than {config.max_line} tokens and are cut (--max-line)"
        )
    places = max(len(line) for ids in every for line in ids)
    if config.family == "diffusion" and places > config.max_line:
        raise UserError(
            f"max_line: a line has {places - 1} tokens, and a diffusion model's places are as many as the longest line "
            f"has; give --max-line {places} or shorter lines"
        )
    return [line[: config.max_line] for line in train], places


def _write(run: _Run, header: Header) -> None:
    if run.config.family in PARTS:
        write_model(run.folder.out, run.recipe.stored, header)
    else:
        decoder: Any = run.recipe.stored
        text_model.write_model(run.folder.out, decoder, header)


def _judge(run: _Run, judged: int | None) -> dict[str, float]:
    """Held-out metrics, of `judged` lines at most, and some lines to look at."""
    run.extra = run.recipe.measure()
    writer, texts = run.writer(), run.texts
    rows = _written(writer, _SAMPLES, run.config.seed)
    for row in rows:
        say(f"  {texts.tokenizer.decode([token for token in row if token > EOS])}")
    metrics = _figures(writer, texts, texts.held_out, judged)
    say(f"  held-out {_described(metrics)}")
    if run.config.family != "gan":
        return {"score": -metrics["nats"], **metrics}
    # Likelihood is not what a gan learns: what it writes is judged, for quality and for diversity.
    ids = [list(line) for line in texts.train.ids]
    drawn, held_out = _written(writer, _JUDGED, run.config.seed), [list(line) for line in texts.held_out.ids]
    sizes = len(texts.tokenizer)
    quality = LineNgrams(ids, sizes).nats(drawn).sum() / sum(map(len, drawn))
    diversity = LineNgrams(drawn, sizes).nats(held_out).sum() / sum(map(len, held_out))
    say(f"  quality {quality:.3f}, diversity {diversity:.3f} nats a token, by Kneser-Ney models")
    return {"score": -quality - diversity, **metrics, "quality": quality, "diversity": diversity}


def _written(writer: Writer, count: int, seed: int) -> list[list[int]]:
    """Lines at temperature 1, with their end tokens where they came to them."""
    found: list[list[int]] = []
    rules = Constraints(banned=(PAD, BOS, UNK), min_length=1)
    for start in range(0, count, 64):
        keys = range(start, min(count, start + 64))
        how = Writing(SamplingConfig(), rules, EOS, _LONGEST, seed, keys)
        columns = list(writer.write([[BOS]] * len(keys), how))
        found += map(ended, np.stack([column.ids for column in columns], axis=1).tolist())
    return found


def _figures(writer: Writer, texts: Texts, encoded: Encoded, judged: int | None) -> dict[str, float]:
    """Nats of a token and what follows from them, of `judged` lines drawn from all, or of all."""
    every = len(encoded.ids)
    lines = drawn_lines(list(encoded.ids), judged or every)
    part = Encoded(lines, encoded.characters, encoded.words)
    found = score(writer, texts.tokenizer, part)
    bits = found.bits_per_character * every / len(part.ids)  # of the characters of all
    return {"nats": found.nats_per_token, "perplexity": found.perplexity, "bits_per_character": bits}


def _exported_score(run: _Run) -> float:
    """Minus the held-out nats a token of the exported model."""
    loaded = load_any(run.folder.out, "onnx")
    return -_figures(loaded.writer, run.texts, run.texts.held_out, None)["nats"]


def _described(metrics: dict[str, float]) -> str:
    return f"{metrics['nats']:.4f} nats a token, perplexity {metrics['perplexity']:.2f}"
