"""The phases of a captioner's training: cross-entropy, fine-tuning, self-critical, averaging; and how each is judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from captioner.data.examples import Dataset, Example
from captioner.metrics import SCORES, CiderD, corpus_report
from captioner.network.card import source_score
from captioner.network.decoding import decode
from captioner.network.decoding_config import DEFAULT_DECODING
from captioner.network.eyes import Eyes
from captioner.network.model import CaptionModel
from captioner.network.stored import BOX, DECODER, read_model
from captioner.pictures.load import picture_pixels
from captioner.training.batches import CaptionBatch, FeatureBatches, PictureBatches
from captioner.training.config import TrainConfig
from captioner.training.features import CachedFeatures
from captioner.training.rounding import RoundedDecoder
from textgen.decoder.rnn import RNNDecoder
from textgen.decoding.generate import generate
from textgen.decoding.settings import Constraints, SamplingConfig
from textgen.engine.torch import TorchEngine
from textgen.errors import UserError
from textgen.rows import in_rows, share
from textgen.storage.bundle import Header
from textgen.text.batches import pad_rows
from textgen.text.tokenizer import BOS, EOS, PAD, UNK, Tokenizer
from textgen.training.checkpoint import load_state, save_state
from textgen.training.device import use_bfloat16
from textgen.training.losses import next_token_loss
from textgen.training.processes import collected, first, mean, together, wait
from textgen.training.runs import RunFolder, say
from textgen.training.trainer import Batches, FitConfig, Groups, Loss, fit

_SHARES = tuple(tenth / 10 for tenth in range(1, 10))  # of the other model, in averaging
T = TypeVar("T")
Keep = Callable[[dict[str, float]], None]
Contexts = Callable[[int, int], Tensor]
"""Contexts of the dev pictures from one place to another."""


@dataclass
class Run:
    """What the phases share."""

    config: TrainConfig
    folder: RunFolder
    dataset: Dataset
    model: CaptionModel
    tokenizer: Tokenizer
    parent: Header | None  # provenance of the model that training started from
    train: list[Example]
    dev: list[Example]
    train_ids: list[list[list[int]]]
    device: torch.device
    size: int  # pixels a side of the pictures
    eyes: Eyes | None = None  # in 8 bits, where the decoder is to learn what it will be computed as
    best_score: float = -1.0
    dev_pixels: np.ndarray | None = None

    def see(self, pixels: np.ndarray) -> Tensor:
        """Context (B, L, D) of `pixels` (B, S, S, 3), uint8."""
        if self.eyes:
            return torch.from_numpy(self.eyes(pixels)).to(self.device)
        return self.model.context(torch.from_numpy(pixels).to(self.device))

    def lend(self, use: Callable[[RNNDecoder], T]) -> T:
        """`use` of the decoder, as it is or as it will be computed."""
        return RoundedDecoder(self.model.decoder).lend(use) if self.eyes else use(self.model.decoder)


def cross_entropy(run: Run, folder: Path, keep: Keep, resume: bool) -> dict[str, float]:
    """Trains bridge and decoder on cached features; the encoder is frozen. Returns the best dev metrics."""
    config, model = run.config, run.model
    cache = CachedFeatures(run.folder.state / "features", model.encoder, run.size)
    features = {name: cache.of(getattr(run, name), flip=name == "train") for name in ("train", "dev")}
    batches = FeatureBatches(
        features["train"], run.train_ids, config.batch, config.captions, config.seed, config.caption_power
    )

    def loss(batch: CaptionBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        context = model.bridge(torch.from_numpy(batch.pictures).to(run.device).float())
        return _caption_loss(model.decoder, context, batch, config.label_smoothing), {}

    def dev_contexts(start: int, end: int) -> Tensor:
        return model.bridge(torch.tensor(features["dev"][start:end, 0]).to(run.device).float())

    groups = [(model.bridge, config.learning_rate), (model.decoder, config.learning_rate)]
    fit_config = FitConfig(config.epochs, seed=config.seed)
    return _fit(run, groups, batches, loss, fit_config, folder, dev_contexts, keep, resume)


def fine_tuning(run: Run, folder: Path, keep: Keep, resume: bool) -> dict[str, float]:
    """Trains the whole model on augmented pictures. Returns the best dev metrics."""
    config, model = run.config, run.model
    batches = _picture_batches(run, config.seed + 1)

    def loss(batch: CaptionBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        return _caption_loss(model.decoder, run.see(batch.pictures), batch, config.label_smoothing), {}

    groups = _groups(model, config.finetune_encoder_rate, config.finetune_rate, config.frozen_layers)
    fit_config = FitConfig(config.finetune_epochs, seed=config.seed + 1, ema_decay=config.ema)
    return _fit(run, groups, batches, loss, fit_config, folder, dev_pictures(run), keep, resume)


def self_critical(run: Run, folder: Path, keep: Keep, resume: bool) -> dict[str, float]:
    """Trains the whole model on the CIDEr-D of its own samples (Rennie et al. 2017). Returns the best dev metrics.

    A sample's baseline is the mean reward of the picture's other samples (Luo 2020). With `scst_rounded` the decoder
    alone is trained, its weights rounded, upon the encoder's graph in 8 bits.
    """
    config, model, tokenizer = run.config, run.model, run.tokenizer
    batches = _picture_batches(run, config.seed + 2)
    # The end token is part of the reward: without it captions learn to stop mid-phrase.
    references = [[[*tokenizer.split(caption), EOS] for caption in example.captions] for example in run.train]
    cider = CiderD.from_references(references)
    banned = (PAD, BOS, UNK)

    def loss(batch: CaptionBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        return run.lend(lambda decoder: loss_of(decoder, run.see(batch.pictures), batch, step))

    def loss_of(
        decoder: RNNDecoder, context: Tensor, batch: CaptionBatch, step: int
    ) -> tuple[Tensor, dict[str, float]]:
        rows = len(context) * config.scst_samples
        with torch.no_grad(), torch.autocast(run.device.type, enabled=False):
            engine = TorchEngine(decoder)
            sampled = generate(
                engine,
                np.full((rows, 1), BOS),
                context=context.float().cpu().numpy(),
                sampling=SamplingConfig(),
                constraints=Constraints(banned=banned),
                end=EOS,
                max_length=config.max_length,
                seed=config.seed * 1_000_003 + step,
                keys=range(batch.rows.first * config.scst_samples, batch.rows.end * config.scst_samples),
            )
        # The gradient must be of the very policy that was sampled from: no dropout in the decoder, and no
        # probability for tokens that are never sampled, or what is taken from bad samples drifts to them.
        model.train()
        decoder.dropout.eval()
        words = [
            [*(tokenizer.tokens[index] for index in caption.ids), *([EOS] if caption.finished else [])]
            for caption in sampled
        ]
        truths = [references[index] for index in batch.indices for _ in range(config.scst_samples)]
        reward = cider.score(words, truths).reshape(-1, config.scst_samples) / 100
        baseline = (reward.sum(axis=1, keepdims=True) - reward) / (config.scst_samples - 1)
        advantage = torch.from_numpy((reward - baseline).ravel()).to(run.device).float()

        ids = [[*caption.ids, *([EOS] if caption.finished else [])] for caption in sampled]
        inputs, targets = (torch.from_numpy(a).to(run.device) for a in pad_rows(ids))
        features, _ = decoder.hidden(inputs, decoder.start(context, rows))
        real = targets != PAD
        logits = decoder.logits(features[real]).float()
        logits[:, banned] = -torch.inf
        nll = F.cross_entropy(logits, targets[real], reduction="none")
        weight = advantage[:, None].expand_as(targets)[real]
        rewards = mean(torch.tensor(reward.sum()), reward.size)
        return mean((weight * nll).sum(), real.sum()), {"reward": float(rewards)}

    groups = _groups(model, config.scst_encoder_rate, config.scst_rate, config.frozen_layers)
    if run.eyes:
        model.bridge.requires_grad_(False)
        groups = [group for group in groups if group[0] is model.decoder]
    fit_config = FitConfig(config.scst_epochs, seed=config.seed + 2, ema_decay=config.ema)
    return _fit(run, groups, batches, loss, fit_config, folder, dev_pictures(run), keep, resume)


def averaging(run: Run, folder: Path, keep: Keep, resume: bool) -> dict[str, float]:
    """Averages the weights with those of `average_with`, in `average_share` or the share that scores best. Returns its dev
    metrics."""
    path, share_told = run.config.average_with, run.config.average_share
    assert path is not None, "without it there is no such phase"
    with together():
        other, tokenizer, *_ = read_model(BOX.find(path))
        ours = {name: value.detach().clone() for name, value in run.model.state_dict().items()}
        theirs = other.state_dict()
        shapes, their_shapes = ({name: v.shape for name, v in state.items()} for state in (ours, theirs))
        if tokenizer != run.tokenizer or shapes != their_shapes:
            raise UserError(
                f"{path}: another vocabulary or other sizes than the model to be averaged (--average-with)"
            )
    best: dict[str, float] = {}
    for part in _SHARES if share_told is None else (share_told,):
        # Of a rounded run the encoder stays as it is.
        mixed = {
            name: torch.lerp(value, theirs[name].to(value), part)
            if not run.eyes or name.startswith(DECODER)
            else value
            for name, value in ours.items()
        }
        run.model.load_state_dict(mixed)
        metrics = {**evaluate(run, dev_pictures(run)), "share": part}
        run.folder.log({"phase": folder.name, **metrics})
        if not best or metrics["score"] > best["score"]:
            best = metrics
            if first():
                save_state(folder / "best.pt", {"model": mixed})
                keep(metrics)
    wait()
    with together():
        run.model.load_state_dict(load_state(folder / "best.pt")["model"])
    return best


def _fit(
    run: Run,
    groups: Groups,
    batches: Batches[CaptionBatch],
    loss: Loss[CaptionBatch],
    config: FitConfig,
    folder: Path,
    contexts: Contexts,
    keep: Keep,
    resume: bool,
) -> dict[str, float]:
    """`fit` with what is the same in every phase; the phase's name is its folder's."""
    return fit(
        run.model,
        groups,
        batches,
        loss,
        replace(config, precision=run.config.precision, save_minutes=run.config.save_minutes),
        folder,
        evaluate=lambda: evaluate(run, contexts),
        on_best=keep,
        log=run.folder.log,
        resume=resume,
        label=folder.name,
    )


def _picture_batches(run: Run, seed: int) -> PictureBatches:
    config = run.config
    return PictureBatches(
        run.train,
        run.train_ids,
        config.batch,
        config.captions,
        seed,
        run.size,
        config.crop,
        config.caption_power,
    )


def _groups(
    model: CaptionModel, encoder_rate: float, rate: float, frozen_layers: int
) -> list[tuple[nn.Module, float]]:
    """Modules with their peak rates; an encoder at rate 0 is frozen, which saves its backward pass."""
    model.encoder.requires_grad_(encoder_rate > 0)
    model.encoder.freeze(frozen_layers)
    return [(model.encoder, encoder_rate), (model.bridge, rate), (model.decoder, rate)]


def _caption_loss(
    decoder: RNNDecoder, context: Tensor, batch: CaptionBatch, label_smoothing: float
) -> Tensor:
    """Weighted mean of the negative log-likelihood of the words of `batch`, padding left out."""
    inputs, targets, owners, weights = (
        torch.from_numpy(a).to(context.device)
        for a in (batch.inputs, batch.targets, batch.owners, batch.weights)
    )
    state = decoder.select(decoder.start(context, len(context)), owners)
    with in_rows(batch.caption_rows):
        return next_token_loss(decoder, state, inputs, targets, label_smoothing, weights)


def dev_pictures(run: Run) -> Contexts:
    """Contexts of the dev pictures from one place to another, read as people's photos are."""
    mine = share().of(len(run.dev))
    if run.dev_pixels is None:
        chosen = run.dev[mine.slice]
        run.dev_pixels = np.stack([picture_pixels(example.path, run.size) for example in chosen])
    pixels = run.dev_pixels

    def contexts(start: int, end: int) -> Tensor:
        return run.see(pixels[start - mine.first : end - mine.first])

    return contexts


def evaluate(run: Run, contexts: Contexts, batch: int = 50) -> dict[str, float]:
    """Dev metrics of captions with the default decoding, and three of them to look at."""
    run.model.eval()
    mine = share().of(len(run.dev))
    bfloat16 = use_bfloat16(run.config.precision, run.device) and run.device.type == "cuda"

    def captions(decoder: RNNDecoder) -> list[str]:
        engine, texts = TorchEngine(decoder), []
        for start in range(mine.first, mine.end, batch):
            context = contexts(start, min(start + batch, mine.end)).float().cpu().numpy()
            texts += [found[0].text for found in decode(engine, context, run.tokenizer, DEFAULT_DECODING)]
        return texts

    with torch.inference_mode(), torch.autocast(run.device.type, torch.bfloat16, enabled=bfloat16):
        texts = run.lend(captions)
    texts = [text for part in collected(texts if mine.counted else []) for text in part]
    metrics = dev_metrics(run.dev, texts)
    for example, text in list(zip(run.dev, texts, strict=True))[:: max(1, len(texts) // 3)][:3]:
        say(f"  {example.id}: {text}")
    say("  " + ", ".join(f"{name} {metrics[name]:.1f}" for name in metrics))
    return {"score": metrics["CIDEr"], **metrics}


def dev_metrics(dev: Sequence[Example], texts: Sequence[str]) -> dict[str, float]:
    """The scores of captions of dev pictures; of several data sets the mean of theirs, and theirs, by their names."""
    found: dict[str, dict[str, float]] = {}
    for source in sorted({example.source for example in dev}):
        said = {e.id: text for e, text in zip(dev, texts, strict=True) if e.source == source}
        found[source] = corpus_report(said, {e.id: e.captions for e in dev if e.source == source})
    metrics = {name: sum(report[name] for report in found.values()) / len(found) for name in SCORES}
    if len(found) > 1:
        for source, report in found.items():
            metrics |= {source_score(source, name): report[name] for name in SCORES}
    return {name: round(value, 2) for name, value in metrics.items()}
