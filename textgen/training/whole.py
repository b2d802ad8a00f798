"""Fitting all of a model by the settings that trainings share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import nn

from textgen.errors import Interrupted
from textgen.storage.bundle import HEADER
from textgen.training.processes import first
from textgen.training.runs import RunFolder
from textgen.training.trainer import Batch, Batches, FitConfig, Groups, Loss, fit


class Settings(Protocol):
    """What a training's settings say of how it is fitted; see `FitConfig`."""

    @property
    def epochs(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def ema(self) -> float: ...
    @property
    def patience(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def precision(self) -> str: ...
    @property
    def save_minutes(self) -> float: ...


def fit_whole(
    model: nn.Module,
    batches: Batches[Batch],
    loss: Loss[Batch],
    config: Settings,
    folder: RunFolder,
    *,
    evaluate: Callable[[], dict[str, float]],
    keep: Callable[[dict[str, float]], None],
    resume: bool,
    label: str,
    groups: Groups = (),
) -> dict[str, float]:
    """`fit` of a whole model at one rate, or of its `groups` at theirs; returns the best metrics, with which `keep` was called.

    A run that is stopped before its first evaluation leaves a model, too: `keep` is called without metrics.
    """
    settings = FitConfig(
        config.epochs,
        weight_decay=config.weight_decay,
        clip_norm=1.0,
        ema_decay=config.ema,
        patience=config.patience,
        seed=config.seed,
        precision=config.precision,
        save_minutes=config.save_minutes,
    )
    try:
        return fit(
            model,
            groups or [(model, config.learning_rate)],
            batches,
            loss,
            settings,
            folder.state,
            evaluate=evaluate,
            on_best=keep,
            log=folder.log,
            resume=resume,
            label=label,
        )
    except Interrupted:
        if first() and not (folder.out / HEADER).exists():
            keep({})
        raise
