"""BLEU (Papineni et al. 2002) as coco-caption counts it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from captioner.metrics.ngrams import ORDERS, Tokens, key, parts
from captioner.metrics.pairs import Pairs


@dataclass(frozen=True)
class BleuScore:
    """Corpus BLEU with its parts."""

    scores: tuple[float, ...]
    """BLEU-1 to BLEU-4, x100."""
    precisions: tuple[float, ...]
    """Clipped n-gram precision of orders 1 to 4, x100; 0 where there are no n-grams."""
    brevity_penalty: float
    """0 to 1."""
    length_ratio: float
    """hypothesis_length / reference_length."""
    hypothesis_length: int
    """Tokens."""
    reference_length: int
    """Tokens, of the closest reference of each picture."""

    @classmethod
    def from_statistics(cls, statistics: np.ndarray) -> BleuScore:
        """The score of some rows (B, 10) of `bleu_statistics`: all of them, or a bootstrap sample."""
        sums = statistics.sum(axis=0)
        length, reference_length, *counts = (int(total) for total in sums)
        precisions = (
            100 * hits / max(tries, 1) for hits, tries in zip(counts[:ORDERS], counts[ORDERS:], strict=True)
        )
        return cls(
            scores=tuple(float(score) for score in bleu_of_sums(sums[None])[0]),
            precisions=tuple(precisions),
            brevity_penalty=float(_brevity_penalty(sums[:1], sums[1:2])[0]),
            length_ratio=length / reference_length,
            hypothesis_length=length,
            reference_length=reference_length,
        )


def bleu(hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> BleuScore:
    """Corpus BLEU-1 to BLEU-4 (Papineni et al. 2002), unsmoothed, closest reference length (tie: shorter).

    Args:
        hypotheses: one token list a picture (B); it may be empty.
        references: the token lists of each picture (B), at least one each, none empty.

    Raises:
        UserError: unequal lengths, no pictures, a picture without references, an empty reference, or a
            string where a token list belongs.
    """
    return BleuScore.from_statistics(bleu_statistics(Pairs.of(hypotheses, references)))


def bleu_statistics(pairs: Pairs) -> np.ndarray:
    """BLEU's counts by picture (B, 10): length, closest reference length, 4 x matches, 4 x n-grams.

    Their sums give the corpus score, so a bootstrap resamples rows.
    """
    ngrams, pictures = pairs.ngrams, len(pairs.hypotheses)
    lengths = pairs.hypothesis_lengths
    # The distance first and the length second, in one number whose minimum is the closest, then the shortest.
    base = int(ngrams.lengths.max()) + 1
    distance = np.abs(pairs.reference_lengths - lengths[pairs.picture])
    closest = np.minimum.reduceat(distance * base + pairs.reference_lengths, pairs.first_pairs()) % base

    # A match counts once for every hypothesis that holds the entry: a sentence may speak for many pictures.
    entries, where = np.unique(
        key(pairs.picture[pairs.matched_pair], pairs.matched_hypothesis), return_inverse=True
    )
    counts = np.minimum(ngrams.count[pairs.matched_hypothesis], ngrams.count[pairs.matched_reference])
    clipped = np.zeros(len(entries), np.int64)
    np.maximum.at(clipped, where, counts)
    picture, entry = parts(entries)
    cells = picture * ORDERS + ngrams.order[ngrams.ngram[entry]]
    correct = np.bincount(cells, clipped, pictures * ORDERS).reshape(pictures, ORDERS)
    total = np.maximum(lengths[:, None] - np.arange(ORDERS), 0)
    return np.concatenate([np.stack([lengths, closest], 1), correct.astype(np.int64), total], axis=1)


def bleu_of_sums(sums: np.ndarray) -> np.ndarray:
    """BLEU-1 to BLEU-4 (N, 4), x100, of N sums (N, 10) of rows of `bleu_statistics`."""
    length, reference_length = sums[:, 0], sums[:, 1]
    correct, total = sums[:, 2 : 2 + ORDERS], sums[:, 2 + ORDERS :]
    # coco-caption's constants: they decide the score where an order has no n-grams or no match.
    product = np.cumprod((correct + 1e-15) / (total + 1e-9), axis=1)
    scores = product ** (1 / np.arange(1, ORDERS + 1))
    return 100 * scores * _brevity_penalty(length, reference_length)[:, None]


def _brevity_penalty(length: np.ndarray, reference_length: np.ndarray) -> np.ndarray:
    """(N,) 1 where hypotheses are as long as their references, 0 where they are empty."""
    with np.errstate(divide="ignore"):
        return np.exp(np.minimum(1 - reference_length / length, 0.0))
