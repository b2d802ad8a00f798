"""How every training begins: its folder, its settings and where it computes, checked before anything is read."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, TypeVar

import torch

from textgen.training.device import pick_device, use_bfloat16
from textgen.training.processes import together
from textgen.training.runs import RunFolder, read_notes


class Settings(Protocol):
    """What of a training's settings can be wrong before its data are known."""

    @property
    def notes(self) -> Path | None: ...
    @property
    def device(self) -> str: ...
    @property
    def precision(self) -> str: ...


Config = TypeVar("Config", bound=Settings)


def opened(out: Path, prog: str, config: Config, resume: bool) -> tuple[RunFolder, Config, torch.device]:
    """The run's folder, the settings to train with, and the device; by all processes alike.

    Raises UserError for a folder in use and for settings that cannot be: a wrong one must not begin a run.
    """
    with together():
        folder = RunFolder(out, prog)
        config = folder.open(config, resume)
        read_notes(config.notes)
        device = pick_device(config.device)
        use_bfloat16(config.precision, device)
    return folder, config, device
