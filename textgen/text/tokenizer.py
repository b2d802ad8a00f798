"""Text to ids and back: one id a character, or one id a word.

Ids 0 to 3 are the special tokens of every vocabulary; they never appear in decoded text.
"""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Self

from textgen.errors import UserError
from textgen.text.encodings import LargeText, blocks_of
from textgen.text.words import PARAGRAPH, PARAGRAPH_BREAK, split_prose, split_words, text_after

PAD, BOS, EOS, UNK = range(4)
_CHUNK = 1_000_000  # characters, or a paragraph more
_LONGEST = 8_000_000  # characters, however long a paragraph is
SPECIAL_TOKENS = ("<pad>", "<bos>", "<eos>", "<unk>")


class Tokenizer(ABC):
    """A vocabulary with its rule for splitting text; subclasses say what the pieces are."""

    kind: ClassVar[str]
    break_token: ClassVar[str]
    """The piece after which a text starts afresh: what precedes the first piece of running text."""

    def __init__(self, tokens: Sequence[str]):
        """`tokens`: the pieces in id order, without the special tokens."""
        self.tokens = [*SPECIAL_TOKENS, *tokens]
        self.ids = {token: index for index, token in enumerate(self.tokens)}
        if len(self.ids) != len(self.tokens):
            twice = next(token for token, count in Counter(self.tokens).items() if count > 1)
            raise UserError(f"vocabulary: {twice!r} is in it twice")

    def __len__(self) -> int:
        return len(self.tokens)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tokenizer) and self.to_json() == other.to_json()

    @abstractmethod
    def split(self, text: str) -> list[str]:
        """The pieces of `text`, known or not."""

    @abstractmethod
    def text_after(self, previous: str | None, piece: str) -> str:
        """What `piece` adds to a text whose last piece is `previous`, None at its beginning."""

    def join(self, pieces: Sequence[str]) -> str:
        """The text of `pieces`."""
        return "".join(map(self.text_after, [None, *pieces], pieces))

    def chunks(self, text: str | LargeText) -> Iterator[str]:
        """`text` in parts whose pieces are those of the whole, so that a long one never lies in memory as pieces."""
        yield str(text)

    def encode(self, text: str) -> list[int]:
        """Ids of `text`; pieces outside the vocabulary become `UNK`. No special token is added."""
        return [self.ids.get(piece, UNK) for piece in self.split(text)]

    def decode(self, ids: Iterable[int]) -> str:
        """Text of `ids`; special tokens are left out."""
        return self.join([self.tokens[index] for index in ids if index >= len(SPECIAL_TOKENS)])

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "tokens": self.tokens[len(SPECIAL_TOKENS) :]}

    @staticmethod
    def from_json(data: dict[str, Any]) -> Tokenizer:
        """The tokeniser that `to_json` wrote."""
        from textgen.text.subwords import SubwordTokenizer  # which stands on this module

        classes: tuple[type[Tokenizer], ...] = (
            CharTokenizer,
            WordTokenizer,
            ProseTokenizer,
            SubwordTokenizer,
        )
        kinds = {cls.kind: cls for cls in classes}
        kind = data.get("kind") if isinstance(data, dict) else None
        if not isinstance(kind, str) or kind not in kinds:
            raise UserError(f"vocabulary: unknown kind {kind!r}; known: {', '.join(kinds)}")
        return kinds[kind].restored(data)

    @classmethod
    def restored(cls, data: dict[str, Any]) -> Self:
        """The tokeniser of this class that `to_json` wrote."""
        tokens = data.get("tokens")
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            raise UserError("vocabulary: tokens must be a list of strings")
        options = {key: value for key, value in data.items() if key not in ("kind", "tokens")}
        try:
            return cls(tokens, **options)
        except TypeError as error:
            raise UserError(
                f"vocabulary: unknown options for kind {cls.kind}: {', '.join(options)}"
            ) from error


class CharTokenizer(Tokenizer):
    """One id a character."""

    kind = "char"
    break_token = "\n"

    @classmethod
    def fit(cls, texts: Iterable[str | LargeText], min_count: int = 1) -> CharTokenizer:
        """The characters seen at least `min_count` times, in code-point order."""
        counts: Counter[str] = Counter()
        for text in texts:
            for block in blocks_of(text):
                counts.update(block)
        return cls(sorted(char for char, count in counts.items() if count >= min_count))

    def chunks(self, text: str | LargeText) -> Iterator[str]:
        for block in blocks_of(text):
            yield from (block[start : start + _CHUNK] for start in range(0, len(block), _CHUNK))

    def split(self, text: str) -> list[str]:
        return list(text)

    def text_after(self, previous: str | None, piece: str) -> str:
        return piece


class WordTokenizer(Tokenizer):
    """One id a word of a sentence, split by the Penn Treebank rules.

    `lowercase` folds case; `punctuation=False` drops coco-caption's punctuation list, as captions want.
    """

    kind = "word"
    break_token = PARAGRAPH

    def __init__(self, tokens: Sequence[str], lowercase: bool = True, punctuation: bool = True):
        super().__init__(tokens)
        self.lowercase = lowercase
        self.punctuation = punctuation

    @classmethod
    def fit(
        cls,
        texts: Iterable[str | LargeText],
        min_count: int = 1,
        max_size: int | None = None,
        **options: bool,
    ) -> Self:
        """The words seen at least `min_count` times, the `max_size` most frequent first (ties in code-point order).

        `options` are the constructor's.
        """
        empty = cls([], **options)
        counts = Counter(
            piece for text in texts for part in empty.chunks(text) for piece in empty.split(part)
        )
        kept = [word for word, count in counts.items() if count >= min_count and word not in SPECIAL_TOKENS]
        return cls(sorted(kept, key=lambda word: (-counts[word], word))[:max_size], **options)

    def split(self, text: str) -> list[str]:
        return split_words(_clean(text), lowercase=self.lowercase, punctuation=self.punctuation)

    def text_after(self, previous: str | None, piece: str) -> str:
        return text_after(previous, piece)

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "lowercase": self.lowercase, "punctuation": self.punctuation}


class ProseTokenizer(WordTokenizer):
    """One id a word of running text: case kept, sentences and paragraphs found in it."""

    kind = "prose"

    def __init__(self, tokens: Sequence[str]):
        super().__init__(tokens, lowercase=False)

    def chunks(self, text: str | LargeText) -> Iterator[str]:
        held = ""
        for block in blocks_of(text):
            held += block
            start = 0
            while end := _end_of_chunk(held, start):
                yield held[start:end]
                start = end
            held = held[start:]
        if held:
            yield held

    def split(self, text: str) -> list[str]:
        return split_prose(_clean(text))

    def to_json(self) -> dict[str, Any]:
        return Tokenizer.to_json(self)


def _end_of_chunk(text: str, start: int) -> int:
    """Where a chunk that begins at `start` ends: behind a paragraph, else a line or a word; 0 where more must be read."""
    limit = start + _LONGEST
    found = PARAGRAPH_BREAK.search(text, start + _CHUNK, limit)
    if found and found.end() < min(limit, len(text)):  # else its white space may go on
        return found.end()
    if len(text) <= limit:
        return 0
    return max(text.rfind("\n", start, limit), text.rfind(" ", start, limit), start + _CHUNK) + 1


def _clean(text: str) -> str:
    return unicodedata.normalize("NFC", text)
