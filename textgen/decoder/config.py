"""The sizes of a decoder, whatever computes it. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from textgen.errors import UserError


class CellSizes(NamedTuple):
    """What a recurrent cell carries, in multiples of hidden_size."""

    gates: int
    states: int


CELL_SIZES = {"lstm": CellSizes(4, 2), "gru": CellSizes(3, 1), "rnn": CellSizes(1, 1)}


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes of a decoder; stored in the model's file."""

    vocab_size: int
    """Number of tokens, the special ones included."""
    cell: str = "lstm"
    """lstm, gru or rnn."""
    num_layers: int = 2
    """Recurrent layers, 1 to 4."""
    embedding_size: int = 384
    """Features of a token."""
    hidden_size: int = 512
    """Features of a recurrent state."""
    context_size: int = 0
    """Features D of a context cell; 0 for plain text, without attention."""
    summary_size: int = 0
    """Features between a context's mean and the first states; 0 goes there directly, by a matrix that may be the largest of a
    small decoder."""
    context_lengths: bool = False
    """Whether contexts differ in length: sentences do, pictures do not."""
    attention_heads: int = 8
    """Heads that look at the context; divides hidden_size."""
    dropout: float = 0.4
    """Share of activations dropped between layers in training."""
    embedding_dropout: float | None = None
    """The same of the embeddings; None drops as many as between layers."""
    recurrent_dropout: float = 0.0
    """Share of the recurrent weights dropped for a whole sequence (DropConnect; Merity et al. 2018)."""
    tie_embeddings: bool = True
    """Use the embedding as output matrix too (Press and Wolf 2017)."""
    one_hot: bool = False
    """The embedding is the identity and is not trained."""

    def __post_init__(self) -> None:
        if self.cell not in CELL_SIZES:
            raise UserError(f"cell: unknown {self.cell!r}; known: {', '.join(CELL_SIZES)}")
        if not 1 <= self.num_layers <= 4:
            raise UserError(f"num_layers: {self.num_layers} is outside 1 to 4")
        for name in ("vocab_size", "embedding_size", "hidden_size", "attention_heads"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}: {getattr(self, name)} must be 1 or more")
        if self.context_lengths and not self.context_size:
            raise UserError("context_lengths: needs a context, context_size above 0")
        if self.summary_size < 0 or (self.summary_size and not self.context_size):
            raise UserError(f"summary_size: {self.summary_size} must be 0, or 1 or more of a context")
        if self.context_size < 0:
            raise UserError(f"context_size: {self.context_size} must be 0 (plain text) or more")
        if self.context_size and self.hidden_size % self.attention_heads:
            raise UserError(
                f"attention_heads: {self.attention_heads} does not divide hidden_size {self.hidden_size}"
            )
        if self.one_hot and (self.tie_embeddings or self.embedding_size != self.vocab_size):
            raise UserError("one_hot: needs embedding_size equal to vocab_size, and tie_embeddings off")
        for name in ("dropout", "embedding_dropout", "recurrent_dropout"):
            if not 0 <= (getattr(self, name) or 0) < 1:
                raise UserError(f"{name}: {getattr(self, name)} is outside 0 to 1")

    @property
    def features(self) -> int:
        """Size of what the output layer sees: the last layer, and the attended context beside it."""
        return self.hidden_size * (2 if self.context_size else 1)

    @property
    def memory_size(self) -> int:
        """Size of the states of all layers together."""
        return self.num_layers * CELL_SIZES[self.cell].states * self.hidden_size

    @property
    def cut(self) -> int:
        """The first of the upper layers, where two cores share them: 0 where there is nothing to share."""
        return 0 if self.context_size else self.num_layers // 2

    def layer_input(self, layer: int) -> int:
        """Size of what a recurrent layer reads."""
        if layer == 0:
            return self.embedding_size
        return 2 * self.hidden_size if layer == 1 and self.context_size else self.hidden_size
