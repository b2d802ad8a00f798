"""How far probabilities can be trusted (Guo et al. 2017); numpy only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_BINS = 10


class Bin(NamedTuple):
    """Of the answers whose confidence lies in a tenth."""

    told: float
    """Their mean confidence."""
    right: float
    """The share of them that is right."""
    size: int
    """How many they are."""


def reliability(sure: np.ndarray, right: np.ndarray) -> list[Bin]:
    """The bins that have any, of confidences `sure` (N,) in 0..1 and whether each answer is `right` (N,)."""
    bins = np.minimum((sure * _BINS).astype(int), _BINS - 1)
    return [
        Bin(float(sure[bins == place].mean()), float(right[bins == place].mean()), int((bins == place).sum()))
        for place in range(_BINS)
        if (bins == place).any()
    ]


def expected_error(bins: list[Bin]) -> float:
    """Mean distance of confidence and share of right answers (expected calibration error)."""
    return sum(abs(one.told - one.right) * one.size for one in bins) / sum(one.size for one in bins)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """What `logits` (N, C) are best divided by: the likeliest for `labels` (N,), by golden-section search of its logarithm."""
    ratio = (5**0.5 - 1) / 2

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        top = scaled.max(axis=1, keepdims=True)
        total = np.log(np.exp(scaled - top).sum(axis=1)) + top[:, 0]
        return float((total - scaled[np.arange(len(labels)), labels]).mean())

    low, high = np.log(0.05), np.log(20.0)
    for _ in range(60):
        first, second = high - ratio * (high - low), low + ratio * (high - low)
        if loss(first) < loss(second):
            high = second
        else:
            low = first
    return float(np.exp((low + high) / 2))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (N, C) of logits (N, C)."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
