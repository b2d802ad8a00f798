"""Hypotheses beside their references: what every metric counts from."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from captioner.metrics.ngrams import NGrams, Tokens, key
from textgen.errors import UserError


@dataclass(frozen=True, eq=False)
class Pairs:
    """B hypotheses and the R references of their pictures; every pair is a reference and its picture's hypothesis.

    M matches are entries of references whose n-gram the hypothesis holds, too.
    """

    ngrams: NGrams
    hypotheses: np.ndarray  # (B,) sentences of `ngrams`
    references: np.ndarray  # (R,) sentences of `ngrams`
    picture: np.ndarray  # (R,) the picture of a reference, ascending
    matched_pair: np.ndarray  # (M,) 0 to R - 1
    matched_hypothesis: np.ndarray  # (M,) an entry of `ngrams`
    matched_reference: np.ndarray  # (M,) an entry of `ngrams`
    known_common: np.ndarray | None = None  # `common`, where it is known already

    @classmethod
    def of(cls, hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> Pairs:
        """Pairs of token lists (B) with the token lists of each picture (B).

        Raises:
            UserError: unequal lengths, no pictures, a picture without references, an empty reference, or a
                string where a token list belongs.
        """
        check(hypotheses, references)
        flat = [tokens for others in references for tokens in others]
        picture = np.repeat(np.arange(len(references)), list(map(len, references)))
        ngrams = NGrams.of([*hypotheses, *flat])
        return cls.among(ngrams, np.arange(len(hypotheses)), len(hypotheses) + np.arange(len(flat)), picture)

    @classmethod
    def among(
        cls, ngrams: NGrams, hypotheses: np.ndarray, references: np.ndarray, picture: np.ndarray
    ) -> Pairs:
        """Pairs of sentences (B,) and (R,) that `ngrams` has counted."""
        ours, owner = ngrams.entries(hypotheses)
        theirs, pair = ngrams.entries(references)
        # Both sorted by picture and hypotheses by n-gram, too, so a binary search finds who shares an n-gram.
        our_keys = key(owner, ngrams.ngram[ours])
        their_keys = key(picture[pair], ngrams.ngram[theirs])
        place = np.searchsorted(our_keys, their_keys)
        there = place < len(our_keys)
        there[there] = our_keys[place[there]] == their_keys[there]
        return cls(
            ngrams,
            hypotheses,
            references,
            picture,
            pair[there],
            ours[place[there]],
            theirs[there],
        )

    def keep(self, kept: np.ndarray) -> Pairs:
        """The same hypotheses beside some of the references: `kept` (R,) is true for those."""
        matches = kept[self.matched_pair]
        return Pairs(
            self.ngrams,
            self.hypotheses,
            self.references[kept],
            self.picture[kept],
            (np.cumsum(kept) - 1)[self.matched_pair[matches]],
            self.matched_hypothesis[matches],
            self.matched_reference[matches],
            self.common[kept],
        )

    @cached_property
    def common(self) -> np.ndarray:
        """(R,) length of the longest common subsequence of each pair."""
        if self.known_common is not None:
            return self.known_common
        ours, theirs = self.hypotheses[self.picture].tolist(), self.references.tolist()
        return _common_lengths(self.ngrams.sentences, ours, theirs)

    @property
    def hypothesis_lengths(self) -> np.ndarray:
        """(B,) tokens."""
        return self.ngrams.lengths[self.hypotheses]

    @property
    def reference_lengths(self) -> np.ndarray:
        """(R,) tokens."""
        return self.ngrams.lengths[self.references]

    def first_pairs(self) -> np.ndarray:
        """(B,) where each picture's references begin, for `ufunc.reduceat`."""
        return np.searchsorted(self.picture, np.arange(len(self.hypotheses)))


def check(hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> None:
    """Raises UserError for what `Pairs.of` refuses."""
    check_references(references)
    if len(hypotheses) != len(references):
        raise UserError(f"{len(hypotheses)} hypotheses for {len(references)} pictures: give one for each")
    for index, tokens in enumerate(hypotheses):
        if isinstance(tokens, str):
            raise UserError(f"hypothesis {index} is a string, not a token list: call tokenize() first")


def check_references(references: Sequence[Sequence[Tokens]]) -> None:
    """Raises UserError when there are none, or what is no token list among them, or nothing."""
    if not len(references):
        raise UserError("there are no references: nothing to score")
    for index, others in enumerate(references):
        if isinstance(others, str) or any(isinstance(tokens, str) for tokens in others):
            raise UserError(
                f"references of picture {index}: a string, not token lists: call tokenize() first"
            )
        if not len(others) or not all(map(len, others)):
            raise UserError(f"references of picture {index}: at least one is needed and none may be empty")


def _common_lengths(sentences: Sequence[Tokens], ours: list[int], theirs: list[int]) -> np.ndarray:
    """(R,) length of the longest common subsequence of each pair."""
    lengths, last = [], -1
    positions: dict[Hashable, int] = {}
    for one, other in zip(ours, theirs, strict=True):
        if one != last:
            last, positions = one, {}
            for index, token in enumerate(sentences[one]):
                positions[token] = positions.get(token, 0) | 1 << index
            full = (1 << len(sentences[one])) - 1
        # Bit-parallel (Hyyro 2004): a zero in `row` is a position of ours where the subsequence grows.
        row = full
        for matches in filter(None, map(positions.get, sentences[other])):
            row = (row + (row & matches) | row - (row & matches)) & full
        lengths.append(full.bit_length() - row.bit_count())
    return np.array(lengths)
