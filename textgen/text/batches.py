"""Batches of text for training: windows of a stream with the state carried on, or lines padded to one length.

The order of an epoch follows from (seed, epoch), so a resumed run sees what the uninterrupted one would have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from textgen.errors import UserError
from textgen.rows import Rows, share
from textgen.text.encoding import release
from textgen.text.tokenizer import BOS, PAD

T = TypeVar("T")
_RELEASED = 500  # batches, after which what they read of mapped ids need not stay in memory
_BUCKET = 50  # batches whose lines are sorted by length together: little padding, yet a random order


@dataclass(frozen=True)
class TextBatch:
    """N rows of T tokens, which are this process's `rows` of the batch."""

    inputs: np.ndarray  # (N, T)
    targets: np.ndarray  # (N, T): the tokens that follow, PAD where there is none
    fresh: bool
    """Whether states start anew; else each row goes on where it ended in the batch before."""
    rows: Rows


def pad_rows(ids: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Inputs from BOS on, and targets, each (N, T), of rows that hold their end token where they have one."""
    length = max(map(len, ids))
    inputs, targets = np.full((2, len(ids), length), PAD)
    for row, tokens in enumerate(ids):
        inputs[row, : len(tokens)] = [BOS, *tokens[:-1]]
        targets[row, : len(tokens)] = tokens
    return inputs, targets


def padded(rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Ids (B, L) with PAD behind them, and their lengths (B,)."""
    lengths = np.array([len(row) for row in rows])
    ids = np.full((len(rows), lengths.max()), PAD)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = row
    return ids, lengths


def growing_blocks(items: Iterable[T | None], most: int) -> Iterator[list[T]]:
    """Items one after the other in blocks, of which the first are small, so that something comes at once; at most `most`.

    None, which is no item, ends a block: nothing more is there at the moment. So does an error, which comes after it.
    """
    block: list[T] = []
    size = 1
    try:
        for item in items:
            if item is not None:
                block.append(item)
            if block and (item is None or len(block) == size):
                yield block
                block, size = [], min(4 * size, most)
    except Exception:
        if block:
            yield block
        raise
    if block:
        yield block


class StreamBatches:
    """`batch` places of a long text read on side by side, `sequence` tokens a step (truncated backpropagation).

    Every epoch begins elsewhere in the text, which is taken as a ring.
    """

    def __init__(self, ids: np.ndarray, batch: int, sequence: int, seed: int):
        """`ids` (tokens,). A short text gets fewer rows. Raises UserError when it does not fill one window."""
        if len(ids) <= sequence:
            raise UserError(
                f"sequence: the corpus has {len(ids)} tokens to train on, a window needs {sequence + 1}; "
                f"give more text or a smaller --sequence"
            )
        self._ids = ids
        self._batch = min(batch, len(ids) // sequence)
        self._sequence = sequence
        self._seed = seed

    def __len__(self) -> int:
        return len(self._ids) // (self._batch * self._sequence)

    def epoch(self, epoch: int, start: int) -> Iterator[TextBatch]:
        size = len(self._ids)
        first = np.random.default_rng((self._seed, epoch)).integers(size)
        mine = share().of(self._batch)
        rows = first + np.arange(self._batch)[mine.slice, None] * (size // self._batch)
        for position in range(start, len(self)):
            places = rows + position * self._sequence + np.arange(self._sequence + 1)
            window = self._ids[places % size].astype(np.int64)
            if position % _RELEASED == 0:
                release(self._ids)
            yield TextBatch(window[:, :-1], window[:, 1:], position == 0, mine)


class SizedOrder:
    """Rows in batches of at most `tokens` tokens, those of about one size together, in an order that (seed, epoch) fixes."""

    def __init__(self, sizes: np.ndarray, tokens: int, seed: int):
        """`sizes` (rows,) in tokens, as padding makes all of a batch: of the largest."""
        self._sizes, self._tokens, self._seed = sizes, tokens, seed
        self._count = len(self._cuts(np.sort(sizes)))

    def __len__(self) -> int:
        """Batches of an epoch."""
        return self._count

    def epoch(self, epoch: int, start: int) -> Iterator[tuple[np.ndarray, np.random.Generator]]:
        """The batches of `epoch` from position `start` on: places of rows, and what a batch's own draws come from."""
        rng = np.random.default_rng((self._seed, epoch))
        order = np.lexsort((rng.random(len(self._sizes)), self._sizes))
        batches = np.split(order, self._cuts(self._sizes[order])[1:])
        for position in rng.permutation(len(batches))[start:]:
            yield batches[position], np.random.default_rng((self._seed, epoch, int(position)))

    def _cuts(self, sizes: np.ndarray) -> list[int]:
        """Where batches begin in rows sorted by size: the same for every order of equals, so epochs are of one length."""
        cuts, first = [0], 0
        for place, size in enumerate(sizes.tolist()):
            if place > first and size * (place + 1 - first) > self._tokens:
                cuts.append(place)
                first = place
        return cuts


class LineBatches:
    """Lines with their end tokens, shuffled, those of about one length together."""

    def __init__(self, lines: Sequence[Sequence[int]], batch: int, seed: int):
        """`lines`: ids of each, its end token included."""
        if not lines:
            raise UserError("corpus: no line to train on; give more text")
        self._lines = lines
        self._batch = min(batch, len(lines))
        self._seed = seed

    def __len__(self) -> int:
        # The lines left over wait for another epoch: small last batches make noisy steps.
        return len(self._lines) // self._batch

    def epoch(self, epoch: int, start: int) -> Iterator[TextBatch]:
        rng = np.random.default_rng((self._seed, epoch))
        order = rng.permutation(len(self._lines))[: len(self) * self._batch]
        lengths = np.array([len(self._lines[index]) for index in order])
        size = _BUCKET * self._batch
        chunks = [order[i : i + size][np.argsort(lengths[i : i + size])] for i in range(0, len(order), size)]
        batches = [chunk[i : i + self._batch] for chunk in chunks for i in range(0, len(chunk), self._batch)]
        for position in rng.permutation(len(batches))[start:]:
            inputs, targets = pad_rows([self._lines[index] for index in batches[position]])
            mine = share().of(self._batch)
            yield TextBatch(inputs[mine.slice], targets[mine.slice], True, mine)
