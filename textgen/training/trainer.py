"""One training loop for text and captions.

A step depends on the weights, the step's number and the batch only - randomness is seeded by the step - so a
run resumed from a checkpoint repeats, bit for bit on a CPU, what the uninterrupted run does.
"""

from __future__ import annotations

import contextlib
import math
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Generic, Protocol, TypedDict, TypeVar

import torch
from torch import Tensor, nn
from tqdm import tqdm

from textgen.errors import Interrupted, UserError
from textgen.rows import Rows, in_rows, share
from textgen.training import processes
from textgen.training.checkpoint import load_state, save_state
from textgen.training.device import use_bfloat16
from textgen.training.optimizer import AveragedWeights, make_optimizer
from textgen.training.schedule import learning_rate


@dataclass(frozen=True)
class FitConfig:
    """How a model is fitted."""

    epochs: int
    """Passes over the data."""
    minutes: float = 0.0
    """Train for this long instead, however many epochs that is; 0 counts epochs. How far such a run comes, and so its
    result, depends on the machine."""
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
    judge_minutes: float = 30.0
    """Minutes between evaluations within an epoch; there is one after every epoch, too."""
    patience: int = 0
    """Stop after this many epochs without a better score; 0 runs them all."""
    max_bad_steps: int = 5
    """Steps in a row whose loss may be NaN or infinite before training stops."""


class Shared(Protocol):
    """A batch, or what this process has of it."""

    @property
    def rows(self) -> Rows: ...


Batch = TypeVar("Batch", bound=Shared)
Given = TypeVar("Given", covariant=True)

Groups = Sequence[tuple[nn.Module, float]]
"""Modules with their peak learning rates."""
Loss = Callable[[Batch, int], tuple[Tensor, dict[str, float]]]
"""`loss(batch, step)`: a scalar to fall, and figures to log."""


class Batches(Protocol[Given]):
    """An epoch's batches in an order that (seed, epoch) fixes."""

    def __len__(self) -> int: ...

    def epoch(self, epoch: int, start: int) -> Iterator[Given]:
        """The batches of `epoch` from position `start` on."""


class Carried(Protocol):
    """What a loss carries from step to step, such as recurrent states; kept in checkpoints."""

    def state_dict(self) -> dict[str, Any]:
        """What all processes carry; each of them calls it."""

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@contextlib.contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets; a second Ctrl-C stops at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(number: int, frame: FrameType | None) -> None:
        # torchrun passes a Ctrl-C on to processes that the terminal has told already.
        if stop.is_set() and number == signal.SIGINT and share().count == 1:
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def fit(
    model: nn.Module,
    groups: Groups,
    batches: Batches[Batch],
    loss: Loss[Batch],
    config: FitConfig,
    folder: Path,
    *,
    evaluate: Callable[[], dict[str, float]],
    on_best: Callable[[dict[str, float]], None] = lambda metrics: None,
    log: Callable[[dict[str, Any]], None] = lambda line: None,
    carried: Carried | None = None,
    resume: bool = False,
    label: str = "",
) -> dict[str, float]:
    """Trains `model` in place; returns the metrics of its best evaluation, whose weights it then has.

    `groups` are modules with their peak learning rates; `loss(batch, step)` gives a scalar and figures to log, and
    may keep a state in `carried`; `evaluate()` is called on the (averaged) weights after each epoch and returns
    metrics of which `score`, higher is better, selects. `folder` gets `last.pt` (everything `resume` needs) and
    `best.pt` (weights). Raises `Interrupted` after saving when a signal asked to stop, UserError when the loss
    stays NaN.
    """
    run = _Fit(model, groups, batches, loss, config, folder, evaluate, on_best, log, carried, label)
    if resume:
        with processes.together():
            run.restore()
    with stop_on_signal() as stop:
        while not run.done():
            run.epoch(stop)
    processes.wait()
    with processes.together():
        model.load_state_dict(load_state(run.best)["model"])
    model.eval()
    best = run.progress["best"]
    assert best is not None, "every epoch ends with an evaluation"
    return best


class _Progress(TypedDict):
    """How far a run is; kept in its checkpoint."""

    epoch: int
    position: int
    """Batches of this epoch that are done."""
    skipped: int
    """Those of them whose loss was NaN or infinite."""
    sums: dict[str, float]
    """Of the figures of the others."""
    best: dict[str, float] | None
    """The metrics of the best evaluation."""
    improved: bool
    """Whether that was in this epoch."""
    stale: int
    """Epochs since."""
    seconds: float
    """Of this epoch."""
    spent: float
    """Seconds of the epochs before it."""


class _Fit(Generic[Batch]):
    """A run of `fit`: its state, what is saved of it, and an epoch."""

    def __init__(
        self,
        model: nn.Module,
        groups: Groups,
        batches: Batches[Batch],
        loss: Loss[Batch],
        config: FitConfig,
        folder: Path,
        evaluate: Callable[[], dict[str, float]],
        on_best: Callable[[dict[str, float]], None],
        log: Callable[[dict[str, Any]], None],
        carried: Carried | None,
        label: str,
    ) -> None:
        self.model, self.batches, self.config = model, batches, config
        self.loss = processes.parallel([module for module, _ in groups], loss)
        self.evaluate, self.on_best, self.log = evaluate, on_best, log
        self.carried, self.label = carried, label
        self.device = next(model.parameters()).device
        self.bfloat16 = use_bfloat16(config.precision, self.device)
        self.optimizer = make_optimizer(groups, config.weight_decay)
        self.average = AveragedWeights(model, config.ema_decay)
        self.total = config.epochs * len(batches)
        self.last, self.best = folder / "last.pt", folder / "best.pt"
        self.progress = _Progress(
            epoch=0,
            position=0,
            skipped=0,
            sums={},
            best=None,
            improved=False,
            stale=0,
            seconds=0.0,
            spent=0.0,
        )
        self.bad_in_a_row = 0

    def restore(self) -> None:
        if not self.last.exists():
            return
        saved = load_state(self.last)
        try:
            self.model.load_state_dict(saved["model"])
            self.optimizer.load_state_dict(saved["optimizer"])
            for kept, value in zip(self.average.kept, saved["average"], strict=True):
                kept.copy_(value)
            if self.carried:
                self.carried.load_state_dict(saved["carried"])
            self.progress = saved["progress"]
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(
                f"{self.last}: the checkpoint of another model; delete it to start anew"
            ) from error

    def save(self) -> None:
        state: dict[str, Any] = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        state |= {"average": self.average.kept, "progress": self.progress}
        state |= {"carried": self.carried.state_dict()} if self.carried else {}
        if processes.first():
            save_state(self.last, state)

    def done(self) -> bool:
        config, progress = self.config, self.progress
        if config.patience and progress["stale"] >= config.patience:
            return True
        return self.share() >= 1 if config.minutes else progress["epoch"] >= config.epochs

    def share(self) -> float:
        """How much of the budget of time is spent."""
        return (self.progress["spent"] + self.progress["seconds"]) / (60 * self.config.minutes)

    def rate(self, step: int) -> float:
        """Share of the peak learning rate."""
        config = self.config
        if config.minutes:
            return learning_rate(10_000 * self.share(), 10_000, config.warmup, config.final)
        return learning_rate(step, self.total, config.warmup, config.final)

    def epoch(self, stop: threading.Event) -> None:
        """The rest of the current epoch, and its evaluation."""
        config, progress = self.config, self.progress
        saved = judged = processes.clock()
        started = saved - progress["seconds"]
        self.model.train()
        bar = _bar(self._readable_batches(), len(self.batches), progress, self.label)
        for batch in bar:
            stopped, now = self.step(batch, stop)
            progress["position"] += 1
            means = {name: f"{figure:.3f}" for name, figure in self.means().items()}
            bar.set_postfix(means, refresh=False)
            progress["seconds"] = now - started
            if stopped:
                self.save()
                raise Interrupted(f"stopped in epoch {progress['epoch'] + 1}; continue with --resume")
            if config.minutes and self.share() >= 1:
                break
            if self.bad_in_a_row == 0 and now - judged > 60 * config.judge_minutes:
                self.judge()
                self.model.train()
                judged = processes.clock()
            if self.bad_in_a_row == 0 and now - saved > 60 * config.save_minutes:
                self.save()
                saved = processes.clock()
        bar.close()
        self.judge()
        ended = processes.clock()
        self.progress = _Progress(
            epoch=progress["epoch"] + 1,
            position=0,
            skipped=0,
            sums={},
            best=progress["best"],
            improved=False,
            stale=0 if progress["improved"] else progress["stale"] + 1,
            seconds=0.0,
            spent=progress["spent"] + ended - started,
        )
        self.save()
        if processes.any_of(stop.is_set()):
            raise Interrupted(f"stopped after epoch {self.progress['epoch']}; continue with --resume")

    def _readable_batches(self) -> Iterator[Batch]:
        """The rest of the epoch's; when one cannot be made, as of a file that is gone, what was learnt is kept."""
        try:
            yield from self.batches.epoch(self.progress["epoch"], self.progress["position"])
        except UserError as error:
            if self.bad_in_a_row == 0:
                self.save()
            raise UserError(
                f"{error}; what was learnt is kept: mend it, and continue with --resume"
            ) from error

    def step(self, batch: Batch, stop: threading.Event) -> tuple[bool, float]:
        """One step; returns whether any process was asked to stop, and the time of the first one's clock."""
        progress, step = self.progress, self.progress["epoch"] * len(self.batches) + self.progress["position"]
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * self.rate(step)
        torch.manual_seed(self.config.seed * 1_000_003 + step)
        self.optimizer.zero_grad(set_to_none=True)
        with processes.noticing(), in_rows(batch.rows):
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
                value, figures = self.loss(batch, step)
            value.backward()
        figures = {"loss": value.item(), **figures}
        stopped, now, means = processes.agreed(stop.is_set(), list(figures.values()))
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = nn.utils.clip_grad_norm_(trained, self.config.clip_norm)
        if math.isfinite(means[0]) and torch.isfinite(norm):
            self.optimizer.step()
            self.average.update(step)
            self.bad_in_a_row = 0
            for name, figure in zip(figures, means, strict=True):
                progress["sums"][name] = progress["sums"].get(name, 0.0) + figure
            return stopped, now
        self.bad_in_a_row += 1
        progress["skipped"] += 1
        if self.bad_in_a_row >= self.config.max_bad_steps:
            kept = f"; the last good checkpoint is {self.last}" if self.last.exists() else ""
            with processes.together():
                raise UserError(
                    f"training: the loss was NaN or infinite {self.bad_in_a_row} steps in a row "
                    f"(epoch {progress['epoch'] + 1}); lower the learning rate{kept}"
                )
        return stopped, now

    def means(self) -> dict[str, float]:
        """Figures of the epoch so far, a good step."""
        steps = max(1, self.progress["position"] - self.progress["skipped"])
        return {name: figure / steps for name, figure in self.progress["sums"].items()}

    def judge(self) -> None:
        """Evaluates, logs, keeps the weights where they are the best so far."""
        progress = self.progress
        self.model.eval()
        with self.average.applied():
            # numpy's numbers would make the checkpoint unreadable: loading it runs no code.
            metrics = {name: float(value) for name, value in self.evaluate().items()}
            if progress["best"] is None or _rank(metrics) > _rank(progress["best"]):
                progress["best"], progress["improved"] = metrics, True
                if processes.first():
                    save_state(self.best, {"model": self.model.state_dict()})
                    self.on_best(metrics)
        line = {"phase": self.label, "epoch": progress["epoch"] + 1, **self.means(), **metrics}
        line |= {"steps": progress["epoch"] * len(self.batches) + progress["position"]}
        self.log({**line, "skipped_steps": progress["skipped"], "seconds": round(progress["seconds"], 1)})


def _rank(metrics: dict[str, float]) -> float:
    """`score`, with NaN below everything."""
    return -math.inf if math.isnan(metrics["score"]) else metrics["score"]


def _bar(batches: Iterator[Batch], total: int, progress: _Progress, label: str) -> tqdm[Batch]:
    description = f"{label} epoch {progress['epoch'] + 1}".strip()
    return tqdm(
        batches,
        total=total,
        initial=progress["position"],
        desc=description,
        mininterval=1,
        leave=False,
        disable=not processes.first(),
    )
