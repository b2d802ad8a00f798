"""Texts as ids: lines that come to an end, or one stream."""

from __future__ import annotations

import mmap
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TypeVar

import numpy as np

from textgen.errors import UserError
from textgen.storage.files import atomic_write
from textgen.text.encodings import LargeText
from textgen.text.tokenizer import BOS, EOS, UNK, Tokenizer

Line = TypeVar("Line")
_PART = 2**24  # tokens looked at at once


def start_of_text(tokenizer: Tokenizer, lines: bool) -> int:
    """The id before the first token of a text: of a stream, what separates its parts."""
    return BOS if lines else tokenizer.ids.get(tokenizer.break_token, BOS)


@dataclass(frozen=True)
class Encoded:
    """Texts as ids: lines with their end tokens, or one stream."""

    ids: np.ndarray | list[list[int]]
    """Of a stream (tokens,), as small as they can be kept; of lines, of each."""
    characters: int
    """Line ends and breaks between texts included: they are predicted, too."""
    words: int
    """Between white space, and the ends of lines, which are predicted, too: a count that no vocabulary changes. 0 of what
    is only learnt, where it is large."""

    @property
    def tokens(self) -> int:
        return len(self.ids) if isinstance(self.ids, np.ndarray) else sum(map(len, self.ids))

    @cached_property
    def unknown(self) -> int:
        if isinstance(self.ids, np.ndarray):
            count = 0
            for start in range(0, len(self.ids), _PART):
                count += int(np.count_nonzero(self.ids[start : start + _PART] == UNK))
                release(self.ids)
            return count
        return sum(row.count(UNK) for row in self.ids)


def map_texts(tokenizer: Tokenizer, texts: Sequence[str | LargeText], path: Path) -> Encoded:
    """As `encode_texts` of a stream, its ids in the file `path`, which is used again where it is there."""
    if not path.exists():
        start, small = np.array([start_of_text(tokenizer, lines=False)]), _smallest(tokenizer)

        def write(file: IO[bytes]) -> None:
            for place, text in enumerate(texts):
                if place:
                    file.write(start.astype(small).tobytes())
                for part in tokenizer.chunks(text):
                    file.write(np.array(tokenizer.encode(part), dtype=small).tobytes())

        atomic_write(path, write)
    ids = np.memmap(path, dtype=_smallest(tokenizer), mode="r")
    return Encoded(ids, sum(map(len, texts)) + len(texts) - 1, 0)


def release(ids: np.ndarray) -> None:
    """Lets the system have the memory of what was read of mapped ids."""
    file = getattr(ids, "_mmap", None)
    if file is not None and hasattr(mmap, "MADV_DONTNEED"):
        file.madvise(mmap.MADV_DONTNEED)


def _smallest(tokenizer: Tokenizer) -> type[np.uint16] | type[np.int32]:
    return np.uint16 if len(tokenizer) <= 2**16 else np.int32


def encode_texts(tokenizer: Tokenizer, texts: Sequence[str], lines: bool) -> Encoded:
    """`texts` as the model reads them. Raises UserError when there is nothing in them."""
    characters = sum(map(len, texts)) + (len(texts) if lines else len(texts) - 1)
    words = sum(len(text.split()) for text in texts) + (len(texts) if lines else 0)
    if lines:
        ids: list[list[int]] | np.ndarray = [[*tokenizer.encode(text), EOS] for text in texts]
    else:
        start = start_of_text(tokenizer, lines)
        small = _smallest(tokenizer)
        parts = [np.zeros(0, dtype=small)]
        for text in texts:
            parts.append(np.array([start], dtype=small))
            parts += [np.array(tokenizer.encode(part), dtype=small) for part in tokenizer.chunks(text)]
        ids = np.concatenate(parts)[1:]
    if not len(ids):
        raise UserError("text: is empty; there is nothing to read")
    return Encoded(ids, characters, words)


def drawn_lines(lines: Sequence[Line], most: int, seed: int = 0) -> list[Line]:
    """All of `lines`, or `most` drawn by a seed, in their order.

    Not every k-th: of captions, five a picture in a settled order, that would be the same fifth of each.
    """
    if len(lines) <= most:
        return list(lines)
    return [lines[place] for place in sorted(random.Random(seed).sample(range(len(lines)), most))]
