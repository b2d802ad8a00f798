"""A smaller decoder of a trained one: the matrix from a context's mean to the first states as a product of two. Numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from textgen.decoder.config import DecoderConfig
from textgen.errors import UserError


def narrowed(
    config: DecoderConfig, weights: Mapping[str, np.ndarray], size: int
) -> tuple[DecoderConfig, dict[str, np.ndarray]]:
    """Sizes and weights (its state dict) of the decoder with `summary_size` so large: the best product of that rank (Eckart and
    Young 1936). Raises UserError where the decoder has no context, or has a summary already."""
    if not config.context_size or config.summary_size:
        raise UserError("summary: only a decoder with a context and without a summary is narrowed")
    whole = weights["initial.weight"].astype(np.float64)
    if not 1 <= size < min(whole.shape):
        raise UserError(f"summary: {size} is outside 1 to {min(whole.shape) - 1}")
    left, values, right = np.linalg.svd(whole, full_matrices=False)
    root = np.sqrt(values[:size])
    parts = {"initial.weight": left[:, :size] * root, "summary.weight": root[:, None] * right[:size]}
    return replace(config, summary_size=size), {
        **weights,
        **{name: part.astype(np.float32) for name, part in parts.items()},
    }
