"""All scores of a corpus from one table of numbers by picture, which a bootstrap resamples."""

from __future__ import annotations

import numpy as np

from captioner.metrics.bleu import bleu_of_sums, bleu_statistics
from captioner.metrics.cider import Weights, cider_of
from captioner.metrics.pairs import Pairs
from captioner.metrics.rouge import rouge_l_of

SCORES = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr")


def statistics(pairs: Pairs, weights: Weights | None = None) -> np.ndarray:
    """By picture (B, 12): the ten counts of BLEU, ROUGE-L, CIDEr; `weights` as `cider_of` takes them."""
    return np.column_stack([bleu_statistics(pairs), rouge_l_of(pairs), cider_of(pairs, weights)])


def scores(sums: np.ndarray, pictures: int) -> np.ndarray:
    """`SCORES` (N, 6), x100, of N sums (N, 12) of rows of `statistics`, of as many `pictures` each."""
    return np.concatenate([bleu_of_sums(sums[:, :-2]), sums[:, -2:] / pictures], axis=1)


def corpus_scores(rows: np.ndarray) -> np.ndarray:
    """`SCORES` (6,), x100, of the pictures whose `statistics` are `rows` (B, 12)."""
    return scores(rows.sum(axis=0, keepdims=True), len(rows))[0]
