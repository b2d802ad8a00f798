"""Text to ids and back: one id a character, or one id a word.

Ids 0 to 3 are the special tokens of every vocabulary; they never appear in decoded text.
"""

from __future__ import annotations

import re
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import ClassVar

from textgen.errors import UserError

PAD, BOS, EOS, UNK = range(4)
SPECIAL_TOKENS = ("<pad>", "<bos>", "<eos>", "<unk>")

# What coco-caption's PTBTokenizer wrapper throws away after splitting. Its list has brackets, too, but in
# capitals (-LRB-), which its lower-cased tokens never equal: brackets stay.
PUNCTUATION = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])


@lru_cache(maxsize=1)
def _treebank():
    # nltk takes 0.4 s to import and nothing at caption time needs it.
    from nltk.tokenize.treebank import TreebankWordTokenizer

    return TreebankWordTokenizer().tokenize


def split_words(text: str, *, lowercase: bool = True, punctuation: bool = True) -> list[str]:
    """Words by the Penn Treebank rules (`nltk`'s regular expressions; no downloaded data).

    With `lowercase=True, punctuation=False` these are coco-caption's tokens, its Java PTBTokenizer's minus its
    punctuation list, on all but 9 of Flickr8k's 35,000 train and dev captions (a final `D.C.`, a stray quote).
    """
    words = _treebank()(text.lower() if lowercase else text)
    if punctuation:
        return words
    return [word for word in words if word not in PUNCTUATION]


class Tokenizer(ABC):
    """A vocabulary with its rule for splitting text; subclasses say what the pieces are."""

    kind: ClassVar[str]

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
    def join(self, pieces: Sequence[str]) -> str:
        """The text of `pieces`."""

    def encode(self, text: str) -> list[int]:
        """Ids of `text`; pieces outside the vocabulary become `UNK`. No special token is added."""
        return [self.ids.get(piece, UNK) for piece in self.split(text)]

    def decode(self, ids: Iterable[int]) -> str:
        """Text of `ids`; special tokens are left out."""
        return self.join([self.tokens[index] for index in ids if index >= len(SPECIAL_TOKENS)])

    def to_json(self) -> dict:
        return {"kind": self.kind, "tokens": self.tokens[len(SPECIAL_TOKENS) :]}

    @staticmethod
    def from_json(data: dict) -> Tokenizer:
        """The tokeniser that `to_json` wrote."""
        kinds = {cls.kind: cls for cls in (CharTokenizer, WordTokenizer)}
        kind = data.get("kind") if isinstance(data, dict) else None
        if not isinstance(kind, str) or kind not in kinds:
            raise UserError(f"vocabulary: unknown kind {kind!r}; known: {', '.join(kinds)}")
        tokens = data.get("tokens")
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            raise UserError("vocabulary: tokens must be a list of strings")
        options = {key: value for key, value in data.items() if key not in ("kind", "tokens")}
        return kinds[kind](tokens, **options)


class CharTokenizer(Tokenizer):
    """One id a character."""

    kind = "char"

    @classmethod
    def fit(cls, texts: Iterable[str], min_count: int = 1) -> CharTokenizer:
        """The characters seen at least `min_count` times, in code-point order."""
        counts = Counter()
        for text in texts:
            counts.update(text)
        return cls(sorted(char for char, count in counts.items() if count >= min_count))

    def split(self, text: str) -> list[str]:
        return list(text)

    def join(self, pieces: Sequence[str]) -> str:
        return "".join(pieces)


class WordTokenizer(Tokenizer):
    """One id a word, split by the Penn Treebank rules.

    `lowercase` folds case; `punctuation=False` drops coco-caption's punctuation list, as captions want.
    """

    kind = "word"

    def __init__(self, tokens: Sequence[str], lowercase: bool = True, punctuation: bool = True):
        super().__init__(tokens)
        self.lowercase = lowercase
        self.punctuation = punctuation

    @classmethod
    def fit(
        cls, texts: Iterable[str], min_count: int = 1, lowercase: bool = True, punctuation: bool = True
    ) -> WordTokenizer:
        """The words seen at least `min_count` times, most frequent first (ties in code-point order)."""
        counts = Counter()
        for text in texts:
            counts.update(split_words(_clean(text), lowercase=lowercase, punctuation=punctuation))
        kept = [word for word, count in counts.items() if count >= min_count and word not in SPECIAL_TOKENS]
        return cls(sorted(kept, key=lambda word: (-counts[word], word)), lowercase, punctuation)

    def split(self, text: str) -> list[str]:
        return split_words(_clean(text), lowercase=self.lowercase, punctuation=self.punctuation)

    def join(self, pieces: Sequence[str]) -> str:
        return join_words(pieces)

    def to_json(self) -> dict:
        return {**super().to_json(), "lowercase": self.lowercase, "punctuation": self.punctuation}


def _clean(text: str) -> str:
    return unicodedata.normalize("NFC", text)


# A lone ' was split from the end of a word: `dogs '`.
_NO_SPACE_BEFORE = re.compile(r" (?=(?:n't|'(?:s|m|d|re|ve|ll)?|[.,;:?!%)\]}]+)(?: |$))", re.IGNORECASE)
_NO_SPACE_AFTER = re.compile(r"(?:(?<=^)|(?<= ))([(\[{$]) ")
_QUOTES = re.compile(r"`` ?(.*?) ?''")


def join_words(words: Sequence[str]) -> str:
    """Treebank words as written English: `do n't` is `don't`, no space before a comma."""
    text = _NO_SPACE_AFTER.sub(r"\1", _NO_SPACE_BEFORE.sub("", " ".join(words)))
    return _QUOTES.sub(r'"\1"', text).replace("``", '"').replace("''", '"')
