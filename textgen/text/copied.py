"""What a model quotes: how long a stretch of a text stands in its training text word for word.

The index is a Bloom filter (Bloom 1970) of the training text's n-grams, taken at every `stride`-th place only, so it
is small, holds no readable text, and still meets every copy of `size + 2 * stride - 1` tokens twice. One n-gram alone may
be taken for a copy by chance; two, a stride apart, are not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from textgen.errors import UserError
from textgen.storage.bundle import COPIED
from textgen.storage.files import atomic_write
from textgen.storage.typed import why_unreadable

_BITS = 16  # an n-gram: one strange n-gram in some 2,000 is taken for a copy
_HASHES = 8
_PRIME = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class CopyIndex:
    """The n-grams of a training text."""

    bits: np.ndarray  # (bytes,) uint8
    size: int
    """Tokens of an n-gram."""
    stride: int
    """Tokens from one n-gram of the index to the next."""

    @classmethod
    def build(cls, ids: np.ndarray, size: int, stride: int) -> CopyIndex:
        """The index of a training text, `ids` (tokens,); `stride` is below `size`, or stretches could not be followed."""
        if not 1 <= stride < size:
            raise ValueError(f"stride {stride} is not between 1 and size {size}")
        keys = np.unique(_keys(ids, size)[::stride])
        bits = np.zeros(max(1, len(keys) * _BITS // 8), dtype=np.uint8)
        for place in _places(keys, len(bits)):
            np.bitwise_or.at(bits, place >> 3, np.uint8(1) << (place & 7).astype(np.uint8))
        return cls(bits, size, stride)

    def longest(self, ids: np.ndarray) -> tuple[int, int]:
        """Start and length in tokens of the longest stretch of `ids` (tokens,) found in the index; (0, 0) for none.

        None is shorter than `size + stride`. Up to `2 * (stride - 1)` tokens of the copy may lie outside what is found. N-grams from two places of the training
        text that overlap by `size - stride` tokens are taken for one stretch: what is found may be longer than any copy.
        """
        if len(ids) < self.size:
            return 0, 0
        keys = _keys(ids, self.size)
        found = np.ones(len(keys), dtype=bool)
        for place in _places(keys, len(self.bits)):
            found &= (self.bits[place >> 3] >> (place & 7).astype(np.uint8) & 1).astype(bool)
        runs = np.zeros(
            len(keys) + self.stride, dtype=np.int64
        )  # n-grams in a row, one a stride, that end here
        for end in np.flatnonzero(found):
            runs[end] = runs[end - self.stride] + 1 if end >= self.stride else 1
        if runs.max() < 2:
            return 0, 0
        last = int(runs.argmax())
        length = int(runs[last] - 1) * self.stride
        return last - length, length + self.size

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save

        data = save({"bits": self.bits, "size": np.array([self.size, self.stride])})
        atomic_write(folder / COPIED, lambda file: file.write(data))

    @classmethod
    def load(cls, folder: Path) -> CopyIndex | None:
        """The index in a model's folder, where it carries one. Raises UserError when it is damaged."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        path = folder / COPIED
        try:
            data = load(path.read_bytes())
            size, stride = map(int, data["size"])
            bits = data["bits"]
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {why_unreadable(path, error)}") from error
        except (SafetensorError, KeyError, ValueError, TypeError, OverflowError) as error:
            raise UserError(f"{path}: not an index of this program, or damaged; delete it") from error
        if bits.dtype != np.uint8 or bits.ndim != 1 or not len(bits) or size < 1 or stride < 1:
            raise UserError(f"{path}: not an index of this program, or damaged; delete it")
        return cls(bits, size, stride)


def _mix(keys: np.ndarray) -> np.ndarray:
    """Scatters 64-bit numbers (the finaliser of MurmurHash3)."""
    keys = (keys ^ (keys >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    keys = (keys ^ (keys >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return keys ^ (keys >> np.uint64(33))


def _keys(ids: np.ndarray, size: int) -> np.ndarray:
    """A 64-bit number of each n-gram of `ids`."""
    count = max(0, len(ids) - size + 1)
    keys = np.zeros(count, dtype=np.uint64)
    for place in range(size):
        keys = _mix(keys * _PRIME + np.asarray(ids[place : place + count], dtype=np.uint64) + np.uint64(1))
    return keys


def _places(keys: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """The bits of each key in a filter of `size` bytes, one array a hash."""
    first, second = keys, _mix(keys ^ _PRIME) | np.uint64(1)
    for index in range(_HASHES):
        yield ((first + np.uint64(index) * second) % np.uint64(8 * size)).astype(np.int64)
