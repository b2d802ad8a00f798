"""Logits to next ids: which of the possible tokens is chosen. Numpy only; randomness is an argument."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence

import numpy as np

from textgen.decoding.settings import SamplingConfig
from textgen.errors import UserError

_BLOCK = 64  # uniforms drawn a row at a time
_PART = 128  # weights added up at a time


def normalizer(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What to take from `logits` (N, V) for log-probabilities: first the largest (N, 1), then the rest (N, 1)."""
    best = logits.max(axis=-1, keepdims=True)
    return best, np.log(np.exp(logits - best).sum(axis=-1, keepdims=True))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities (N, V) of `logits` (N, V)."""
    best, rest = normalizer(logits)
    return logits - best - rest


def log_probs_of(logits: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Log-probabilities (N,) of `ids` (N,), one a row of `logits` (N, V)."""
    best, rest = normalizer(logits)
    return (logits[np.arange(len(ids)), ids] - best[:, 0] - rest[:, 0]).astype(np.float64)


def sample(logits: np.ndarray, uniforms: np.ndarray | None, config: SamplingConfig) -> np.ndarray:
    """Next ids (N,) from `logits` (N, V); -inf is never chosen.

    `uniforms` (N,) in [0, 1) decide, one a row, so a row does not depend on its neighbours; greedy needs none.
    """
    if config.greedy:
        return logits.argmax(axis=1)
    assert uniforms is not None, "only greedy needs none"
    # The best weighs 1 at any temperature; beyond these it makes no difference, but for overflow.
    temperature = np.float32(min(max(config.temperature, 1e-20), 1e30))
    with np.errstate(over="ignore"):
        weights = np.exp((logits - logits.max(axis=1, keepdims=True)) / temperature)
    order = None
    if 0 < config.top_k < logits.shape[1] or config.top_p < 1:
        order = np.argsort(-logits, axis=1, kind="stable")  # at a huge temperature all weights tie
        weights = np.take_along_axis(weights, order, axis=1).astype(np.float64)
        if config.top_k:
            weights[:, config.top_k :] = 0
        before = np.cumsum(weights, axis=1) - weights
        weights[before >= config.top_p * weights.sum(axis=1, keepdims=True)] = 0
        # top_p 0 would drop the first too.
        weights[:, 0] = 1
    if config.min_p:
        weights[weights < config.min_p] = 0
    chosen = np.array([_drawn(*row)[0] for row in zip(weights, uniforms, strict=True)])
    return chosen if order is None else order[np.arange(len(order)), chosen]


def _drawn(weights: np.ndarray, uniform: float) -> tuple[int, float]:
    """Which of `weights` (V,) holds this share of their sum, and how far into it, from 0 to 1."""
    if len(weights) > 4 * _PART:  # running sums of all are slow
        part, uniform = _drawn(np.add.reduceat(weights, np.arange(0, len(weights), _PART)), uniform)
        place, share = _drawn(weights[part * _PART : (part + 1) * _PART], uniform)
        return part * _PART + place, share
    running = weights.cumsum(dtype=np.float64)
    reached = uniform * running[-1]
    place = int(running.searchsorted(reached, "right"))
    # Rounding may make it the whole, which would be the next one's beginning.
    return place, min(1 - 1e-12, max(0.0, 1 - (running[place] - reached) / weights[place]))


def uniform_rows(seed: int | None, keys: Sequence[int]) -> Iterator[np.ndarray]:
    """Endless (N,) uniforms: row n is the sequence of `(seed, keys[n])`, whatever the other rows are."""
    seed = secrets.randbits(128) if seed is None else seed
    if seed < 0:
        raise UserError(f"seed: {seed} must be 0 or more")
    rows = [np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, key)))) for key in keys]
    while True:
        block = np.stack([row.random(_BLOCK) for row in rows])
        yield from block.T
