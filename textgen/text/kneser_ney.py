"""A Kneser-Ney model of n-grams: the classic to beat, and a judge of texts that is nobody's relative.

Interpolated, with three discounts an order: "modified Kneser-Ney" of Chen and Goodman, "An empirical study of
smoothing techniques for language modeling", Computer Speech and Language 13 (1999), pages 359-393.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from textgen.text.tokenizer import BOS

_FALLBACK = (0.5, 1.0, 1.5)  # KenLM's, for orders too small to estimate discounts from


class KneserNey:
    """Probability of a token after up to `order - 1` others; every id below `vocab_size` has one.

    The unknown word is a token like any other.
    """

    def __init__(self, ids: np.ndarray, vocab_size: int, order: int = 5):
        """`ids` (tokens,): one text, of `order` tokens or more."""
        if len(ids) < order:
            raise ValueError(f"{len(ids)} tokens are too few for order {order}")
        self.vocab_size = vocab_size
        words = np.asarray(ids, dtype=np.int64)
        grams = []  # of each order: keys, first places, the row at each place, counts
        rows = np.zeros(len(words) + 1, dtype=np.int64)
        for k in range(1, order + 1):
            keys = rows[:-1] * vocab_size + words[k - 1 :]
            grams.append(np.unique(keys, return_index=True, return_inverse=True, return_counts=True))
            rows = grams[-1][2]
        self._orders: list[_Order] = []
        contexts = 1
        for (keys, _, rows, counts), longer in zip_longest(grams, grams[1:]):
            if longer:
                # Below the highest order an n-gram counts once for each word that it is seen after.
                counts = np.bincount(rows[longer[1] + 1], minlength=len(keys))
            self._orders.append(_Order.estimate(keys, counts, contexts, vocab_size))
            contexts = len(keys)

    def probabilities(self, ids: np.ndarray) -> np.ndarray:
        """Probabilities (tokens,) of each of `ids` (tokens,) after those before it; the first know fewer."""
        words = np.asarray(ids, dtype=np.int64)
        return self._interpolated([rows[:-1] for rows in self._contexts(words)], words)

    def distribution(self, context: np.ndarray) -> np.ndarray:
        """Probabilities (vocab_size,) of every token after `context` (tokens,), which may be empty."""
        contexts = self._contexts(np.asarray(context, dtype=np.int64))
        words = np.arange(self.vocab_size)
        return self._interpolated([np.full(len(words), rows[-1]) for rows in contexts], words)

    def _contexts(self, words: np.ndarray) -> list[np.ndarray]:
        """Per order k, (tokens + 1,): the row of the k - 1 words before each place and after the last; -1 is unseen."""
        contexts = [np.zeros(len(words) + 1, dtype=np.int64)]
        for order in self._orders[:-1]:
            contexts.append(np.concatenate([[-1], order.find(contexts[-1][:-1], words)]))
        return contexts

    def _interpolated(self, contexts: list[np.ndarray], words: np.ndarray) -> np.ndarray:
        found = np.full(len(words), 1 / self.vocab_size)
        for order, context in zip(self._orders, contexts, strict=True):
            row = order.find(context, words)
            found *= np.where(context >= 0, order.left[context], 1.0)
            found += np.where(row >= 0, order.shares[row], 0.0)
        return found


@dataclass(frozen=True)
class _Order:
    """The n-grams of one order and what their counts give."""

    vocab_size: int
    keys: np.ndarray
    """(n-grams,), sorted: row of the context among the n-grams one shorter, times `vocab_size`, plus the last word."""
    shares: np.ndarray
    """(n-grams,): probability after their context, less the discount."""
    left: np.ndarray
    """(contexts,): probability that the discounts leave to the order below."""

    @classmethod
    def estimate(cls, keys: np.ndarray, counts: np.ndarray, contexts: int, vocab_size: int) -> _Order:
        """From `counts` (n-grams,), which below the highest order may be 0: at the beginning of the text."""
        discounts = np.array([0.0, *_discounts(counts)])[np.minimum(counts, 3)]
        context = keys // vocab_size
        total = np.bincount(context, weights=counts, minlength=contexts)
        held_back = np.bincount(context, weights=discounts, minlength=contexts)
        left = np.divide(held_back, total, out=np.ones(contexts), where=total > 0)
        return cls(vocab_size, keys, (counts - discounts) / np.maximum(total, 1)[context], left)

    def find(self, context: np.ndarray, words: np.ndarray) -> np.ndarray:
        """Rows (N,) of the n-grams of `context` (N,), -1 unseen, and `words` (N,); -1 where there is none."""
        wanted = context * self.vocab_size + words
        row = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return np.where(self.keys[row] == wanted, row, -1)


def _discounts(counts: np.ndarray) -> tuple[float, float, float]:
    """What is taken off counts of 1, 2, and 3 or more: Chen and Goodman's estimate where it makes sense."""
    n1, n2, n3, n4 = (float(np.count_nonzero(counts == count)) for count in range(1, 5))
    if not (n1 and n2 and n3):
        return _FALLBACK
    y = n1 / (n1 + 2 * n2)
    found = 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3
    return found if min(found) > 0 else _FALLBACK


class LineNgrams:
    """A Kneser-Ney model of lines, each of which begins anew."""

    def __init__(self, lines: Sequence[Sequence[int]], vocab_size: int, order: int = 5):
        """`lines`: ids that hold their end tokens."""
        self._before = [BOS] * (order - 1)
        self._model = KneserNey(self._joined(lines), vocab_size, order)

    def nats(self, lines: Sequence[Sequence[int]]) -> np.ndarray:
        """Nats (lines,) of each of `lines`, its end included."""
        if not len(lines):
            return np.zeros(0)
        found = -np.log(self._model.probabilities(self._joined(lines)))
        sizes = np.array([len(self._before) + len(line) for line in lines])
        ends = np.cumsum(sizes)
        counted = np.ones(len(found), bool)
        for place in range(len(self._before)):
            counted[ends - sizes + place] = False
        return np.add.reduceat(np.where(counted, found, 0), ends - sizes)

    def _joined(self, lines: Sequence[Sequence[int]]) -> np.ndarray:
        return np.array([token for line in lines for token in (*self._before, *line)])


def perplexity(train_ids: np.ndarray, test_ids: np.ndarray, vocab_size: int, order: int = 5) -> float:
    """Of a token of `test_ids` (tokens,), to a model of `train_ids` (tokens,)."""
    found = KneserNey(train_ids, vocab_size, order).probabilities(test_ids)
    return math.exp(-np.log(found).mean())
