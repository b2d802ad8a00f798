"""The sizes of a sentence encoder, whatever computes it. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from textgen.decoder.config import CELL_SIZES
from textgen.errors import UserError


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of a recurrent encoder; stored in the model's file."""

    cell: str = "lstm"
    """lstm, gru or rnn."""
    num_layers: int = 2
    """Recurrent layers, 1 to 4."""
    embedding_size: int = 256
    """Features of a token."""
    hidden_size: int = 256
    """Features of a recurrent state, in each direction."""
    bidirectional: bool = True
    """Whether a second stack reads the sentence from its end."""
    pooled: bool = False
    """Whether a decoder sees the mean of the encoded tokens only, one cell: attention has nothing to choose from then."""
    dropout: float = 0.3
    """Share of activations dropped between layers in training."""

    def __post_init__(self) -> None:
        if self.cell not in CELL_SIZES:
            raise UserError(f"cell: unknown {self.cell!r}; known: {', '.join(CELL_SIZES)}")
        if not 1 <= self.num_layers <= 4:
            raise UserError(f"encoder_layers: {self.num_layers} is outside 1 to 4")
        for name in ("embedding_size", "hidden_size"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}: {getattr(self, name)} must be 1 or more")
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout: {self.dropout} is outside 0 to 1")

    @property
    def directions(self) -> tuple[str, ...]:
        """What the names of its layers begin with."""
        return ("from_start", "from_end") if self.bidirectional else ("from_start",)

    @property
    def output_size(self) -> int:
        """Features D of an encoded token."""
        return self.hidden_size * len(self.directions)

    def layer_input(self, layer: int) -> int:
        """Size of what a recurrent layer reads."""
        return self.embedding_size if layer == 0 else self.output_size
