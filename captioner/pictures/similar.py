"""Pictures that show the same: a difference hash of their pixels, whatever their names, sizes and formats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from captioner.pictures.load import load_image
from captioner.pictures.refusals import ImageError

_SIDE = 16  # bits a side
SAME = 18  # bits of 256 in which copies differ at most: another format, size or light takes up to 14; other photos differ in 25 and more
_FLAT = 6.0  # grey levels: a hash of less contrast, of a clear sky or a studio's backdrop, is noise


def difference_hash(path: Path) -> np.ndarray | None:
    """Bits (256,), whether each cell of a coarse grid is brighter than its left neighbour (Krawetz 2013).

    The picture's shape does not matter. None where it cannot be read or has next to no contrast.
    """
    try:
        image = load_image(path, size=(4 * _SIDE, 4 * _SIDE))
    except ImageError:
        return None
    grey = np.asarray(image.convert("L").resize((_SIDE + 1, _SIDE), Image.Resampling.BOX), dtype=np.float32)
    return grey[:, 1:].ravel() > grey[:, :-1].ravel() if grey.std() >= _FLAT else None


def difference_hashes(paths: Sequence[Path]) -> list[np.ndarray | None]:
    """Of each picture; some thousand a minute and core."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(difference_hash, paths))


def copies(hashes: Sequence[np.ndarray | None], block: int = 1024) -> Iterator[tuple[int, int]]:
    """Pairs of places, the smaller first, whose pictures are copies of one another."""
    places = np.array([place for place, bits in enumerate(hashes) if bits is not None], dtype=np.int64)
    if len(places) < 2:
        return
    signs = np.stack([hashes[place] for place in places]) * np.float32(2) - 1
    for start in range(0, len(signs), block):
        # The product counts equal bits less unequal ones.
        near = signs[start : start + block] @ signs.T >= signs.shape[1] - 2 * SAME
        for row, column in zip(*np.nonzero(near), strict=True):
            if start + row < column:
                yield int(places[start + row]), int(places[column])
