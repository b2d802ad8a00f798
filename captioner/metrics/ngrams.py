"""N-grams of many sentences as arrays: a corpus is counted once, then scored any number of times.

S sentences hold T tokens and G distinct n-grams of orders 1 to 4; an entry says how often a sentence holds an n-gram,
and there are E of them.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

import numpy as np

ORDERS = 4

Tokens = Sequence[Hashable]
NGram = tuple[Hashable, ...]


def key(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Two numbers below 2**31 in one, which sorts as the pair does."""
    return high << 32 | low


def parts(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two numbers of each `key`."""
    return keys >> 32, keys & 0xFFFFFFFF


@dataclass(frozen=True, eq=False)
class NGrams:
    """The n-grams of orders 1 to `ORDERS` of `sentences`; entries are sorted by sentence, then n-gram."""

    sentences: Sequence[Tokens] = field(repr=False)
    lengths: np.ndarray  # (S,) tokens
    sentence: np.ndarray  # (E,) the sentence of an entry
    ngram: np.ndarray  # (E,) its n-gram, 0 to G - 1
    count: np.ndarray  # (E,) how often it is there
    order: np.ndarray  # (G,) 0 for single words, 3 for four
    place: np.ndarray  # (G,) a place among all tokens where the n-gram begins
    starts: np.ndarray  # (S + 1,) sentence s has the entries starts[s] to starts[s + 1]

    @classmethod
    def of(cls, sentences: Sequence[Tokens]) -> NGrams:
        lengths = np.fromiter(map(len, sentences), np.int64, len(sentences))
        # In order of appearance, not a set's: sums then do not depend on the hash seed.
        ids = {token: index for index, token in enumerate(dict.fromkeys(chain.from_iterable(sentences)))}
        tokens = np.fromiter(map(ids.__getitem__, chain.from_iterable(sentences)), np.int64, lengths.sum())
        sentence = np.repeat(np.arange(len(sentences)), lengths)  # (T,)
        left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(tokens))  # (T,) tokens to its end
        places, grams, size = np.arange(len(tokens)), tokens, len(ids)
        found, somewhere = [], []
        sizes: list[int] = []
        for order in range(ORDERS):
            if order:
                # An n-gram is the one a word shorter and a word: two small numbers that make one.
                keep = left[places] > order
                places = places[keep]
                distinct, grams = np.unique(key(grams[keep], tokens[places + order]), return_inverse=True)
                size = len(distinct)
            place = np.empty(size, np.int64)
            place[grams] = places  # any of its places will do
            found.append(key(sentence[places], grams + sum(sizes)))
            somewhere.append(place)
            sizes.append(size)
        keys, count = np.unique(np.concatenate(found), return_counts=True)
        where, ngram = parts(keys)
        return cls(
            sentences,
            lengths,
            where,
            ngram,
            count,
            np.repeat(np.arange(ORDERS), sizes),
            np.concatenate(somewhere),
            np.searchsorted(where, np.arange(len(sentences) + 1)),
        )

    @cached_property
    def tokens(self) -> list[NGram]:
        """The G n-grams as tuples of tokens."""
        flat = list(chain.from_iterable(self.sentences))
        return [
            tuple(flat[place : place + order + 1])
            for place, order in zip(self.place.tolist(), self.order.tolist(), strict=True)
        ]

    def entries(self, sentences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The entries of `sentences` one after the other, and for each the place (0...) of its sentence there."""
        sizes = self.starts[sentences + 1] - self.starts[sentences]
        owner = np.repeat(np.arange(len(sentences)), sizes)
        before = np.cumsum(sizes) - sizes
        return np.arange(len(owner)) + (self.starts[sentences] - before)[owner], owner
