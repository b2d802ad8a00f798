"""A residual energy-based model (Deng et al. 2020): a language model's own samples, weighed by how much they look like
what people write.

p(x) = base(x) exp(-E(x)) / Z. The energy E learns to tell lines from the base's samples (noise-contrastive estimation,
Gutmann and Hyvarinen 2010): at its optimum exp(-E) is the ratio of the two. Numpy only; N lines, K candidates.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Partition(NamedTuple):
    """log Z, from samples of the base."""

    value: float
    """Logarithm of the mean of exp(-E): below the true one on average, nearer with more samples."""
    error: float
    """Its standard error."""
    above: float
    """As it is estimated with each sample left out, extrapolated (jackknife): above on average where `value` is below."""


def log_partition(energies: np.ndarray) -> Partition:
    """From the energies (K,) of samples of the base, two or more."""
    weights = -energies.astype(np.float64)
    count = len(weights)
    whole = _log_mean(weights)
    top = weights.max()
    powers = np.exp(weights - top)
    # Without each one in turn: (sum - own) / (K - 1).
    left_out = np.log(np.maximum(powers.sum() - powers, 1e-300) / (count - 1)) + top
    jackknife = count * whole - (count - 1) * left_out.mean()
    error = np.sqrt((count - 1) / count * ((left_out - left_out.mean()) ** 2).sum())
    return Partition(float(whole), float(error), float(max(jackknife, whole)))


def _log_mean(values: np.ndarray) -> float:
    top = values.max()
    return float(np.log(np.exp(values - top).mean()) + top)


def chosen(energies: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """Which of the K candidates of each of N lines is taken, (N,): drawn by exp(-E), for `energies` (N, K) and `uniforms`
    (N,) in 0..1 (self-normalised importance sampling). With no energy each is as likely."""
    weights = np.exp(-(energies - energies.min(axis=1, keepdims=True)).astype(np.float64))
    steps = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)
    found: np.ndarray = (uniforms[:, None] >= steps).sum(axis=1)
    return np.minimum(found, energies.shape[1] - 1)
