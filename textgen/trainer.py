"""One training loop for text and captions.

A step depends on the weights, the step's number and the batch only - randomness is seeded by the step - so a
run resumed from a checkpoint repeats, bit for bit on a CPU, what the uninterrupted run does.
"""

from __future__ import annotations

import contextlib
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from textgen.checkpoint import load_state, save_state
from textgen.errors import UserError


@dataclass(frozen=True)
class FitConfig:
    """How a model is fitted."""

    epochs: int
    """Passes over the data."""
    warmup: float = 0.05
    """Share of all steps in which the learning rate rises; then it falls along a cosine."""
    final: float = 0.02
    """Share of the learning rate left at the end."""
    weight_decay: float = 0.01
    """AdamW's, for matrices; none for biases and other vectors."""
    clip_norm: float = 5.0
    """Gradients are scaled down to this norm."""
    ema_decay: float = 0.0
    """Decay a step of the averaged weights that are judged and kept; 0 keeps the last ones."""
    seed: int = 0
    precision: str = "auto"
    """auto, float32 or bfloat16; auto is bfloat16 where the processor computes in it."""
    save_minutes: float = 5.0
    """Minutes between checkpoints within an epoch; one is saved after every epoch, too."""
    patience: int = 0
    """Stop after this many epochs without a better score; 0 runs them all."""
    max_bad_steps: int = 5
    """Steps in a row whose loss may be NaN or infinite before training stops."""


class Batches(Protocol):
    """An epoch's batches in an order that (seed, epoch) fixes."""

    def __len__(self) -> int: ...

    def epoch(self, epoch: int, start: int) -> Iterator[Any]:
        """The batches of `epoch` from position `start` on."""


class Interrupted(Exception):
    """Ctrl-C or SIGTERM; the state has been saved."""


def use_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether `precision` means bfloat16 on `device`."""
    if precision not in ("auto", "float32", "bfloat16"):
        raise UserError(f"precision: unknown {precision!r}; known: auto, float32, bfloat16")
    if precision != "auto":
        return precision == "bfloat16"
    return torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.cpu._is_avx512_bf16_supported()


def pick_device(name: str) -> torch.device:
    """`auto` is a GPU when there is one; a device asked for by name and absent is an error."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise UserError(f"device: unknown {name!r}; known: auto, cpu, cuda")
    if device.type == "cuda" and (device.index or 0) >= (shown := torch.cuda.device_count()):
        count = f"{shown or 'no'} GPU{'s' * (shown > 1)}"
        raise UserError(
            f"device: {name} was asked for, but this machine shows {count}; use --device cpu or auto"
        )
    return device


@contextlib.contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets; a second Ctrl-C stops at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(number: int, frame: object) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _learning_rate(step: int, total: int, config: FitConfig) -> float:
    """Share of the peak at `step` of `total`."""
    warmup = max(1, round(config.warmup * total))
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, total - warmup)
    return config.final + (1 - config.final) * 0.5 * (1 + math.cos(math.pi * done))


def _optimizer(groups: Sequence[tuple[nn.Module, float]], config: FitConfig) -> torch.optim.AdamW:
    parameters = []
    for module, rate in groups:
        trained = [p for p in module.parameters() if p.requires_grad]
        for matrices, decay in ((True, config.weight_decay), (False, 0.0)):
            chosen = [p for p in trained if (p.dim() > 1) is matrices]
            if chosen:
                parameters.append({"params": chosen, "lr": rate, "peak": rate, "weight_decay": decay})
    return torch.optim.AdamW(parameters, betas=(0.9, 0.98), foreach=True)


class _Average:
    """Exponential moving average of a model's trained weights (Polyak averaging)."""

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.live = [p for p in model.parameters() if p.requires_grad]
        self.kept = [p.detach().clone() for p in self.live] if decay else []

    @torch.no_grad()
    def update(self, step: int) -> None:
        if self.decay:
            # A short memory at first, or the start weighs on the average for ever.
            torch._foreach_lerp_(self.kept, self.live, 1 - min(self.decay, (1 + step) / (10 + step)))

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The model with averaged weights."""
        own = [p.detach().clone() for p in self.live] if self.decay else []
        with torch.no_grad():
            for p, value in zip(self.live if self.decay else [], self.kept, strict=True):
                p.copy_(value)
            try:
                yield
            finally:
                for p, value in zip(self.live if self.decay else [], own, strict=True):
                    p.copy_(value)


def fit(
    model: nn.Module,
    groups: Sequence[tuple[nn.Module, float]],
    batches: Batches,
    loss: Callable[[Any, int], tuple[Tensor, dict[str, float]]],
    config: FitConfig,
    folder: Path,
    *,
    evaluate: Callable[[], dict[str, float]],
    on_best: Callable[[dict[str, float]], None] = lambda metrics: None,
    log: Callable[[dict[str, Any]], None] = lambda line: None,
    resume: bool = False,
    label: str = "",
) -> dict[str, float]:
    """Trains `model` in place; returns the metrics of its best epoch, whose weights it then has.

    `groups` are modules with their peak learning rates; `loss(batch, step)` gives a scalar and figures to log;
    `evaluate()` is called on the (averaged) weights after each epoch and returns metrics of which `score`,
    higher is better, selects. `folder` gets `last.pt` (everything `resume` needs) and `best.pt` (weights).
    Raises `Interrupted` after saving when a signal asked to stop, UserError when the loss stays NaN.
    """
    device = next(model.parameters()).device
    bfloat16 = use_bfloat16(config.precision, device)
    optimizer = _optimizer(groups, config)
    average = _Average(model, config.ema_decay)
    total = config.epochs * len(batches)
    progress = {"epoch": 0, "position": 0, "skipped": 0, "sums": {}, "best": None, "stale": 0, "seconds": 0.0}
    last, best = folder / "last.pt", folder / "best.pt"
    if resume and last.exists():
        saved = load_state(last)
        try:
            model.load_state_dict(saved["model"])
            optimizer.load_state_dict(saved["optimizer"])
            for kept, value in zip(average.kept, saved["average"], strict=True):
                kept.copy_(value)
            progress = saved["progress"]
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"{last}: the checkpoint of another model; delete it to start anew") from error

    def save() -> None:
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        save_state(last, {**state, "average": average.kept, "progress": progress})

    bad_in_a_row = 0
    with stop_on_signal() as stop:
        while progress["epoch"] < config.epochs and not (
            config.patience and progress["stale"] >= config.patience
        ):
            epoch = progress["epoch"]
            started = saved_at = time.monotonic()
            before = progress["seconds"]
            model.train()
            bar = _bar(batches, epoch, progress["position"], label)
            for batch in bar:
                step = epoch * len(batches) + progress["position"]
                for group in optimizer.param_groups:
                    group["lr"] = group["peak"] * _learning_rate(step, total, config)
                torch.manual_seed(config.seed * 1_000_003 + step)
                with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                    value, figures = loss(batch, step)
                optimizer.zero_grad(set_to_none=True)
                value.backward()
                norm = nn.utils.clip_grad_norm_(
                    [p for g in optimizer.param_groups for p in g["params"]], config.clip_norm
                )
                if torch.isfinite(value.detach()) and torch.isfinite(norm):
                    optimizer.step()
                    average.update(step)
                    bad_in_a_row = 0
                    for name, figure in {"loss": value.item(), **figures}.items():
                        progress["sums"][name] = progress["sums"].get(name, 0.0) + float(figure)
                else:
                    bad_in_a_row += 1
                    progress["skipped"] += 1
                    if bad_in_a_row >= config.max_bad_steps:
                        kept = f"; the last good checkpoint is {last}" if last.exists() else ""
                        raise UserError(
                            f"training: the loss was NaN or infinite {bad_in_a_row} steps in a row "
                            f"(epoch {epoch + 1}); lower the learning rate{kept}"
                        )
                progress["position"] += 1
                steps = max(1, progress["position"] - progress["skipped"])
                means = {name: f"{figure / steps:.3f}" for name, figure in progress["sums"].items()}
                bar.set_postfix(means, refresh=False)
                progress["seconds"] = before + time.monotonic() - started
                if stop.is_set():
                    save()
                    raise Interrupted(f"stopped in epoch {epoch + 1}; continue with --resume")
                if time.monotonic() - saved_at > 60 * config.save_minutes and bad_in_a_row == 0:
                    save()
                    saved_at = time.monotonic()
            steps = max(1, progress["position"] - progress["skipped"])
            figures = {name: value / steps for name, value in progress["sums"].items()}
            model.eval()
            with average.applied():
                # numpy's numbers would make the checkpoint unreadable: loading it runs no code.
                metrics = {name: float(value) for name, value in evaluate().items()}
                if better := progress["best"] is None or _rank(metrics) > _rank(progress["best"]):
                    progress["best"] = metrics
                    save_state(best, {"model": model.state_dict()})
                    on_best(metrics)
            progress["stale"] = 0 if better else progress["stale"] + 1
            line = {"phase": label, "epoch": epoch + 1, **figures, **metrics}
            log({**line, "skipped_steps": progress["skipped"], "seconds": round(progress["seconds"], 1)})
            progress.update(epoch=epoch + 1, position=0, sums={}, skipped=0, seconds=0.0)
            save()
            if stop.is_set():
                raise Interrupted(f"stopped after epoch {epoch + 1}; continue with --resume")
    model.load_state_dict(load_state(best)["model"])
    model.eval()
    return progress["best"]


def _rank(metrics: dict[str, float]) -> float:
    """`score`, with NaN below everything."""
    return -math.inf if math.isnan(metrics["score"]) else metrics["score"]


def _bar(batches: Batches, epoch: int, start: int, label: str) -> tqdm:
    description = f"{label} epoch {epoch + 1}".strip()
    return tqdm(
        batches.epoch(epoch, start),
        total=len(batches),
        initial=start,
        desc=description,
        mininterval=1,
        leave=False,
    )


def append_json_line(path: Path, line: dict[str, Any]) -> None:
    """One JSON document a line, as training logs are kept."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
