"""A sentence's encoded tokens to one vector: the mean and the largest of each feature, side by side. Numpy only."""

from __future__ import annotations

import numpy as np


def pooled(context: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """(B, 2D) of encoded tokens (B, L, D), of which the first `lengths` (B,) count; as `textgen.sequences.encoder.pool`."""
    inside = np.arange(context.shape[1]) < lengths[:, None]  # (B, L)
    mean = context.sum(axis=1) / lengths[:, None].astype(np.float32)
    largest = np.where(inside[..., None], context, np.float32(-np.inf)).max(axis=1)
    return np.concatenate([mean, largest], axis=-1)
