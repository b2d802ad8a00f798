"""The sizes of a Transformer, whatever computes it. No torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from textgen.errors import UserError

_BASE = 10_000.0  # of the rotations' wave lengths (Su et al. 2021)


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of a decoder-only Transformer; stored in the model's file."""

    vocab_size: int
    """Number of tokens, the special ones included."""
    num_layers: int = 4
    """Blocks of attention and feed-forward, 1 to 12."""
    hidden_size: int = 192
    """Features of a token."""
    attention_heads: int = 6
    """Heads; divides hidden_size into an even number of features."""
    feed_forward_size: int = 768
    """Features between the two matrices of a block."""
    window: int = 512
    """Tokens that attention looks back, its own included."""
    dropout: float = 0.2
    """Share of activations dropped in training."""

    def __post_init__(self) -> None:
        if not 1 <= self.num_layers <= 12:
            raise UserError(f"num_layers: {self.num_layers} is outside 1 to 12")
        for name in ("vocab_size", "hidden_size", "attention_heads", "feed_forward_size", "window"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}: {getattr(self, name)} must be 1 or more")
        if self.hidden_size % (2 * self.attention_heads):
            raise UserError(
                f"attention_heads: {self.attention_heads} does not divide hidden_size {self.hidden_size} evenly"
            )
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout: {self.dropout} is outside 0 to 1")

    @property
    def head_size(self) -> int:
        return self.hidden_size // self.attention_heads


def rotations(config: TransformerConfig, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines (..., head_size / 2) by which queries and keys at `positions` (...) are turned (Su et al. 2021)."""
    half = config.head_size // 2
    angles = positions[..., None] * _BASE ** (-np.arange(half) / half)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def visible(config: TransformerConfig, lengths: np.ndarray, cached: int, steps: int) -> np.ndarray:
    """What to add to attention's scores (N, 1, T, P + T): 0, or -inf for what a token may not see.

    Of `cached` P cells of each of N rows the last `lengths` (N,) count; then come T new tokens, each of which sees itself
    and what is before it, as far back as the window reaches.
    """
    cells = np.arange(cached + steps)
    own = cached + np.arange(steps)[:, None]
    seen = (cells <= own) & (cells > own - config.window)  # (T, P + T)
    real = cells >= cached - lengths[:, None]  # (N, P + T)
    allowed = seen[None] & real[:, None]
    return np.where(allowed, np.float32(0), np.float32(-np.inf))[:, None]
