"""Batches for training: captions as padded ids, pictures augmented or as cached features.

The order of an epoch, its crops and its flips follow from (seed, epoch), never from what was drawn before, so
a resumed run sees exactly what the uninterrupted one would have.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from captioner.data.examples import Example
from captioner.pictures.load import load_image
from captioner.training.ahead import read_ahead
from captioner.training.augmentation import augment, can_mirror
from textgen.rows import Rows, share
from textgen.text.batches import pad_rows
from textgen.text.tokenizer import EOS, Tokenizer

CaptionIds = Sequence[Sequence[Sequence[int]]]
"""Of each picture, the ids of its captions."""


@dataclass(frozen=True)
class CaptionBatch:
    """B pictures with N captions, those of a picture together: this process's `rows` of the batch's pictures.

    A picture has from one caption to many. With equal weights those with many would dominate, with equal pictures the
    few captions of those with one: a caption of a picture that has n in the batch weighs n ** -power, as `caption_power` has it.
    """

    indices: np.ndarray  # (B,) places in the split
    pictures: np.ndarray  # features (B, L, D) float16, or pixels (B, S, S, 3) uint8
    inputs: np.ndarray  # (N, T) ids from BOS on
    targets: np.ndarray  # (N, T) the ids that follow, PAD where there is none
    owners: np.ndarray  # (N,) which of the pictures each caption is of
    weights: np.ndarray  # (N,) how much each caption counts
    rows: Rows
    caption_rows: Rows
    """Which captions they are of all the batch's."""


def caption_ids(example: Example, tokenizer: Tokenizer, max_length: int) -> list[list[int]]:
    """Ids of each caption, cut to `max_length` words and then without the end token, which it never reached."""
    encoded = (tokenizer.encode(caption) for caption in example.captions)
    return [ids[:max_length] if len(ids) > max_length else [*ids, EOS] for ids in encoded]


class _CaptionBatches(ABC):
    """Order, captions and read-ahead; subclasses fetch the pictures."""

    def __init__(self, ids: CaptionIds, batch: int, captions: int, seed: int, power: float):
        """`ids`: of each picture, its captions. `batch` pictures with at most `captions` each make a step; `power` is
        that of `CaptionBatch`."""
        self._ids = ids
        self._batch = min(batch, len(ids))
        self._captions = captions
        self._power = power
        self._seed = seed

    def __len__(self) -> int:
        # The pictures left over wait for another epoch: small last batches make noisy steps.
        return len(self._ids) // self._batch

    def epoch(self, epoch: int, start: int) -> Iterator[CaptionBatch]:
        order = np.random.default_rng((self._seed, epoch)).permutation(len(self._ids))

        def make(position: int) -> CaptionBatch:
            indices = order[position * self._batch : (position + 1) * self._batch]
            rng = np.random.default_rng((self._seed, epoch, position))
            chosen = [self._choose(self._ids[index], rng) for index in indices]
            counts = np.array([len(captions) for captions in chosen])
            mine = share().of(len(indices))
            first, end = (int(counts[:place].sum()) for place in (mine.first, mine.end))
            inputs, targets = pad_rows([caption for captions in chosen for caption in captions])
            own = counts[mine.slice]
            return CaptionBatch(
                indices[mine.slice],
                self._pictures(indices, rng, mine.slice),
                inputs[first:end],
                targets[first:end],
                np.repeat(np.arange(len(own)), own),
                np.repeat(own.astype(float) ** -self._power, own).astype(np.float32),
                mine,
                Rows(first, end, len(inputs), mine.counted),
            )

        return read_ahead(make, range(start, len(self)))

    def _choose(self, captions: Sequence[Sequence[int]], rng: np.random.Generator) -> list[Sequence[int]]:
        return [captions[i] for i in rng.permutation(len(captions))[: self._captions]]

    @abstractmethod
    def _pictures(self, indices: np.ndarray, rng: np.random.Generator, mine: slice) -> np.ndarray:
        """Features or pixels of the pictures at `indices[mine]`; `rng` decides the augmentation of all."""


class FeatureBatches(_CaptionBatches):
    """Cached features, each picture as it is or mirrored."""

    def __init__(
        self,
        features: np.ndarray,
        ids: CaptionIds,
        batch: int,
        captions: int,
        seed: int,
        power: float,
    ):
        """`features` (pictures, views, L, D): a view is drawn at random."""
        super().__init__(ids, batch, captions, seed, power)
        self._features = features

    def _pictures(self, indices: np.ndarray, rng: np.random.Generator, mine: slice) -> np.ndarray:
        views = rng.integers(self._features.shape[1], size=len(indices))
        return self._features[indices[mine], views[mine]]


class PictureBatches(_CaptionBatches):
    """Pictures, cropped and mirrored at random."""

    def __init__(
        self,
        examples: Sequence[Example],
        ids: CaptionIds,
        batch: int,
        captions: int,
        seed: int,
        size: int,
        smallest: float,
        power: float,
    ):
        """`size`: pixels a side; `smallest`: the least share of a picture's area that a crop keeps."""
        super().__init__(ids, batch, captions, seed, power)
        self._examples = examples
        self._size = size
        self._smallest = smallest
        self._mirrored = [can_mirror(example) for example in examples]

    def _pictures(self, indices: np.ndarray, rng: np.random.Generator, mine: slice) -> np.ndarray:
        draws = rng.random((len(indices), 5))
        with ThreadPoolExecutor(2) as threads:  # of the batch only: a forked child would wait for older ones
            return np.stack(list(threads.map(self._picture, indices[mine], draws[mine])))

    def _picture(self, index: int, draws: np.ndarray) -> np.ndarray:
        image = load_image(self._examples[index].path, size=(self._size, self._size))
        return augment(image, self._size, self._smallest, self._mirrored[index], draws)
