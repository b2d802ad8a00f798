"""Training a captioner: cross-entropy on a frozen encoder, fine-tuning end to end, self-critical training.

The three phases follow one another; each starts from the best weights of the one before, judged by CIDEr
on the dev split with the decoding that people get by default.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

import torch

from captioner.caption import Captioner
from captioner.data.examples import Dataset, Example
from captioner.data.readable import named, unreadable
from captioner.data.several import load_datasets
from captioner.network.encoder import pretrained_encoder
from captioner.network.export import calibration_pixels, encoder_in_8_bits, export_model, export_upon
from captioner.network.eyes import Eyes
from captioner.network.model import CaptionModel
from captioner.network.stored import BOX, KIND, model_header, read_model, stored_eyes, write_model
from captioner.training.batches import caption_ids
from captioner.training.config import TrainConfig
from captioner.training.phases import (
    Run,
    averaging,
    cross_entropy,
    dev_metrics,
    dev_pictures,
    evaluate,
    fine_tuning,
    self_critical,
)
from textgen.decoder.rnn import DecoderConfig, RNNDecoder
from textgen.errors import Interrupted, UserError
from textgen.storage import bundle
from textgen.storage.bundle import Header
from textgen.storage.files import atomic_write
from textgen.text.scripts import without_spaces
from textgen.text.tokenizer import Tokenizer, WordTokenizer
from textgen.training.checkpoint import load_state
from textgen.training.export import export_trained
from textgen.training.opening import opened
from textgen.training.processes import first, joined, together, wait
from textgen.training.runs import RunFolder, read_notes, say, without_folders

_UNREADABLE = "unreadable.json"  # in a run's state: pictures that it leaves out
_CHECKED = 224  # pixels a side that pictures are read to, to see whether they can be
_COST = 0.5  # CIDEr that 8 bits may cost


class _Keep(Protocol):
    """Writes the model whose metrics are the best of all phases so far; `name` is its phase."""

    def __call__(self, metrics: dict[str, float], name: str) -> None: ...


@joined()
def train(
    data: Path | Sequence[Path], out: Path, config: TrainConfig, resume: bool = False
) -> dict[str, float]:
    """Trains on `data`, one data set or several; leaves the best model in `out`, the run's state in `out/training`.

    Returns the best model's dev metrics: of several data sets the mean of theirs, which selects, and each one's.
    With `resume` the run's own settings continue, whatever `config` says. Raises UserError for bad data or a
    folder in use, `Interrupted` when a signal stopped it.
    """
    folder, config, device = opened(out, "captioner", config, resume)
    with together():
        if not (config.epochs or config.finetune_epochs or config.scst_epochs or config.average_with):
            raise UserError("epochs: nothing to train; all phases have 0 epochs")
        run = _begun([data] if isinstance(data, Path) else data, config, folder, device, resume)
    say(
        f"{len(run.train)} train and {len(run.dev)} dev pictures, {len(run.tokenizer)} words, "
        f"{sum(p.numel() for p in run.model.parameters()) / 1e6:.1f} million parameters, {device}"
    )
    done: dict[str, dict[str, float]] = {}

    def keep(metrics: dict[str, float], name: str) -> None:
        if first() and metrics["score"] > run.best_score:
            run.best_score = metrics["score"]
            write_model(out, run.model, _header(run, {**done, name: metrics}))

    try:
        _run_phases(run, done, keep, resume)
    except Interrupted:
        if first() and not (out / "model.json").exists():
            write_model(out, run.model, _header(run, done))
        raise
    counted = {name: metrics for name, metrics in done.items() if config.beat_start or name != "start"}
    name, best = max(counted.items(), key=lambda phase: phase[1]["score"])
    if not first():
        return best
    if name == "start":
        scores = ", ".join(f"{phase} {metrics['score']:.1f}" for phase, metrics in done.items())
        say(
            f"no epoch was better than the model that it started from, which is what is kept ({scores}); --no-beat-start "
            "keeps the best epoch"
        )
    export_trained(
        out,
        config.graphs,
        _exports(run, out),
        partial(_exported_score, run, out),
        best["CIDEr"],
        _COST,
    )
    say(f"best: CIDEr {best['CIDEr']:.1f}, BLEU-4 {best['BLEU-4']:.1f} on dev; the model is in {out}")
    return best


def _exports(run: Run, out: Path) -> dict[str, Callable[[], None]]:
    """What may be made of the model in `out`, the narrowest first."""
    start = run.config.start_from

    def narrow() -> None:
        if run.eyes and start:
            return export_upon(out, BOX.find(start))
        export_model(out, "int8", pack=True, calibration=calibration_pixels(run.train, run.size))

    return {
        "8 bits": narrow,
        "8 bits in the decoder": lambda: export_model(out, "int8", pack=True),
        "float32": lambda: export_model(out, "float32"),
    }


def _begun(
    data: Sequence[Path], config: TrainConfig, folder: RunFolder, device: torch.device, resume: bool
) -> Run:
    """What the phases share, of data that were read and checked; the run's folder has its settings."""
    dataset = load_datasets(data)
    for note in dataset.notes:
        say(note)
    if without_spaces(caption for example in dataset.examples for caption in example.captions):
        raise UserError(
            "data: the captions have no spaces between words, which are what is learnt; put spaces between them"
        )
    bad = _unreadable(dataset, config, folder, resume)
    if bad:
        say(f"{named(bad)}; left out")
        dataset = replace(dataset, examples=tuple(e for e in dataset.examples if e.id not in bad))
    run = _prepare(config, folder, dataset, device)
    folder.begin(config, " ".join(map(str, data)), dataset.hash)
    if first():
        text = json.dumps(bad, ensure_ascii=False)
        atomic_write(folder.state / _UNREADABLE, lambda file: file.write(text.encode()))
    return run


def _unreadable(dataset: Dataset, config: TrainConfig, folder: RunFolder, resume: bool) -> dict[str, str]:
    """Pictures to leave out, with `skip_bad`, by id with their reasons; else UserError names them all.

    A run that is resumed leaves out what it left out when it began, so that its batches stay the same.
    """
    kept = folder.state / _UNREADABLE
    if resume and kept.exists():
        known: dict[str, str] = json.loads(kept.read_text(encoding="utf-8"))
        return known
    wanted = [example for example in dataset.examples if example.split in ("train", "dev")]
    bad = unreadable(wanted, config.image_size or _CHECKED)
    if bad and not config.skip_bad:
        raise UserError(f"{named(bad)}; mend them, or leave them out with --skip-bad")
    return bad


def _exported_score(run: Run, out: Path) -> float:
    """CIDEr of the exported model on the dev split."""
    found = Captioner.load(out, "onnx").caption([example.path for example in run.dev])
    return dev_metrics(run.dev, [captions[0].text for captions in found])["CIDEr"]


def _run_phases(run: Run, done: dict[str, dict[str, float]], keep: _Keep, resume: bool) -> None:
    """Runs what is not done yet; `done` gets each phase's best metrics."""
    config, state = run.config, run.folder.state
    if config.start_from:
        # The start is the model to beat, unless told otherwise, and what a run that never beats it leaves behind.
        known = (state / "start.json").exists()
        done["start"] = _phase_once(state / "start.json", lambda: evaluate(run, dev_pictures(run)))
        if config.beat_start:
            if not known:
                keep(done["start"], "start")
            run.best_score = max(run.best_score, done["start"]["score"])
    phases = [
        ("cross-entropy", config.epochs, cross_entropy),
        ("fine-tuning", config.finetune_epochs, fine_tuning),
        ("self-critical", config.scst_epochs, self_critical),
        ("averaging", config.average_with, averaging),
    ]
    for name, wanted, phase in phases:
        folder, result = state / name, state / name / "done.json"
        if not wanted:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        known = result.exists()
        if known:
            with together():
                run.model.load_state_dict(load_state(folder / "best.pt")["model"])
        done[name] = _phase_once(result, partial(phase, run, folder, partial(keep, name=name), resume))
        if not known:
            # The best epoch may lie before an interruption; the model has its weights now.
            keep(done[name], name)
        run.best_score = max(run.best_score, done[name]["score"])


def _phase_once(result: Path, phase: Callable[[], dict[str, float]]) -> dict[str, float]:
    """`phase()`'s metrics, kept in `result` so that a resumed run does not repeat it."""
    known = result.exists()
    wait()  # until all have looked
    if known:
        metrics: dict[str, float] = json.loads(result.read_text(encoding="utf-8"))
        return metrics
    metrics = phase()
    if first():
        text = json.dumps(metrics)
        atomic_write(result, lambda file: file.write(text.encode()))
    return metrics


def _prepare(config: TrainConfig, folder: RunFolder, dataset: Dataset, device: torch.device) -> Run:
    train, dev = dataset.split("train"), dataset.split("dev")
    model, tokenizer, size, parent = (
        _new_model(config, train) if config.start_from is None else _old_model(config, config.start_from)
    )
    return Run(
        config,
        folder,
        dataset,
        model.to(device),
        tokenizer,
        parent,
        train,
        dev,
        [caption_ids(example, tokenizer, config.max_length) for example in train],
        device,
        size,
        _eyes(config, size),
    )


def _eyes(config: TrainConfig, size: int) -> Eyes | None:
    """The encoder in 8 bits of the model that is started from, where the decoder is to be trained upon it."""
    if not config.scst_rounded or config.start_from is None:
        return None
    stored = bundle.read(BOX.find(config.start_from), KIND)
    encoder_in_8_bits(stored)
    if (own := stored.header["preprocessing"]["size"]) != size:
        raise UserError(
            f"image_size: {size} is not the {own} pixels of {stored.folder}, whose encoder stays as it is"
        )
    return stored_eyes(stored, f"captioner export {stored.folder} --pictures DATA", torch.get_num_threads())


def _old_model(config: TrainConfig, start: Path) -> tuple[CaptionModel, Tokenizer, int, Header | None]:
    model, tokenizer, size, header, _ = read_model(BOX.find(start))
    return model, tokenizer, config.image_size or size, header["provenance"]


def _new_model(
    config: TrainConfig, train: Sequence[Example]
) -> tuple[CaptionModel, Tokenizer, int, Header | None]:
    tokenizer = WordTokenizer.fit(
        (caption for example in train for caption in example.captions), config.min_count, punctuation=False
    )
    torch.manual_seed(config.seed)
    decoder = RNNDecoder(
        DecoderConfig(
            vocab_size=len(tokenizer),
            cell=config.cell,
            num_layers=config.layers,
            embedding_size=config.embedding,
            hidden_size=config.hidden,
            context_size=config.context,
            attention_heads=config.heads,
            dropout=config.dropout,
        )
    )
    encoder = pretrained_encoder(config.encoder, config.encoder_weights)
    size = config.image_size or encoder.size
    return CaptionModel(encoder, decoder, config.feature_dropout), tokenizer, size, None


def _count(examples: Sequence[Example], source: str) -> int:
    return sum(example.source == source for example in examples)


def _header(run: Run, phases: dict[str, dict[str, float]]) -> Header:
    sources = {
        name: {"train": _count(run.train, name), "dev": _count(run.dev, name)} for name in run.dataset.sources
    }
    provenance: Header = {
        "command": run.folder.command,
        "data": run.dataset.format,
        "data_hash": run.dataset.hash,
        "pictures": {"train": len(run.train), "dev": len(run.dev)},
        **({"sources": sources} if len(sources) > 1 else {}),
        "settings": without_folders(run.config),
        "dev": phases,
        "torch": torch.__version__,
    }
    if run.parent:
        provenance["started_from"] = run.parent
    notes = read_notes(run.config.notes)
    return model_header(run.model, run.tokenizer, run.size, provenance, notes)
