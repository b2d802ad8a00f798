"""Texts to train on, as a model reads them: a corpus, the vocabulary that is made of it, and ids."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textgen.errors import UserError
from textgen.text.corpus import Corpus, load_corpus
from textgen.text.encoding import Encoded, encode_texts, map_texts
from textgen.text.encodings import LargeText, blocks_of
from textgen.text.scripts import without_spaces
from textgen.text.tokenizer import SPECIAL_TOKENS, CharTokenizer, ProseTokenizer, Tokenizer
from textgen.training.processes import first, together
from textgen.training.runs import MAPPED


@dataclass(frozen=True)
class Texts:
    """A corpus and what is made of it."""

    corpus: Corpus
    tokenizer: Tokenizer
    train: Encoded
    held_out: Encoded
    test: Encoded | None
    """Of the files to be judged by once; None where there are none."""

    @classmethod
    def read(
        cls,
        paths: Sequence[Path],
        dev: Sequence[Path],
        test: Sequence[Path],
        *,
        level: str,
        lines: bool,
        columns: Sequence[str],
        held_out: float,
        min_count: int,
        vocabulary: int,
        tokenizer: Tokenizer | None = None,
        mapped: Path | None = None,
    ) -> Texts:
        """The files `paths`, judged by their tails or by `dev`; with a `tokenizer` the vocabulary is its own.

        Running text that is too large for memory has its ids in the folder `mapped`, where one is given.

        Raises UserError for files that cannot be read, or that no vocabulary can be made of.
        """
        corpus = load_corpus(
            paths,
            lines=lines,
            columns=columns,
            held_out=held_out,
            whole_words=level == "word",
            dev=dev,
            test=test,
            large=mapped is not None,
        )
        if not any(corpus.train) or not any(corpus.held_out):
            raise UserError(f"corpus: too short to hold out a part ({corpus.split}); give more text")
        if level == "word" and without_spaces(_beginning(text) for text in corpus.train):
            raise UserError(
                "level: the text has no spaces between words; give --level char, or put spaces between them"
            )
        if tokenizer is None:
            tokenizer = _fitted(corpus, level, min_count, vocabulary)
        train = _encoded(tokenizer, corpus, mapped)
        held = encode_texts(tokenizer, corpus.held_out, corpus.lines)
        judged = None
        if corpus.test:
            try:
                judged = encode_texts(tokenizer, corpus.test, corpus.lines)
            except UserError as error:
                raise UserError(f"{' '.join(map(str, test))} (--test): {error}") from error
        return cls(corpus, tokenizer, train, held, judged)

    def provenance(self) -> dict[str, Any]:
        """What a model's `model.json` says of what it was trained on."""
        return {
            "data": list(self.corpus.names),
            "data_hash": self.corpus.hash,
            "split": self.corpus.split,
            "tokens": {"train": self.train.tokens, "held-out": self.held_out.tokens},
            "unknown": {"train": self.train.unknown, "held-out": self.held_out.unknown},
        }

    def described(self, parameters: int) -> str:
        """For the person who watches."""
        return (
            f"{self.train.tokens:,} tokens to train on, {self.held_out.tokens:,} held out ({self.corpus.split}; "
            f"{self.held_out.unknown / self.held_out.tokens:.2%} unknown), {len(self.tokenizer):,} in the vocabulary, "
            f"{parameters / 1e6:.2f} million parameters"
        )


def _beginning(text: str | LargeText) -> str:
    return next(blocks_of(text), "")


def _encoded(tokenizer: Tokenizer, corpus: Corpus, mapped: Path | None) -> Encoded:
    """What is learnt, as ids: in memory, or in a file of which several processes write one."""
    texts = [text for text in corpus.train if isinstance(text, str)]
    if len(texts) == len(corpus.train):
        return encode_texts(tokenizer, texts, corpus.lines)
    assert mapped is not None, "else no text is large"
    key = hashlib.sha256(f"{corpus.hash}{tokenizer.to_json()}".encode()).hexdigest()[:16]
    path = mapped / MAPPED.replace("*", key)
    with together():
        if first():
            for other in mapped.glob(MAPPED):
                if other != path:  # of a start with another corpus; gigabytes
                    other.unlink(missing_ok=True)
            map_texts(tokenizer, corpus.train, path)
    return map_texts(tokenizer, corpus.train, path)


def _fitted(corpus: Corpus, level: str, min_count: int, vocabulary: int) -> Tokenizer:
    if level == "char":
        tokenizer: Tokenizer = CharTokenizer.fit(corpus.train, min_count)
    else:
        size = vocabulary - len(SPECIAL_TOKENS)
        tokenizer = ProseTokenizer.fit(corpus.train, min_count, max_size=max(1, size))
    if len(tokenizer) == len(SPECIAL_TOKENS):
        raise UserError(f"min_count: nothing in the corpus is seen {min_count} times")
    return tokenizer
