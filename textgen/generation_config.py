"""How a text is read on; apart from `generator`, so that the command line can show it at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import UseAppendAction, arg

from textgen.decoding.settings import Constraints, SamplingConfig
from textgen.errors import UserError
from textgen.text.tokenizer import BOS, EOS, PAD, UNK

_REPETITION_WINDOW = 64
_LONGEST = 10_000_000
_MOST_STEPS = 10_000
MOST_TEXTS = 10_000
"""Of a prompt, at once."""


@dataclass(frozen=True)
class GenerationConfig:
    """How a text is read on."""

    length: int = 300
    """Characters, or words of a word model."""
    temperature: float = 0.8
    """0 is greedy; below 1 safer than the model's own distribution, above 1 wilder."""
    top_k: int = 0
    """Choose from the k most likely only; 0 is all."""
    top_p: float = 1.0
    """Choose from the likeliest that reach this probability."""
    min_p: float = 0.0
    """Leave out what is less likely than this share of the likeliest."""
    repetition_penalty: float = 1.0
    """Above 1, what is among the last 64 characters or words becomes less likely; 1 is off."""
    stop: UseAppendAction[tuple[Annotated[str, arg(metavar="TEXT")], ...]] = ()
    """End before this text; may be given several times."""
    seed: Annotated[int | None, arg(metavar="INT")] = None
    """Same seed, same text, whatever the batch; a fresh one unless told."""
    steps: int = 0
    """In which a diffusion model tells a line; as many as it has places unless told."""

    def __post_init__(self) -> None:
        if not 1 <= self.length <= _LONGEST:
            raise UserError(f"length: {self.length} is outside 1 to {_LONGEST}")
        if isinstance(self.stop, str) or not all(self.stop):
            raise UserError("stop: must be texts of one or more characters")
        if self.seed is not None and self.seed < 0:
            raise UserError(f"seed: {self.seed} must be 0 or more")
        if not 0 <= self.steps <= _MOST_STEPS:
            raise UserError(f"steps: {self.steps} is outside 0 to {_MOST_STEPS:,}")
        self.sampling, self.constraints(None)

    @property
    def sampling(self) -> SamplingConfig:
        return SamplingConfig(self.temperature, self.top_k, self.top_p, self.min_p)

    def constraints(self, end: int | None) -> Constraints:
        """No special token but the `end`, where the model has one, and that not at once."""
        return Constraints(
            banned=tuple(token for token in (PAD, BOS, EOS, UNK) if token != end),
            min_length=1,
            repetition_penalty=self.repetition_penalty,
            repetition_window=_REPETITION_WINDOW,
        )
