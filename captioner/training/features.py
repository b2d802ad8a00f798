"""A frozen encoder's features, computed once for a whole training."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from captioner.data.examples import Example
from captioner.network.encoder import Encoder
from captioner.pictures.load import picture_pixels
from captioner.training.ahead import read_ahead
from captioner.training.augmentation import can_mirror
from textgen.rows import share
from textgen.training.processes import first, wait


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
        mine = share().of(len(examples))
        starts = range(mine.first, mine.end, batch)

        def read(start: int) -> np.ndarray:
            chosen = examples[start : min(start + batch, mine.end)]
            pixels = np.stack([picture_pixels(example.path, self._size) for example in chosen])
            mirrored = [p[:, ::-1] if can_mirror(e) else p for p, e in zip(pixels, chosen, strict=True)]
            return np.stack([pixels, np.stack(mirrored)], axis=1) if flip else pixels[:, None]

        empty = torch.zeros(1, self._size, self._size, 3, dtype=torch.uint8, device=device)
        with torch.inference_mode():
            cells = self._encoder(empty).shape[1:]
        if first():
            for other in path.parent.glob("*.unfinished"):  # of a run that was killed
                other.unlink(missing_ok=True)
            views = 2 if flip else 1
            np.lib.format.open_memmap(unfinished, "w+", np.float16, (len(examples), views, *cells))
        wait()
        cache = np.load(unfinished, mmap_mode="r+")
        with torch.inference_mode():
            for start, pixels in zip(
                tqdm(starts, desc="features", mininterval=1, leave=False, disable=not first()),
                read_ahead(read, starts),
                strict=True,
            ):
                flat = torch.from_numpy(pixels.reshape(-1, *pixels.shape[2:])).to(device)
                features = self._encoder(flat).half().cpu().numpy()
                features = features.reshape(*pixels.shape[:2], *features.shape[1:])
                cache[start : start + len(features)] = features
        cache.flush()
        wait()
        if first():
            unfinished.replace(path)
        wait()
