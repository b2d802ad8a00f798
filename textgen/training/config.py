"""What decides a training; apart from `train`, so that the command line can show it without loading torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from textgen.errors import UserError
from textgen.training.export import check_graphs

LEVELS = ("char", "word")


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a training; kept in the run's folder and in the model card."""

    level: str = "char"
    """char or word."""
    lines: bool = False
    """Every line is a text of its own with an end token; else the corpus is read on as one stream."""
    columns: Annotated[tuple[str, ...], arg(metavar="COLUMN...")] = ()
    """Columns of a CSV, by name or by number from 1; each row is a text of its own."""
    held_out: float = 0.1
    """Share at the end of each file that is held out, to judge by."""
    vocabulary: int = 10_000
    """Most words of a word model; the others become unknown."""
    min_count: int = 1
    """Characters or words seen less often become unknown."""
    cell: str = "lstm"
    """lstm, gru or rnn."""
    layers: int = 2
    """Recurrent layers."""
    hidden: int = 384
    """Features of a recurrent state."""
    embedding: Annotated[int | None, arg(metavar="INT")] = None
    """Features of a token; 0 is one-hot input. Unless told, 64 for characters and 160 for words."""
    dropout: float = 0.4
    """Share of activations dropped between layers."""
    embedding_dropout: float = 0.1
    """Share of the embeddings' features dropped."""
    recurrent_dropout: float = 0.0
    """Share of the recurrent weights dropped (Merity et al. 2018)."""
    sequence: int = 100
    """Tokens a step that gradients flow through; the state is carried on to the next."""
    max_line: int = 1000
    """Tokens that a line is cut to."""
    batch: int = 32
    """Places in the text, or lines, read side by side."""
    epochs: int = 20
    """Passes over the corpus."""
    minutes: float = 0.0
    """Train for this long instead of for a number of epochs."""
    learning_rate: float = 5e-3
    """Peak rate."""
    weight_decay: float = 0.01
    """AdamW's."""
    ema: float = 0.998
    """Decay a step of the averaged weights that are judged and kept."""
    patience: int = 0
    """Stop after this many epochs without a better held-out loss; 0 runs them all."""
    notes: Path | None = None
    """Markdown for the model's card: what it is bad at, licences, whatever its users should know."""
    seed: int = 1
    precision: str = "auto"
    """auto, float32 or bfloat16."""
    device: str = "auto"
    """auto, cpu or cuda."""
    save_minutes: float = 5.0
    """Minutes between checkpoints within an epoch."""
    judge_minutes: float = 10.0
    """Minutes between evaluations, with samples, within an epoch."""
    graphs: str = "auto"
    """ONNX graphs at the end: int8, float32, none, or auto, which is int8 where it costs nothing that can be measured."""

    def __post_init__(self) -> None:
        check_graphs(self.graphs)
        if self.level not in LEVELS:
            raise UserError(f"level: unknown {self.level!r}; known: {', '.join(LEVELS)}")
        for name in ("vocabulary", "min_count", "sequence", "max_line", "batch", "epochs"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}: {getattr(self, name)} must be 1 or more")
        for name in ("minutes", "learning_rate", "weight_decay", "patience", "save_minutes", "judge_minutes"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UserError(f"{name}: {getattr(self, name)} must be 0 or more")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"seed: {self.seed} is outside 0 to {2**32 - 1}")
        if not 0 < self.held_out < 1:
            raise UserError(f"held_out: {self.held_out} must be between 0 and 1")
        if not 0 <= self.ema < 1:
            raise UserError(f"ema: {self.ema} is outside 0 to 1")
        if self.embedding is not None and self.embedding < 0:
            raise UserError(f"embedding: {self.embedding} must be 0 (one-hot) or more")
        if self.embedding == 0 and self.level == "word":
            raise UserError("embedding: 0 (one-hot) is for characters; a word model needs features")

    @property
    def embedding_size(self) -> int:
        """Features of a token; 0 is one-hot."""
        return {"char": 64, "word": 160}[self.level] if self.embedding is None else self.embedding
