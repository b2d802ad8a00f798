"""How far a score would move with other pictures of the same kind: the bootstrap (Koehn 2004)."""

from __future__ import annotations

from typing import Any

import numpy as np

from captioner.metrics.statistics import SCORES, scores
from captioner.metrics.stopping import Check, go_on

CONFIDENCE = 0.95
_CHUNK = 100  # draws at a time: bounds memory


def draws(statistics: np.ndarray, count: int, seed: int, check: Check = go_on) -> np.ndarray:
    """The scores (count, 6), in the order of `SCORES`, of samples of the pictures, drawn with replacement.

    `statistics` (B, 12) are by picture. CIDEr's document frequencies stay those of
    all references: in a sample, pictures drawn twice would make their own words seem common. Same seed and number of
    pictures: the same samples, so that two systems can be compared draw by draw.
    """
    pictures = len(statistics)
    generator = np.random.default_rng(seed)
    found = []
    for start in range(0, count, _CHUNK):
        check()
        size = min(_CHUNK, count - start)
        chosen = generator.integers(pictures, size=(size, pictures)) + pictures * np.arange(size)[:, None]
        times = np.bincount(chosen.ravel(), minlength=size * pictures).reshape(size, pictures)
        found.append(scores(times @ statistics, pictures))
    return np.concatenate(found)


def intervals(sampled: np.ndarray) -> dict[str, list[float]]:
    """The middle 95 % of each of `SCORES` over the draws (N, 6)."""
    outside = 50 * (1 - CONFIDENCE)
    bounds = np.percentile(sampled, [outside, 100 - outside], axis=0)
    return {name: bounds[:, index].tolist() for index, name in enumerate(SCORES)}


def differences(
    ours: np.ndarray, others: np.ndarray, sampled: np.ndarray, sampled_others: np.ndarray
) -> dict[str, dict[str, Any]]:
    """Of each of `SCORES`: the difference of two systems (6,), its 95 % interval, and p, from paired draws (N, 6).

    p is two-sided: how often a difference at least as large would be drawn if there were none, from the draws moved to
    mean 0 (Riezler and Maxwell 2005), as sacrebleu has it.
    """
    drawn = sampled - sampled_others
    found = {}
    for index, (name, interval) in enumerate(intervals(drawn).items()):
        difference = float(ours[index] - others[index])
        extreme = np.abs(drawn[:, index] - drawn[:, index].mean()) >= abs(difference)
        p = (1 + int(extreme.sum())) / (1 + len(drawn))
        found[name] = {"difference": difference, "interval": interval, "p": p}
    return found
