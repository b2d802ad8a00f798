"""Texts as ids: lines that come to an end, or one stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from textgen.errors import UserError
from textgen.text.tokenizer import BOS, EOS, UNK, Tokenizer


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
    """Between white space, and the ends of lines, which are predicted, too: a count that no vocabulary changes."""

    @property
    def tokens(self) -> int:
        return len(self.ids) if isinstance(self.ids, np.ndarray) else sum(map(len, self.ids))

    @property
    def unknown(self) -> int:
        if isinstance(self.ids, np.ndarray):
            return int(np.count_nonzero(self.ids == UNK))
        return sum(row.count(UNK) for row in self.ids)


def encode_texts(tokenizer: Tokenizer, texts: Sequence[str], lines: bool) -> Encoded:
    """`texts` as the model reads them. Raises UserError when there is nothing in them."""
    characters = sum(map(len, texts)) + (len(texts) if lines else len(texts) - 1)
    words = sum(len(text.split()) for text in texts) + (len(texts) if lines else 0)
    if lines:
        ids: list[list[int]] | np.ndarray = [[*tokenizer.encode(text), EOS] for text in texts]
    else:
        start = start_of_text(tokenizer, lines)
        small = np.uint16 if len(tokenizer) <= 2**16 else np.int32
        parts = [np.zeros(0, dtype=small)]
        for text in texts:
            parts.append(np.array([start], dtype=small))
            parts += [np.array(tokenizer.encode(part), dtype=small) for part in tokenizer.chunks(text)]
        ids = np.concatenate(parts)[1:]
    if not len(ids):
        raise UserError("text: is empty; there is nothing to read")
    return Encoded(ids, characters, words)
