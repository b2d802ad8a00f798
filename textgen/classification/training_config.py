"""What decides a classifier's training; apart from `training`, so that the command line can show it without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from textgen.errors import UserError
from textgen.training.export import check_graphs


@dataclass(frozen=True)
class ClassesConfig:
    """Everything that decides a classifier's training; kept in the run's folder and in the model card."""

    text: Annotated[tuple[str, ...], arg(metavar="COLUMN...")] = ("text",)
    """Columns of the texts, by name or by number from 1; several are joined by a space."""
    label: Annotated[str, arg(metavar="COLUMN")] = "label"
    """Column of the classes, by name or by number from 1."""
    held_out: float = 0.1
    """Share of the texts, drawn by the seed, that is held out to judge by, where there is no --dev."""
    vocabulary: int = 4000
    """Subwords."""
    cell: str = "gru"
    """lstm, gru or rnn."""
    layers: int = 1
    """Recurrent layers."""
    hidden: int = 128
    """Features of a recurrent state, in each direction."""
    bidirectional: bool = True
    """Whether a text is read from its end, too."""
    embedding: int = 128
    """Features of a subword."""
    dropout: float = 0.5
    """Share of activations dropped."""
    word_dropout: float = 0.15
    """Share of a text's subwords that are hidden."""
    label_smoothing: float = 0.05
    """Share of the target spread over the classes."""
    tokens: int = 6000
    """Subwords of a step."""
    max_length: int = 256
    """Subwords of a part; a longer text is cut in training, and read in parts afterwards."""
    epochs: int = 12
    """Passes over the texts."""
    learning_rate: float = 3e-3
    """Peak rate."""
    weight_decay: float = 0.01
    """AdamW's."""
    ema: float = 0.99
    """Decay a step of the averaged weights that are judged and kept."""
    patience: int = 0
    """Stop after this many epochs without a better accuracy; 0 runs them all."""
    notes: Path | None = None
    """Markdown for the model's card: what it is bad at, licences, whatever its users should know."""
    seed: int = 1
    precision: str = "auto"
    """auto, float32 or bfloat16."""
    device: str = "auto"
    """auto, cpu or cuda."""
    save_minutes: float = 5.0
    """Minutes between checkpoints within an epoch."""
    graphs: str = "auto"
    """An ONNX graph at the end: int8, float32, none, or auto, which stores the weights in 8 bits where that costs nothing."""

    def __post_init__(self) -> None:
        check_graphs(self.graphs)
        for name in ("vocabulary", "tokens", "max_length", "epochs"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}: {getattr(self, name)} must be 1 or more")
        for name in ("learning_rate", "weight_decay", "patience", "save_minutes"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UserError(f"{name}: {getattr(self, name)} must be 0 or more")
        for name in ("word_dropout", "label_smoothing", "ema", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name}: {getattr(self, name)} is outside 0 to 1")
        if self.max_length < 2:
            raise UserError(f"max_length: {self.max_length} must be 2 or more: the end takes one")
        if not 0 < self.held_out < 1:
            raise UserError(f"held_out: {self.held_out} must be between 0 and 1")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"seed: {self.seed} is outside 0 to {2**32 - 1}")
