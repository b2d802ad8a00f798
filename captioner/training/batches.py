"""Batches for training: captions as padded ids, pictures augmented or as cached features.

The order of an epoch, its crops and its flips follow from (seed, epoch), never from what was drawn before, so
a resumed run sees exactly what the uninterrupted one would have.
"""

from __future__ import annotations

import hashlib
import queue
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from captioner.caption import picture_pixels
from captioner.data.examples import Example
from captioner.network.encoder import Encoder
from captioner.pictures.load import load_image
from textgen.text.batches import pad_rows
from textgen.text.tokenizer import EOS, Tokenizer

_SIDED = re.compile(r"\b(?:left|right)\b", re.IGNORECASE)


@dataclass(frozen=True)
class CaptionBatch:
    """B pictures with k captions each; the rows of a picture stand together."""

    indices: np.ndarray  # (B,) places in the split
    pictures: np.ndarray  # features (B, L, D) float16, or pixels (B, S, S, 3) uint8
    inputs: np.ndarray  # (B * k, T) ids from BOS on
    targets: np.ndarray  # (B * k, T) the ids that follow, PAD where there is none


def caption_ids(example: Example, tokenizer: Tokenizer, max_length: int) -> list[list[int]]:
    """Ids of each caption, cut to `max_length` words and then without the end token, which it never reached."""
    encoded = (tokenizer.encode(caption) for caption in example.captions)
    return [ids[:max_length] if len(ids) > max_length else [*ids, EOS] for ids in encoded]


class _CaptionBatches(ABC):
    """Order, captions and read-ahead; subclasses fetch the pictures."""

    def __init__(self, ids: Sequence[Sequence[Sequence[int]]], batch: int, captions: int, seed: int):
        """`ids`: of each picture, its captions. `batch` pictures with `captions` each make a step."""
        self._ids = ids
        self._batch = min(batch, len(ids))
        self._captions = captions
        self._seed = seed

    def __len__(self) -> int:
        # The pictures left over wait for another epoch: small last batches make noisy steps.
        return len(self._ids) // self._batch

    def epoch(self, epoch: int, start: int) -> Iterator[CaptionBatch]:
        order = np.random.default_rng((self._seed, epoch)).permutation(len(self._ids))

        def make(position: int) -> CaptionBatch:
            indices = order[position * self._batch : (position + 1) * self._batch]
            rng = np.random.default_rng((self._seed, epoch, position))
            rows = [caption for index in indices for caption in self._choose(self._ids[index], rng)]
            return CaptionBatch(indices, self._pictures(indices, rng), *pad_rows(rows))

        return _read_ahead(make, range(start, len(self)))

    def _choose(self, captions: Sequence[Sequence[int]], rng: np.random.Generator) -> list[Sequence[int]]:
        again = len(captions) < self._captions
        return [captions[i] for i in rng.choice(len(captions), self._captions, replace=again)]

    @abstractmethod
    def _pictures(self, indices: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Features or pixels of the pictures at `indices`; `rng` decides their augmentation."""


class FeatureBatches(_CaptionBatches):
    """Cached features, each picture as it is or mirrored."""

    def __init__(self, features: np.ndarray, ids, batch: int, captions: int, seed: int):
        """`features` (pictures, views, L, D): a view is drawn at random."""
        super().__init__(ids, batch, captions, seed)
        self._features = features

    def _pictures(self, indices: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        views = rng.integers(self._features.shape[1], size=len(indices))
        return self._features[indices, views]


class PictureBatches(_CaptionBatches):
    """Pictures, cropped and mirrored at random."""

    def __init__(
        self,
        examples: Sequence[Example],
        ids,
        batch: int,
        captions: int,
        seed: int,
        size: int,
        smallest: float,
    ):
        """`size`: pixels a side; `smallest`: the least share of a picture's area that a crop keeps."""
        super().__init__(ids, batch, captions, seed)
        self._examples = examples
        self._size = size
        self._smallest = smallest
        self._mirrored = [can_mirror(example) for example in examples]
        self._threads = ThreadPoolExecutor(2)

    def _pictures(self, indices: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        draws = rng.random((len(indices), 5))
        return np.stack(list(self._threads.map(self._picture, indices, draws)))

    def _picture(self, index: int, draws: np.ndarray) -> np.ndarray:
        image = load_image(self._examples[index].path, size=(self._size, self._size))
        return augment(image, self._size, self._smallest, self._mirrored[index], draws)


def augment(image: Image.Image, size: int, smallest: float, mirror: bool, draws: np.ndarray) -> np.ndarray:
    """A random crop of `image` as a square of pixels (size, size, 3), mirrored half of the time if it may be.

    `draws`: five numbers in [0, 1): area, shape, left, top, mirroring.
    """
    area = smallest + (1 - smallest) * draws[0]
    stretch = 1.2 ** (2 * draws[1] - 1)
    width, height = (min(1.0, (area * s) ** 0.5) for s in (stretch, 1 / stretch))
    left, top = draws[2] * (1 - width), draws[3] * (1 - height)
    box = [
        (left) * image.width,
        top * image.height,
        (left + width) * image.width,
        (top + height) * image.height,
    ]
    image = image.resize((size, size), Image.Resampling.BILINEAR, box=box)
    if mirror and draws[4] < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(image)


def can_mirror(example: Example) -> bool:
    """Whether the captions stay true of the mirrored picture: none speaks of left or right."""
    return not any(_SIDED.search(caption) for caption in example.captions)


class CachedFeatures:
    """A frozen encoder's features of a split, computed once and kept on disk as float16."""

    def __init__(self, folder: Path, encoder: Encoder, size: int):
        self._folder = folder
        self._encoder = encoder
        self._size = size

    def of(self, examples: Sequence[Example], flip: bool, batch: int = 32) -> np.ndarray:
        """Features (pictures, views, L, D), memory-mapped; the second view, with `flip`, is the mirrored picture.

        A picture that may not be mirrored has its own features there.
        """
        key = hashlib.sha256(repr((self._encoder.name, self._size, flip)).encode())
        for example in examples:
            key.update(example.id.encode())
        path = self._folder / f"{key.hexdigest()[:16]}.npy"
        if not path.exists():
            self._compute(path, examples, flip, batch)
        return np.load(path, mmap_mode="r")

    def _compute(self, path: Path, examples: Sequence[Example], flip: bool, batch: int) -> None:
        from tqdm import tqdm

        path.parent.mkdir(parents=True, exist_ok=True)
        # Half a file under the real name would be taken for a whole one after a crash.
        unfinished = path.with_suffix(".unfinished")
        device = self._encoder.mean.device
        starts = range(0, len(examples), batch)

        def read(start: int) -> np.ndarray:
            chosen = examples[start : start + batch]
            pixels = np.stack([picture_pixels(example.path, self._size) for example in chosen])
            mirrored = [p[:, ::-1] if can_mirror(e) else p for p, e in zip(pixels, chosen, strict=True)]
            return np.stack([pixels, np.stack(mirrored)], axis=1) if flip else pixels[:, None]

        cache = None
        with torch.inference_mode():
            for start, pixels in zip(
                tqdm(starts, desc="features", mininterval=1, leave=False),
                _read_ahead(read, starts),
                strict=True,
            ):
                flat = torch.from_numpy(pixels.reshape(-1, *pixels.shape[2:])).to(device)
                features = self._encoder(flat).half().cpu().numpy()
                features = features.reshape(*pixels.shape[:2], *features.shape[1:])
                if cache is None:
                    shape = (len(examples), *features.shape[1:])
                    cache = np.lib.format.open_memmap(unfinished, "w+", np.float16, shape)
                cache[start : start + batch] = features
        cache.flush()
        unfinished.replace(path)


def _read_ahead(make: Callable, keys: Sequence[int], depth: int = 3) -> Iterator:
    """`make(key)` of each key in order, computed in a thread a few ahead; its exceptions are raised here."""
    ready: queue.Queue = queue.Queue(depth)
    gone = threading.Event()

    def put(item: tuple) -> None:
        while not gone.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def work() -> None:
        for key in keys:
            if gone.is_set():
                return
            try:
                put((make(key), None))
            except BaseException as error:  # handed to the consumer, who raises it
                return put((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        for _ in keys:
            item, error = ready.get()
            if error is not None:
                raise error
            yield item
    finally:
        gone.set()
        thread.join()
