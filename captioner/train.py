"""Training a captioner: cross-entropy on a frozen encoder, fine-tuning end to end, self-critical training.

The three phases follow one another; each starts from the best weights of the one before, judged by CIDEr
on the dev split with the decoding that people get by default.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from captioner.caption import DEFAULT_DECODING, model_header, picture_pixels, write_model
from captioner.datasets import Dataset, Example, load_dataset
from captioner.decoding import decode
from captioner.encoder import pretrained_encoder
from captioner.metrics import CiderD, corpus_report
from captioner.model import CaptionModel
from captioner.training_data import (
    CachedFeatures,
    CaptionBatch,
    FeatureBatches,
    PictureBatches,
    caption_ids,
    pad_captions,
)
from textgen.checkpoint import atomic_write, load_state
from textgen.decoder import DecoderConfig, RNNDecoder
from textgen.engine import TorchEngine
from textgen.errors import UserError
from textgen.generate import generate
from textgen.sampling import Constraints, SamplingConfig
from textgen.tokenizer import BOS, EOS, PAD, UNK, WordTokenizer
from textgen.trainer import FitConfig, append_json_line, fit, pick_device, use_bfloat16


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a training; kept in the run's folder and in the model card."""

    encoder: str = "mobilenet_v2"
    """Backbone: a torchvision classification model."""
    encoder_weights: Path | None = None
    """Local file of the backbone's ImageNet weights, where torchvision cannot download them."""
    image_size: int = 224
    """Pixels a side: the whole picture is resized to this square."""
    cell: str = "lstm"
    """lstm, gru or rnn."""
    layers: int = 2
    """Recurrent layers."""
    hidden: int = 512
    """Features of a recurrent state."""
    embedding: int = 384
    """Features of a word."""
    context: int = 512
    """Features of a grid cell as the decoder sees it."""
    heads: int = 8
    """Attention heads."""
    dropout: float = 0.4
    """Share of activations dropped in the decoder."""
    feature_dropout: float = 0.2
    """Share of the picture's features dropped."""
    min_count: int = 5
    """Words seen less often in train become unknown."""
    max_length: int = 16
    """Words a caption is cut to in training: what one caption in ten has beyond costs all the others padding."""
    batch: int = 32
    """Pictures a step."""
    captions: int = 5
    """Captions a picture and step."""
    label_smoothing: float = 0.1
    """Share of the target spread over the vocabulary."""
    epochs: int = 8
    """Epochs of cross-entropy on the frozen encoder's cached features."""
    learning_rate: float = 1e-3
    """Peak rate of those epochs."""
    finetune_epochs: int = 20
    """Epochs of cross-entropy through the whole model; 0 skips them."""
    finetune_encoder_rate: float = 2e-4
    """Peak rate of the encoder."""
    finetune_rate: float = 4e-4
    """Peak rate of the rest."""
    scst_epochs: int = 0
    """Epochs of self-critical training (Rennie et al. 2017) on CIDEr-D; 0 skips them."""
    scst_encoder_rate: float = 1e-5
    """Peak rate of the encoder."""
    scst_rate: float = 5e-5
    """Peak rate of the rest."""
    scst_samples: int = 5
    """Captions sampled a picture; each one's baseline is the mean of the others."""
    crop: float = 0.7
    """Smallest share of a picture's area that augmentation keeps."""
    ema: float = 0.998
    """Decay a step of the averaged weights, from fine-tuning on."""
    seed: int = 1
    precision: str = "auto"
    """auto, float32 or bfloat16."""
    device: str = "auto"
    """auto, cpu or cuda."""
    save_minutes: float = 5.0
    """Minutes between checkpoints within an epoch."""


@dataclass
class _Run:
    """What the phases share."""

    config: TrainConfig
    folder: Path
    dataset: Dataset
    model: CaptionModel
    tokenizer: WordTokenizer
    train: list[Example]
    dev: list[Example]
    train_ids: list[list[list[int]]]
    dev_references: dict[str, Sequence[str]]
    device: torch.device
    best_score: float = -1.0

    def fit_config(self, epochs: int, ema: float, seed: int, **options) -> FitConfig:
        config = self.config
        return FitConfig(
            epochs,
            ema_decay=ema,
            seed=seed,
            precision=config.precision,
            save_minutes=config.save_minutes,
            **options,
        )


def train(data: Path, out: Path, config: TrainConfig, resume: bool = False) -> dict[str, float]:
    """Trains on `data`, leaves the best model in `out` and the run's state in `out/training`; its dev metrics.

    With `resume` the run's own settings continue, whatever `config` says. Raises UserError for bad data or a
    folder in use, `textgen.trainer.Interrupted` when a signal stopped it.
    """
    state = out / "training"
    settings = state / "config.json"
    if resume and settings.exists():
        saved = json.loads(settings.read_text(encoding="utf-8"))
        weights = saved["config"].pop("encoder_weights")
        config = TrainConfig(**saved["config"], encoder_weights=Path(weights) if weights else None)
    elif (out / "model.json").exists() or settings.exists():
        raise UserError(f"{out}: already holds a model or a run; give another --out, or --resume to continue")
    device = pick_device(config.device)
    dataset = load_dataset(data)
    if resume and settings.exists() and saved["data_hash"] != dataset.hash:
        raise UserError(f"{data}: not the data that {out} was trained on; start anew with another --out")
    for note in dataset.notes:
        _say(note)
    if not settings.exists():
        text = json.dumps({"config": dataclasses.asdict(config), "data_hash": dataset.hash}, default=str, indent=1)
        atomic_write(settings, lambda file: file.write(text.encode()))

    run = _prepare(config, state, dataset, device)
    _say(
        f"{len(run.train)} train and {len(run.dev)} dev pictures, {len(run.tokenizer)} words, "
        f"{sum(p.numel() for p in run.model.parameters()) / 1e6:.1f} million parameters, {device}"
    )
    phases = [
        ("cross-entropy", config.epochs, _cross_entropy),
        ("fine-tuning", config.finetune_epochs, _fine_tuning),
        ("self-critical", config.scst_epochs, _self_critical),
    ]
    done: dict[str, dict] = {}
    for name, epochs, phase in phases:
        folder, result = state / name, state / name / "done.json"
        if not epochs:
            continue
        if result.exists():
            done[name] = json.loads(result.read_text(encoding="utf-8"))
            run.model.load_state_dict(load_state(folder / "best.pt")["model"])
            run.best_score = max(run.best_score, done[name]["score"])
            continue

        def keep(metrics: dict[str, float], name: str = name) -> None:
            if metrics["score"] > run.best_score:
                run.best_score = metrics["score"]
                write_model(out, run.model, _header(run, {**done, name: metrics}))

        folder.mkdir(parents=True, exist_ok=True)
        done[name] = phase(run, folder, keep, resume)
        atomic_write(result, lambda file, name=name: file.write(json.dumps(done[name]).encode()))
    if not done:
        raise UserError("epochs: nothing to train; all phases have 0 epochs")
    best = max(done.values(), key=lambda metrics: metrics["score"])
    _say(f"best: CIDEr {best['CIDEr']:.1f}, BLEU-4 {best['BLEU-4']:.1f} on dev; the model is in {out}")
    return best


def _prepare(config: TrainConfig, state: Path, dataset: Dataset, device: torch.device) -> _Run:
    train, dev = dataset.split("train"), dataset.split("dev")
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
    model = CaptionModel(encoder, decoder, config.feature_dropout).to(device)
    return _Run(
        config,
        state,
        dataset,
        model,
        tokenizer,
        train,
        dev,
        [caption_ids(example, tokenizer, config.max_length) for example in train],
        {example.id: example.captions for example in dev},
        device,
    )


def _cross_entropy(run: _Run, folder: Path, keep, resume: bool) -> dict[str, float]:
    config, model = run.config, run.model
    cache = CachedFeatures(run.folder / "features", model.encoder, config.image_size)
    features = {name: cache.of(getattr(run, name), flip=name == "train") for name in ("train", "dev")}
    batches = FeatureBatches(features["train"], run.train_ids, config.batch, config.captions, config.seed)

    def loss(batch: CaptionBatch, step: int) -> tuple[Tensor, dict]:
        context = model.bridge(torch.from_numpy(batch.pictures).to(run.device).float())
        return _caption_loss(model.decoder, context, batch, config.label_smoothing), {}

    def dev_contexts(start: int, end: int) -> Tensor:
        return model.bridge(torch.tensor(features["dev"][start:end, 0]).to(run.device).float())

    return fit(
        model,
        [(model.bridge, config.learning_rate), (model.decoder, config.learning_rate)],
        batches,
        loss,
        run.fit_config(config.epochs, 0.0, config.seed),
        folder,
        evaluate=lambda: _evaluate(run, dev_contexts),
        on_best=keep,
        log=_logger(run),
        resume=resume,
        label="cross-entropy",
    )


def _fine_tuning(run: _Run, folder: Path, keep, resume: bool) -> dict[str, float]:
    config, model = run.config, run.model
    batches = _picture_batches(run, config.seed + 1)

    def loss(batch: CaptionBatch, step: int) -> tuple[Tensor, dict]:
        context = model.context(torch.from_numpy(batch.pictures).to(run.device))
        return _caption_loss(model.decoder, context, batch, config.label_smoothing), {}

    return fit(
        model,
        _groups(model, config.finetune_encoder_rate, config.finetune_rate),
        batches,
        loss,
        run.fit_config(config.finetune_epochs, config.ema, config.seed + 1),
        folder,
        evaluate=lambda: _evaluate(run, _dev_pictures(run)),
        on_best=keep,
        log=_logger(run),
        resume=resume,
        label="fine-tuning",
    )


def _self_critical(run: _Run, folder: Path, keep, resume: bool) -> dict[str, float]:
    config, model, tokenizer = run.config, run.model, run.tokenizer
    batches = _picture_batches(run, config.seed + 2)
    # The end token is part of the reward: without it captions learn to stop mid-phrase.
    references = [
        [[*tokenizer.split(caption), EOS] for caption in example.captions] for example in run.train
    ]
    cider = CiderD.from_references(references)
    sampling, constraints = SamplingConfig(), Constraints(banned=(PAD, BOS, UNK), min_length=1)

    def loss(batch: CaptionBatch, step: int) -> tuple[Tensor, dict]:
        context = model.context(torch.from_numpy(batch.pictures).to(run.device))
        rows = len(context) * config.scst_samples
        with torch.no_grad():
            engine = TorchEngine(model.decoder)
            sampled = generate(
                engine,
                np.full((rows, 1), BOS),
                context=context.float().cpu().numpy(),
                sampling=sampling,
                constraints=constraints,
                end=EOS,
                max_length=config.max_length,
                seed=config.seed * 1_000_003 + step,
            )
        model.train()
        words = [
            [*(tokenizer.tokens[index] for index in caption.ids), *([EOS] if caption.finished else [])]
            for caption in sampled
        ]
        prepared = cider.prepare([references[index] for index in batch.indices])
        prepared = [picture for picture in prepared for _ in range(config.scst_samples)]
        reward = cider.score_prepared(words, prepared).reshape(-1, config.scst_samples) / 100
        baseline = (reward.sum(axis=1, keepdims=True) - reward) / (config.scst_samples - 1)
        advantage = torch.from_numpy((reward - baseline).ravel()).to(run.device).float()

        ids = [[*caption.ids, *([EOS] if caption.finished else [])] for caption in sampled]
        inputs, targets = (torch.from_numpy(a).to(run.device) for a in pad_captions(ids))
        features, _ = model.decoder.hidden(inputs, model.decoder.start(context, rows))
        real = targets != PAD
        nll = F.cross_entropy(model.decoder.logits(features[real]).float(), targets[real], reduction="none")
        weight = advantage[:, None].expand_as(targets)[real]
        return (weight * nll).sum() / real.sum(), {"reward": float(reward.mean())}

    return fit(
        model,
        _groups(model, config.scst_encoder_rate, config.scst_rate),
        batches,
        loss,
        run.fit_config(config.scst_epochs, config.ema, config.seed + 2),
        folder,
        evaluate=lambda: _evaluate(run, _dev_pictures(run)),
        on_best=keep,
        log=_logger(run),
        resume=resume,
        label="self-critical",
    )


def _picture_batches(run: _Run, seed: int) -> PictureBatches:
    config = run.config
    return PictureBatches(
        run.train, run.train_ids, config.batch, config.captions, seed, config.image_size, config.crop
    )


def _groups(model: CaptionModel, encoder_rate: float, rate: float) -> list[tuple[nn.Module, float]]:
    return [(model.encoder, encoder_rate), (model.bridge, rate), (model.decoder, rate)]


def _caption_loss(decoder: RNNDecoder, context: Tensor, batch: CaptionBatch, label_smoothing: float) -> Tensor:
    """Mean negative log-likelihood of the words of `batch`, padding left out."""
    inputs, targets = (torch.from_numpy(a).to(context.device) for a in (batch.inputs, batch.targets))
    features, _ = decoder.hidden(inputs, decoder.start(context, len(inputs)))
    real = targets != PAD
    logits = decoder.logits(features[real]).float()
    return F.cross_entropy(logits, targets[real], label_smoothing=label_smoothing)


def _dev_pictures(run: _Run):
    """Contexts of dev pictures by position, decoded as people's photos are; pixels are read once."""
    pixels = getattr(run, "_dev_pixels", None)
    if pixels is None:
        pixels = run._dev_pixels = np.stack([picture_pixels(e.path, run.config.image_size) for e in run.dev])

    def contexts(start: int, end: int) -> Tensor:
        return run.model.context(torch.from_numpy(pixels[start:end]).to(run.device))

    return contexts


def _evaluate(run: _Run, contexts, batch: int = 50) -> dict[str, float]:
    """Dev metrics of captions with the default decoding, and three of them to look at."""
    engine = TorchEngine(run.model.decoder)
    texts: list[str] = []
    bfloat16 = use_bfloat16(run.config.precision, run.device) and run.device.type == "cuda"
    with torch.inference_mode(), torch.autocast(run.device.type, torch.bfloat16, enabled=bfloat16):
        for start in range(0, len(run.dev), batch):
            context = contexts(start, start + batch).float().cpu().numpy()
            texts += [found[0].text for found in decode(engine, context, run.tokenizer, DEFAULT_DECODING)]
    report = corpus_report(dict(zip(run.dev_references, texts, strict=True)), run.dev_references)
    for example, text in list(zip(run.dev, texts, strict=True))[:: max(1, len(texts) // 3)][:3]:
        _say(f"  {example.id}: {text}")
    metrics = {name: round(report[name], 2) for name in ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr")}
    _say("  " + ", ".join(f"{name} {value:.1f}" for name, value in metrics.items()))
    return {"score": report["CIDEr"], **metrics}


def _logger(run: _Run):
    return lambda line: append_json_line(run.folder / "log.jsonl", line)


def _header(run: _Run, phases: dict[str, dict]) -> dict:
    config = dataclasses.asdict(run.config)
    config["encoder_weights"] = run.config.encoder_weights.name if run.config.encoder_weights else "torchvision"
    provenance = {
        "command": shlex.join(["captioner", *sys.argv[1:]]),
        "data": run.dataset.format,
        "data_hash": run.dataset.hash,
        "pictures": {"train": len(run.train), "dev": len(run.dev)},
        "settings": config,
        "dev": phases,
        "torch": torch.__version__,
    }
    return model_header(run.model, run.tokenizer, run.config.image_size, provenance)


def _say(text: str) -> None:
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)
