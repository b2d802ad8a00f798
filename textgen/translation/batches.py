"""Batches of pairs for training: of about one length, as many as fit a number of tokens.

The order of an epoch and what is drawn in it follow from (seed, epoch), so a resumed run sees what the uninterrupted one
would have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from textgen.rows import Rows, share
from textgen.text.batches import SizedOrder, pad_rows, padded
from textgen.text.subwords import SubwordTokenizer
from textgen.text.tokenizer import EOS
from textgen.translation.copying import Renaming
from textgen.translation.pairs import Pair


@dataclass(frozen=True)
class PairBatch:
    """B sentences and their translations, which are this process's `rows` of the batch."""

    sources: np.ndarray  # (B, L) ids, PAD behind them
    lengths: np.ndarray  # (B,) how many of them count
    inputs: np.ndarray  # (B, T) ids of the translations from BOS on
    targets: np.ndarray  # (B, T) the ids that follow, PAD where there is none
    rows: Rows


class PairBatches:
    """Pairs in batches of at most `tokens` tokens of the longer side, those of about one length together."""

    def __init__(
        self,
        pairs: Sequence[Pair],
        tokenizer: SubwordTokenizer,
        tokens: int,
        max_length: int,
        renaming: Renaming | None,
        seed: int,
    ):
        """Tokens beyond `max_length` are cut off, on either side."""
        self._pairs = pairs
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._renaming = renaming
        encoded = (tokenizer.encode_all([pair[side] for pair in pairs]) for side in (0, 1))
        sizes = [max(len(source), len(target) + 1) for source, target in zip(*encoded, strict=True)]
        self._order = SizedOrder(np.minimum(sizes, max_length), tokens, seed)

    def __len__(self) -> int:
        return len(self._order)

    def epoch(self, epoch: int, start: int) -> Iterator[PairBatch]:
        for places, draws in self._order.epoch(epoch, start):
            pairs = [self._pairs[index] for index in places]
            yield self.batch([self._renaming(pair, draws) for pair in pairs] if self._renaming else pairs)

    def batch(self, pairs: Sequence[Pair]) -> PairBatch:
        """One batch of these pairs."""
        sources, targets = (self._tokenizer.encode_all([pair[side] for pair in pairs]) for side in (0, 1))
        ids, lengths = padded([row[: self._max_length] for row in sources])
        most = self._max_length
        # A translation that is cut has not come to its end.
        ended = [row[:most] if len(row) > most else [*row, EOS] for row in targets]
        inputs, outputs = pad_rows(ended)
        mine = share().of(len(pairs))
        own = mine.slice
        return PairBatch(ids[own], lengths[own], inputs[own], outputs[own], mine)
