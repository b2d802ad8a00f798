"""ROUGE-L (Lin 2004) as coco-caption computes it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from captioner.metrics.ngrams import Tokens
from captioner.metrics.pairs import Pairs

BETA = 1.2


def rouge_l(hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> np.ndarray:
    """ROUGE-L by picture (B,), x100 (Lin 2004, beta 1.2); the corpus score is the mean.

    As in coco-caption, precision and recall are each the best over the references, perhaps of different ones.
    Arguments and errors as in `bleu`; an empty hypothesis scores 0.
    """
    return rouge_l_of(Pairs.of(hypotheses, references))


def rouge_l_of(pairs: Pairs) -> np.ndarray:
    """`rouge_l` (B,) of pairs."""
    first = pairs.first_pairs()
    precision = np.maximum.reduceat(pairs.common, first) / np.maximum(pairs.hypothesis_lengths, 1)
    recall = np.maximum.reduceat(pairs.common / pairs.reference_lengths, first)
    weighted = recall + BETA**2 * precision
    return 100 * (1 + BETA**2) * precision * recall / np.where(weighted > 0, weighted, 1)
