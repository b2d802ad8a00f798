"""What decides a translator's training; apart from `training`, so that the command line can show it without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from textgen.errors import UserError
from textgen.training.export import check_graphs


@dataclass(frozen=True)
class PairsConfig:
    """Everything that decides a translator's training; kept in the run's folder and in the model card."""

    languages: Annotated[tuple[str, str], arg(metavar="FROM INTO")] = ("source", "target")
    """What people call the two languages."""
    columns: Annotated[tuple[str, ...], arg(metavar="COLUMN COLUMN")] = ()
    """Columns of tables, by the names in their first line, or language codes of a TMX; unless told, those that have the names
    of the languages, or the first two."""
    repeat: Annotated[tuple[int, ...], arg(metavar="INT...")] = ()
    """How often an epoch has the pairs of each file (of two aligned ones together), in their order; once unless told."""
    start_from: Annotated[Path | None, arg(metavar="NAME|DIR")] = None
    """Start from this translator, a folder or a name in the box, with its languages, subwords, sizes and dropout, instead of
    a new one."""
    vocabulary: int = 8000
    """Subwords of both languages together."""
    cell: str = "lstm"
    """lstm, gru or rnn."""
    encoder_layers: int = 2
    """Recurrent layers of the encoder."""
    encoder_hidden: int = 256
    """Features of a state of the encoder, in each direction."""
    bidirectional: bool = True
    """Whether the encoder reads a sentence from its end, too."""
    attention: bool = True
    """Whether the decoder sees every encoded subword; else their mean only."""
    layers: int = 2
    """Recurrent layers of the decoder."""
    hidden: int = 384
    """Features of a state of the decoder."""
    embedding: int = 256
    """Features of a subword, on either side."""
    summary: int = 0
    """Features between the mean of the encoded subwords and the decoder's first states; 0 goes there directly."""
    heads: int = 8
    """Attention heads."""
    dropout: float = 0.3
    """Share of activations dropped between layers."""
    word_dropout: float = 0.1
    """Share of a sentence's subwords that are hidden from the encoder."""
    renaming: float = 0.2
    """Share of the pairs with a name on both sides that get another name, so that names are copied, not known by heart."""
    label_smoothing: float = 0.1
    """Share of the target spread over the vocabulary."""
    tokens: int = 4000
    """Subwords of a step, on the longer side."""
    max_length: int = 100
    """Subwords that a sentence is cut to."""
    epochs: int = 12
    """Passes over the pairs."""
    learning_rate: float = 2e-3
    """Peak rate."""
    weight_decay: float = 0.01
    """AdamW's."""
    ema: float = 0.998
    """Decay a step of the averaged weights that are judged and kept."""
    judged: int = 2000
    """Most sentences of a dev file that are translated after each epoch."""
    patience: int = 0
    """Stop after this many epochs without a better dev score; 0 runs them all."""
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
    """ONNX graphs at the end: int8, float32, none, or auto, which is int8 where it costs nothing that can be measured."""

    def __post_init__(self) -> None:
        check_graphs(self.graphs)
        for name in ("vocabulary", "tokens", "max_length", "epochs", "judged"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}: {getattr(self, name)} must be 1 or more")
        if any(count < 1 for count in self.repeat):
            raise UserError("repeat: must be numbers of 1 or more")
        for name in ("learning_rate", "weight_decay", "patience", "save_minutes", "summary"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UserError(f"{name}: {getattr(self, name)} must be 0 or more")
        for name in ("word_dropout", "renaming", "label_smoothing", "ema"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name}: {getattr(self, name)} is outside 0 to 1")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"seed: {self.seed} is outside 0 to {2**32 - 1}")
