"""Where a decoder looked for each word of a translation: near an alignment of the two, and no proof of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from textgen.text.subwords import SPACE, SubwordTokenizer
from textgen.translation.copying import reveal


@dataclass(frozen=True)
class Alignment:
    """Which words of a sentence each word of its translation was read from."""

    source: tuple[str, ...]
    target: tuple[str, ...]
    weights: np.ndarray
    """(target words, source words), each row summing to 1."""


def aligned(
    tokenizer: SubwordTokenizer,
    read: Sequence[int],
    said: Sequence[int],
    looked: np.ndarray,
    hidden: Sequence[str],
) -> Alignment:
    """The words of what was `read` (L,) and of what was `said` (T,), ids, by where was `looked` (T, L); `hidden` are the words
    that place holders stand for."""
    columns, rows = _words(tokenizer, read), _words(tokenizer, said)
    weights = _by_word(_by_word(looked.T, columns).T, rows, mean=True)
    source, target = (
        tuple(reveal(word, hidden) for word in _texts(tokenizer, ids, words))
        for ids, words in ((read, columns), (said, rows))
    )
    return Alignment(source, target, weights)


def _words(tokenizer: SubwordTokenizer, ids: Sequence[int]) -> np.ndarray:
    """For each token of a line the number of the word that it is of."""
    pieces = [tokenizer.tokens[index] for index in ids]
    starts = [bool(place) and piece.startswith(SPACE) for place, piece in enumerate(pieces)]
    return np.cumsum(starts, dtype=int)


def _by_word(weights: np.ndarray, words: np.ndarray, mean: bool = False) -> np.ndarray:
    """Rows (tokens, ...) added up, or averaged, to rows of words."""
    found = np.zeros((words[-1] + 1, *weights.shape[1:]), weights.dtype)
    np.add.at(found, words, weights)
    return found / np.bincount(words)[:, None] if mean else found


def _texts(tokenizer: SubwordTokenizer, ids: Sequence[int], words: np.ndarray) -> tuple[str, ...]:
    return tuple(
        tokenizer.decode([index for index, of in zip(ids, words, strict=True) if of == word])
        for word in range(words[-1] + 1)
    )
