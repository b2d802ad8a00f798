"""Training a text generator on anybody's files; the best model by held-out loss is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from textgen.decoder.rnn import DecoderConfig, DecoderState, RNNDecoder
from textgen.decoding.likelihood import Score, line_nats, stream_nats
from textgen.decoding.writing import StepWriter, score
from textgen.engine.text_model import load_model, model_header, write_model
from textgen.engine.torch import TorchEngine
from textgen.errors import Interrupted
from textgen.generator import TextGenerator
from textgen.graphs.text_model import export_model
from textgen.rows import share
from textgen.storage.bundle import Header
from textgen.text.batches import LineBatches, StreamBatches, TextBatch
from textgen.text.copied import CopyIndex
from textgen.text.tokenizer import PAD
from textgen.training.config import TrainConfig
from textgen.training.export import export_trained
from textgen.training.opening import opened
from textgen.training.processes import collected, first, joined, mean, shared_out, summed, together
from textgen.training.runs import RunFolder, read_notes, say, without_folders
from textgen.training.texts import Texts
from textgen.training.trainer import FitConfig, fit

_COST = 0.005  # nats a token that 8 bits may cost
STREAMS = 16  # parts of the held-out text read side by side
_SAMPLES = (0.0, 0.5, 1.0)  # temperatures
# N-grams of the copy index: so long that they are rarely the same by chance.
_INDEX = {"char": (16, 8), "word": (9, 7)}


@dataclass(frozen=True)
class _Run:
    """What a run's parts share."""

    config: TrainConfig
    folder: RunFolder
    texts: Texts
    decoder: RNNDecoder

    def generator(self) -> TextGenerator:
        """The model as it is now."""
        return TextGenerator(TorchEngine(self.decoder), self.texts.tokenizer, self.header({}), hash="")

    def header(self, metrics: dict[str, float], test: dict[str, float] | None = None) -> Header:
        provenance: Header = {
            "command": self.folder.command,
            **self.texts.provenance(),
            "parameters": sum(p.numel() for p in self.decoder.parameters()),
            "minutes": self.folder.minutes(),
            "settings": without_folders(self.config),
            "held_out": metrics,
            **({"test": test} if test else {}),
            "torch": torch.__version__,
        }
        notes = read_notes(self.config.notes)
        return model_header(self.decoder, self.texts.tokenizer, self.texts.corpus.lines, provenance, notes)


@joined()
def train(
    paths: Sequence[Path],
    out: Path,
    config: TrainConfig,
    resume: bool = False,
    dev: Sequence[Path] = (),
    test: Sequence[Path] = (),
) -> dict[str, float]:
    """Trains on the files `paths`, leaves the best model in `out` and the run's state in `out/training`.

    It is judged by the files `dev`, or by the held-out tail of `paths`; what the best model makes of the files `test`
    is said once, at the end. Returns the best model's held-out metrics. With `resume` the run's own settings continue,
    whatever `config` says. Raises UserError for a bad corpus or a folder in use, `Interrupted` when a signal stopped it.
    """
    folder, config, device = opened(out, "textgen", config, resume)
    with together():
        run = _prepare(paths, dev, test, folder, config, device)
        batches = _batches(run)
        folder.begin(config, " ".join(map(str, [*paths, *dev, *test])), run.texts.corpus.hash)
    for note in run.texts.corpus.notes:
        say(note)
    say(f"{run.texts.described(sum(p.numel() for p in run.decoder.parameters()))}, {device}")
    loss = _Loss(run.decoder, device)
    fit_config = FitConfig(
        config.epochs,
        minutes=config.minutes,
        warmup=0.03,
        weight_decay=config.weight_decay,
        clip_norm=1.0,
        ema_decay=config.ema,
        patience=config.patience,
        seed=config.seed,
        precision=config.precision,
        save_minutes=config.save_minutes,
        judge_minutes=config.judge_minutes,
    )
    keep = partial(_keep, run)
    try:
        best = fit(
            run.decoder,
            [(run.decoder, config.learning_rate)],
            batches,
            loss,
            fit_config,
            folder.state,
            evaluate=partial(_judge, run),
            on_best=keep,
            log=folder.log,
            carried=loss,
            resume=resume,
            label="text",
        )
    except Interrupted:
        if first() and not (out / "model.json").exists():
            keep({})
        raise
    if not first():
        return best
    keep(best, _test(run))
    if isinstance(run.texts.train.ids, np.memmap):
        say("no index of what is copied is kept of so large a text: textgen sweep counts no copies")
    elif isinstance(run.texts.train.ids, np.ndarray):
        CopyIndex.build(run.texts.train.ids, *_INDEX[config.level]).save(out)
    exports = {
        "8 bits": partial(export_model, out, "int8", pack=True),
        "float32": partial(export_model, out, "float32"),
    }
    export_trained(out, config.graphs, exports, partial(_exported_score, run), -best["nats"], _COST)
    say(f"best: held-out {_described(best)}; the model is in {out}")
    return best


class _Loss:
    """Mean nats a token of a batch; carries the states from one window of a stream to the next."""

    def __init__(self, decoder: RNNDecoder, device: torch.device):
        self._decoder, self._device = decoder, device
        self._layers: tuple[tuple[Tensor, ...], ...] | None = None

    def __call__(self, batch: TextBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        inputs, targets = (torch.from_numpy(a).to(self._device) for a in (batch.inputs, batch.targets))
        if batch.fresh or self._layers is None:
            state = self._decoder.start(None, len(inputs))
        else:
            state = DecoderState(self._layers)
        features, state = self._decoder.hidden(inputs, state)
        if batch.fresh and (batch.targets == PAD).any():
            real = targets != PAD
            features, targets = features[real], targets[real]
        logits = self._decoder.logits(features).float()
        nll = F.cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction="sum")
        value = mean(nll, targets.numel())
        self._layers = tuple(tuple(s.detach() for s in layer) for layer in state.layers)
        if not torch.isfinite(value.detach()):
            self._layers = None  # what made it so must not be carried on
        return value, {}

    def state_dict(self) -> dict[str, Any]:
        """The states of all rows, whichever process has them."""
        parts = collected(self._layers and [[s.cpu() for s in layer] for layer in self._layers])
        if not all(parts):
            return {"layers": None}
        return {
            "layers": [[torch.cat(s) for s in zip(*layer, strict=True)] for layer in zip(*parts, strict=True)]
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        layers = state["layers"]
        self._layers = layers and tuple(
            tuple(s[share().of(len(s)).slice].to(self._device) for s in layer) for layer in layers
        )


def _prepare(
    paths: Sequence[Path],
    dev: Sequence[Path],
    test: Sequence[Path],
    folder: RunFolder,
    config: TrainConfig,
    device: torch.device,
) -> _Run:
    texts = Texts.read(
        paths,
        dev,
        test,
        level=config.level,
        lines=config.lines,
        columns=config.columns,
        held_out=config.held_out,
        min_count=config.min_count,
        vocabulary=config.vocabulary,
        mapped=folder.state,
    )
    size = len(texts.tokenizer)
    torch.manual_seed(config.seed)
    one_hot = config.embedding_size == 0
    decoder = RNNDecoder(
        DecoderConfig(
            vocab_size=size,
            cell=config.cell,
            num_layers=config.layers,
            embedding_size=config.embedding_size or size,
            hidden_size=config.hidden,
            dropout=config.dropout,
            embedding_dropout=config.embedding_dropout,
            recurrent_dropout=config.recurrent_dropout,
            tie_embeddings=not one_hot,
            one_hot=one_hot,
        )
    )
    return _Run(config, folder, texts, decoder.to(device))


def _batches(run: _Run) -> StreamBatches | LineBatches:
    config, ids = run.config, run.texts.train.ids
    if isinstance(ids, np.ndarray):
        return StreamBatches(ids, config.batch, config.sequence, config.seed)
    cut = sum(len(line) > config.max_line for line in ids)
    if cut:
        say(f"{cut} of {len(ids)} lines are longer than {config.max_line} tokens and are cut (--max-line)")
    # A line that is cut has not come to its end.
    return LineBatches([line[: config.max_line] for line in ids], config.batch, config.seed)


def _judge(run: _Run) -> dict[str, float]:
    """Held-out metrics, and a text at each of some temperatures to look at."""
    generator = run.generator()
    found = score(_SharedWriter(generator.model), run.texts.tokenizer, run.texts.held_out, STREAMS)
    metrics = _metrics(found)
    length = 150 if run.config.level == "char" else 30
    for temperature in _SAMPLES if first() else ():
        text = generator.generate(length=length, temperature=temperature, seed=run.config.seed)[0].text
        say(f"  {temperature}: {' / '.join(line for line in text.splitlines() if line.strip())}")
    say(f"  held-out {_described(metrics)}")
    return {"score": -found.nats_per_token, **metrics}


class _SharedWriter(StepWriter):
    """A writer whose nats several processes find together."""

    def line_nats(self, lines: Sequence[Sequence[int]]) -> np.ndarray:
        return np.array(shared_out(lines, lambda mine: line_nats(self.model, mine).tolist()))

    def stream_nats(self, ids: np.ndarray, start: int, streams: int) -> np.ndarray:
        mine = stream_nats(self.model, ids, start, streams, mine=share())
        return np.array([summed([float(mine.sum())])[0]])


def _test(run: _Run) -> dict[str, float]:
    """What the model makes of the test files; nothing where there are none."""
    if run.texts.test is None:
        return {}
    metrics = _metrics(score(run.generator().writer, run.texts.tokenizer, run.texts.test, STREAMS))
    say(f"test: {_described(metrics)}")
    return metrics


def _keep(run: _Run, metrics: dict[str, float], test: dict[str, float] | None = None) -> None:
    write_model(run.folder.out, run.decoder, run.header(metrics, test or {}))


def _exported_score(run: _Run) -> float:
    """Minus the held-out nats a token of the exported model."""
    model, tokenizer, *_ = load_model(run.folder.out, "onnx")
    return -score(StepWriter(model), tokenizer, run.texts.held_out, STREAMS).nats_per_token


def _metrics(found: Score) -> dict[str, float]:
    return {
        "nats": found.nats_per_token,
        "perplexity": found.perplexity,
        "bits_per_character": found.bits_per_character,
    }


def _described(metrics: dict[str, float]) -> str:
    return (
        f"{metrics['nats']:.4f} nats a token, perplexity {metrics['perplexity']:.2f}, "
        f"{metrics['bits_per_character']:.3f} bits a character"
    )
