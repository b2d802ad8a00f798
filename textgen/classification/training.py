"""Training a classifier on labelled texts; the best model by accuracy on held-out ones is kept, and calibrated on them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from textgen.classification.baseline import baseline_labels, has_baseline
from textgen.classification.classifier import Classifier
from textgen.classification.examples import Labelled, load_labelled
from textgen.classification.judged import judge, judge_labels
from textgen.classification.model import ClassificationModel
from textgen.classification.reliability import fit_temperature
from textgen.classification.stored import Output, export_model, model_header, write_model
from textgen.classification.training_config import ClassesConfig
from textgen.errors import UserError
from textgen.rows import Rows, share
from textgen.sequences.config import EncoderConfig
from textgen.sequences.encoder import RecurrentEncoder
from textgen.sequences.torch_encoder import TorchEncoder
from textgen.storage.bundle import Header
from textgen.text.batches import SizedOrder, padded
from textgen.text.subwords import SubwordTokenizer
from textgen.text.tokenizer import EOS
from textgen.training.export import export_trained
from textgen.training.opening import opened
from textgen.training.processes import first, joined, mean, shared_out, together
from textgen.training.runs import RunFolder, read_notes, say, without_folders
from textgen.training.whole import fit_whole

_COST = 0.3  # points of accuracy that 8 bits may cost


@dataclass(frozen=True)
class TextsBatch:
    """B texts with their classes, which are this process's `rows` of the batch."""

    ids: np.ndarray  # (B, L), PAD behind them
    lengths: np.ndarray  # (B,)
    labels: np.ndarray  # (B,)
    rows: Rows


class TextsBatches:
    """Texts in batches of at most `tokens` tokens, those of about one length together."""

    def __init__(self, rows: Sequence[Sequence[int]], labels: Sequence[int], tokens: int, seed: int):
        self._rows, self._labels = rows, np.array(labels)
        self._order = SizedOrder(np.array([len(row) for row in rows]), tokens, seed)

    def __len__(self) -> int:
        return len(self._order)

    def epoch(self, epoch: int, start: int) -> Iterator[TextsBatch]:
        for places, _ in self._order.epoch(epoch, start):
            mine = share().of(len(places))
            ids, lengths = padded([self._rows[place] for place in places])
            own = mine.slice
            yield TextsBatch(ids[own], lengths[own], self._labels[places][own], mine)


@dataclass
class _Run:
    """What a run's parts share."""

    config: ClassesConfig
    folder: RunFolder
    train: Labelled
    dev: Labelled
    split: str
    """How the held-out part was chosen, for people."""
    tokenizer: SubwordTokenizer
    model: ClassificationModel
    baseline: dict[str, float]
    temperature: float | None = None
    """None until the model is calibrated."""

    def header(self, metrics: dict[str, float]) -> Header:
        told = "".join([self.train.hash, self.dev.hash])
        provenance: Header = {
            "command": self.folder.command,
            "data": list(self.train.names),
            "split": self.split,
            "data_hash": hashlib.sha256(told.encode()).hexdigest(),
            "texts": {"train": len(self.train), "dev": len(self.dev)},
            "settings": without_folders(self.config),
            "torch": torch.__version__,
            **({"dev": metrics} if metrics else {}),
            **({"baseline": self.baseline} if self.baseline else {}),
        }
        return model_header(
            self.model,
            self.tokenizer,
            self.train.classes,
            self.config.max_length,
            provenance,
            read_notes(self.config.notes),
            self.temperature,
        )

    def classifier(self) -> Classifier:
        """The model as it is now."""
        weight, bias = (
            array.detach().float().cpu().numpy()
            for array in (self.model.output.weight, self.model.output.bias)
        )
        encode = TorchEncoder(self.model, self.model.output.bias.device)
        return Classifier(encode, Output(weight, bias), self.tokenizer, self.header({}), hash="")


@joined()
def train_classes(
    paths: Sequence[Path], dev: Sequence[Path], out: Path, config: ClassesConfig, resume: bool = False
) -> dict[str, float]:
    """Trains on the labelled texts of `paths`, leaves the best model in `out` and the run's state in `out/training`.

    It is judged by the files `dev`, or by a share of `paths` that is held out. Returns the best model's metrics. With
    `resume` the run's own settings continue, whatever `config` says. Raises UserError for bad data or a folder in use,
    `Interrupted` when a signal stopped it.
    """
    folder, config, device = opened(out, "textgen", config, resume)
    with together():
        run = _prepare(paths, dev, folder, config)
        run.model.to(device)
        places = {name: place for place, name in enumerate(run.train.classes)}
        encoded = run.tokenizer.encode_all(list(run.train.texts))
        rows = [[*ids[: config.max_length - 1], EOS] for ids in encoded]
        labels = [places[label] for label in run.train.labels]
        batches = TextsBatches(rows, labels, config.tokens, config.seed)
        data_hash = str(run.header({})["provenance"]["data_hash"])
        folder.begin(config, " ".join(map(str, [*paths, *dev])), data_hash)
    for note in (*run.train.notes, *run.dev.notes):
        say(note)
    say(
        f"{len(run.train):,} texts to train on, {len(run.dev):,} to judge by ({run.split}), {len(run.train.classes)} "
        f"classes, {len(run.tokenizer):,} subwords, {sum(p.numel() for p in run.model.parameters()) / 1e6:.2f} million "
        f"parameters, {device}"
    )

    def loss(batch: TextsBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        ids, lengths, labels = (
            torch.from_numpy(a).to(device) for a in (batch.ids, batch.lengths, batch.labels)
        )
        logits = run.model(ids, lengths).float()
        nll = F.cross_entropy(logits, labels, label_smoothing=config.label_smoothing, reduction="sum")
        return mean(nll, len(labels)), {}

    def keep(metrics: dict[str, float]) -> None:
        write_model(out, run.model, run.header(metrics))

    best = fit_whole(
        run.model,
        batches,
        loss,
        config,
        folder,
        evaluate=partial(_judge, run),
        keep=keep,
        resume=resume,
        label="classes",
    )
    if not first():
        return best
    logits = run.classifier().logits(list(run.dev.texts))
    known = [place for place, label in enumerate(run.dev.labels) if label in places]
    run.temperature = fit_temperature(
        logits[known], np.array([places[run.dev.labels[place]] for place in known])
    )
    run.baseline = _baseline(run)
    keep(best)
    exports = {
        "8 bits": partial(export_model, out, "int8", pack=True),
        "float32": partial(export_model, out, "float32"),
    }
    export_trained(out, config.graphs, exports, partial(_exported_accuracy, run), best["accuracy"], _COST)
    told = f", {run.baseline['accuracy']:.1f} % by TF-IDF + logistic regression" if run.baseline else ""
    say(f"best: accuracy {best['accuracy']:.1f} % on held-out texts{told}; the model is in {out}")
    return best


def _prepare(paths: Sequence[Path], dev: Sequence[Path], folder: RunFolder, config: ClassesConfig) -> _Run:
    train = load_labelled(paths, config.text, config.label)
    if dev:
        judged = load_labelled(dev, config.text, config.label, least=1)
        split = ", ".join(judged.names)
        if not set(judged.labels) & set(train.classes):
            raise UserError(f"{dev[0]}: none of its labels is among those of the texts to train on")
    else:
        notes = train.notes
        train, judged = train.split(config.held_out, config.seed)
        split = f"{100 * config.held_out:g} %, drawn by seed {config.seed}"
        if len(train.classes) < 2:
            raise UserError(f"held_out: what is left to train on has the label {train.labels[0]!r} only")
        for note in notes:
            say(note)
    tokenizer = SubwordTokenizer.fit(train.texts, config.vocabulary)
    torch.manual_seed(config.seed)
    encoder = RecurrentEncoder(
        EncoderConfig(
            cell=config.cell,
            num_layers=config.layers,
            embedding_size=config.embedding,
            hidden_size=config.hidden,
            bidirectional=config.bidirectional,
            dropout=config.dropout,
        )
    )
    model = ClassificationModel(
        encoder, len(tokenizer), len(train.classes), config.dropout, config.word_dropout
    )
    return _Run(config, folder, train, judged, split, tokenizer, model, {})


def _judge(run: _Run) -> dict[str, float]:
    run.model.eval()
    classifier = run.classifier()
    found = shared_out(run.dev.texts, lambda texts: classifier.classify(list(texts)))
    figures = judge(found, run.dev.labels)
    assert figures.nats is not None, "they have probabilities"
    say(
        f"  held-out accuracy {figures.accuracy:.1f} %, macro F1 {figures.macro_f1:.1f} %, nats {figures.nats:.3f}"
    )
    # Of two with the same accuracy the one that is less wrong.
    score = figures.accuracy - 0.01 * min(figures.nats, 10)
    return {"score": score, "accuracy": figures.accuracy, "macro F1": figures.macro_f1, "nats": figures.nats}


def _baseline(run: _Run) -> dict[str, float]:
    if not has_baseline():
        say("no baseline beside it: scikit-learn is not installed (pip install 'captioner[baseline]')")
        return {}
    try:
        said = baseline_labels(run.train, run.dev.texts)
    except UserError as error:
        say(str(error))
        return {}
    figures = judge_labels(said, run.dev.labels, run.train.classes)
    return {"accuracy": figures.accuracy, "macro F1": figures.macro_f1}


def _exported_accuracy(run: _Run) -> float:
    classifier = Classifier.load(run.folder.out, "onnx")
    return judge(classifier.classify(list(run.dev.texts)), run.dev.labels).accuracy
