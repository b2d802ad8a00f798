"""Which temperatures are compared; apart from `sweep`, so that the command line can show it at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from textgen.errors import UserError
from textgen.generation_config import GenerationConfig


@dataclass(frozen=True)
class SweepConfig:
    """What is compared."""

    temperatures: Annotated[tuple[float, ...], arg(metavar="T...")] = (0.0, 0.3, 0.8, 1.0, 1.3, 1.8)
    """0 is greedy."""
    length: int = 1000
    """Characters, or words of a word model, of each text: cycles take some to show."""
    n: Annotated[int, arg(aliases=("-n",))] = 1
    """Texts of each prompt at each temperature; the first is shown."""
    seed: int = 0
    """The same for every temperature."""

    def __post_init__(self) -> None:
        if not self.temperatures:
            raise UserError("temperatures: give one or more")
        for temperature in self.temperatures:
            GenerationConfig(self.length, temperature, seed=self.seed)
