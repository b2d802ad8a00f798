"""What is asked of models side by side; apart from `compare`, so that the command line can show it at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from textgen.errors import UserError
from textgen.generation_config import MOST_TEXTS, GenerationConfig


@dataclass(frozen=True)
class CompareConfig:
    """What is compared."""

    samples: int = 1000
    """Lines of each model at each temperature."""
    temperatures: Annotated[tuple[float, ...], arg(metavar="T...")] = (0.6, 0.8, 1.0, 1.2)
    """At which they are written; the table is of 1, or of the nearest to it."""
    judged: int = 1000
    """Held-out lines whose nats are told, spread over all of them."""
    seed: int = 0
    """Of the samples; the same for every model."""

    def __post_init__(self) -> None:
        if not self.temperatures:
            raise UserError("temperatures: give one or more")
        for temperature in self.temperatures:
            GenerationConfig(1, temperature)
        if not 20 <= self.samples <= MOST_TEXTS:
            raise UserError(f"samples: {self.samples} is outside 20 to {MOST_TEXTS:,}")
        if self.judged < 1:
            raise UserError(f"judged: {self.judged} must be 1 or more")
        if self.seed < 0:
            raise UserError(f"seed: {self.seed} must be 0 or more")
