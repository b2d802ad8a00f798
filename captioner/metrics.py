"""BLEU, ROUGE-L and CIDEr-D by coco-caption's protocol, without Java. Every score is x100.

The numbers equal those of coco-caption (github.com/tylin/coco-caption, packaged as pycocoevalcap) on the same
tokens. Sentences are sequences of hashable tokens: words for evaluation, ids for a training reward.
B is the number of pictures; `references[b]` holds every reference sentence of picture b.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from textgen.errors import UserError
from textgen.tokenizer import SPECIAL_TOKENS
from textgen.words import split_words

ORDERS = 4
ROUGE_BETA = 1.2
CIDER_SIGMA = 6.0
TOKENISER = "treebank-coco"

Tokens = Sequence[Hashable]
NGram = tuple[Hashable, ...]

# What vocabularies elsewhere call their markers; kept in a caption, they are worth up to 5 BLEU-4.
_MARKERS = (
    *SPECIAL_TOKENS,
    *("<s>", "</s>", "<sos>", "<start>", "<end>", "<mask>", "<|endoftext|>"),
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[BOS]", "[EOS]"),
)
_MARKER = re.compile("|".join([*map(re.escape, _MARKERS), r"\b(?:start|end)seq\b"]), re.IGNORECASE)


def tokenize(caption: str) -> list[str]:
    """coco-caption's tokens of one caption: lower case, Penn Treebank words, its punctuation list dropped."""
    return split_words(caption, lowercase=True, punctuation=False)


@dataclass(frozen=True)
class BleuScore:
    """Corpus BLEU with its parts."""

    scores: tuple[float, ...]  # BLEU-1 to BLEU-4, x100
    precisions: tuple[
        float, ...
    ]  # clipped n-gram precision of orders 1 to 4, x100; 0 where there are no n-grams
    brevity_penalty: float  # 0 to 1
    length_ratio: float  # hypothesis_length / reference_length
    hypothesis_length: int  # tokens
    reference_length: int  # tokens, the closest reference of each picture

    @classmethod
    def from_statistics(cls, statistics: np.ndarray) -> BleuScore:
        """The score of some rows (B, 10) of `bleu_statistics`: all of them, or a bootstrap sample."""
        length, reference_length, *counts = (int(total) for total in statistics.sum(axis=0))
        correct, total = counts[:ORDERS], counts[ORDERS:]
        # coco-caption's constants: they decide the score where an order has no n-grams or no match.
        product, scores = 1.0, []
        for order, (hits, tries) in enumerate(zip(correct, total, strict=True), start=1):
            product *= (hits + 1e-15) / (tries + 1e-9)
            scores.append(product ** (1 / order))
        penalty = 1.0
        if length < reference_length:
            penalty = math.exp(1 - reference_length / length) if length else 0.0
        return cls(
            scores=tuple(100 * penalty * score for score in scores),
            precisions=tuple(100 * hits / max(tries, 1) for hits, tries in zip(correct, total, strict=True)),
            brevity_penalty=penalty,
            length_ratio=length / reference_length,
            hypothesis_length=length,
            reference_length=reference_length,
        )


def bleu(hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> BleuScore:
    """Corpus BLEU-1 to BLEU-4 (Papineni et al. 2002), unsmoothed, closest reference length (tie: shorter).

    Args:
        hypotheses: one token list a picture (B); it may be empty.
        references: the token lists of each picture (B), at least one each, none empty.

    Raises:
        UserError: unequal lengths, no pictures, a picture without references, an empty reference, or a
            string where a token list belongs.
    """
    return BleuScore.from_statistics(bleu_statistics(hypotheses, references))


def bleu_statistics(hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> np.ndarray:
    """BLEU's counts by picture (B, 10): length, closest reference length, 4 x matches, 4 x n-grams.

    Their sums give the corpus score, so a bootstrap resamples rows. Arguments and errors as in `bleu`.
    """
    _check(hypotheses, references)
    rows = []
    for tokens, others in zip(hypotheses, references, strict=True):
        length = len(tokens)
        closest = min((len(other) for other in others), key=lambda n: (abs(n - length), n))
        counts = [_ngrams(other) for other in others]
        correct = [0] * ORDERS
        for ngram, count in _ngrams(tokens).items():
            correct[len(ngram) - 1] += min(count, max([other.get(ngram, 0) for other in counts]))
        rows.append([length, closest, *correct, *(max(0, length - n) for n in range(ORDERS))])
    return np.array(rows, dtype=np.int64)  # (B, 10)


def rouge_l(hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> np.ndarray:
    """ROUGE-L by picture (B,), x100 (Lin 2004, beta 1.2); the corpus score is the mean.

    As in coco-caption, precision and recall are each the best over the references, perhaps of different ones.
    Arguments and errors as in `bleu`; an empty hypothesis scores 0.
    """
    _check(hypotheses, references)
    scores = np.zeros(len(hypotheses))
    for index, (tokens, others) in enumerate(zip(hypotheses, references, strict=True)):
        common = _common_lengths(tokens, others)
        if not any(common):
            continue
        precision = max(common) / len(tokens)
        recall = max(length / len(other) for length, other in zip(common, others, strict=True))
        scores[index] = (1 + ROUGE_BETA**2) * precision * recall / (recall + ROUGE_BETA**2 * precision)
    return 100 * scores


class SentenceVector(NamedTuple):
    """One sentence as tf-idf weights."""

    weights: dict[NGram, float]  # raw count x idf
    norms: list[float]  # Euclidean norm of the weights of each order
    length: int  # tokens


@dataclass(frozen=True)
class CiderD:
    """CIDEr-D (Vedantam et al. 2015): coco-caption's `Cider`, on n-grams of orders 1 to 4.

    Clipped tf-idf cosine with a Gaussian length penalty, mean over the references.

    For evaluation the document frequencies come from the references being scored, so part of a split has
    another value than the whole. As a training reward they come from the training references; there, append
    the end token to hypotheses and references alike, or broken endings pay.
    """

    document_frequency: Mapping[NGram, int] = field(repr=False)  # pictures whose references hold the n-gram
    log_documents: float  # natural logarithm of the number of pictures

    @classmethod
    def from_references(cls, references: Sequence[Sequence[Tokens]]) -> CiderD:
        """Document frequencies of all n-grams; a document is the references (B) of one picture.

        Raises:
            UserError: as in `bleu`.
        """
        _check_references(references)
        frequency = Counter()
        for others in references:
            frequency.update(set().union(*map(_ngrams, others)))
        return cls(dict(frequency), math.log(len(references)))

    def prepare(self, references: Sequence[Sequence[Tokens]]) -> list[list[SentenceVector]]:
        """The references (B) as vectors, for any number of `score_prepared`. Errors as in `bleu`."""
        _check_references(references)
        return [[self._vector(other) for other in others] for others in references]

    def score(self, hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> np.ndarray:
        """CIDEr-D by picture (B,): coco-caption's value x100; 1000 at most.

        The corpus score is the mean. Arguments and errors as in `bleu`; an empty hypothesis scores 0, and so
        does everything when the document frequencies come from a single picture.
        """
        _check(hypotheses, references)
        return self.score_prepared(hypotheses, self.prepare(references))

    def score_prepared(
        self, hypotheses: Sequence[Tokens], prepared: Sequence[Sequence[SentenceVector]]
    ) -> np.ndarray:
        """`score` (N,) against references that `prepare` made: `prepared[n]` belongs to hypothesis n.

        For several samples a picture, repeat the picture's entry; entries are only read.
        """
        _check_hypotheses(hypotheses, len(prepared))
        scores = np.empty(len(hypotheses))
        for index, (tokens, others) in enumerate(zip(hypotheses, prepared, strict=True)):
            vector = self._vector(tokens)
            scores[index] = sum(_similarity(vector, other) for other in others) / len(others)
        return 100 * 10 * scores  # the paper's factor is 10

    def _vector(self, tokens: Tokens) -> SentenceVector:
        weights, squares = {}, [0.0] * ORDERS
        for ngram, count in _ngrams(tokens).items():
            weight = count * (self.log_documents - math.log(self.document_frequency.get(ngram, 1)))
            weights[ngram] = weight
            squares[len(ngram) - 1] += weight * weight
        return SentenceVector(weights, [math.sqrt(square) for square in squares], len(tokens))


def corpus_report(
    predictions: Mapping[Hashable, str], references: Mapping[Hashable, Sequence[str]]
) -> dict[str, Any]:
    """All metrics of one caption a picture, from raw strings.

    Args:
        predictions: picture id -> caption; an empty caption is allowed and scores 0.
        references: picture id -> its reference captions.

    Returns:
        `pictures`; `BLEU-1` to `BLEU-4`, `ROUGE-L`, `CIDEr` and `precisions`, x100, unrounded;
        `brevity_penalty`, `length_ratio`; `signature`: how the numbers were made, in one line;
        `warnings`: sentences about numbers that do not mean what they seem to.

    Raises:
        UserError: ids missing or unknown, a picture without references, an empty reference, a caption that is
            not a string, or a special token in a prediction; it names the first id and counts the others.
    """
    ids = _checked_ids(predictions, references)
    others = [[tokenize(text) for text in references[key]] for key in ids]
    empty = [key for key, sentences in zip(ids, others, strict=True) for tokens in sentences if not tokens]
    _refuse(empty, "references without a word", "leave them out")
    hypotheses = [tokenize(predictions[key]) for key in ids]
    score = bleu(hypotheses, others)
    counts = [len(sentences) for sentences in others]
    return {
        "pictures": len(ids),
        **{f"BLEU-{order}": value for order, value in enumerate(score.scores, start=1)},
        "ROUGE-L": float(rouge_l(hypotheses, others).mean()),
        "CIDEr": float(CiderD.from_references(others).score(hypotheses, others).mean()),
        "precisions": list(score.precisions),
        "brevity_penalty": score.brevity_penalty,
        "length_ratio": score.length_ratio,
        "signature": f"n:{len(ids)}|refs:{min(counts)}-{max(counts)}|tok:{TOKENISER}|case:lower"
        "|smooth:none|length:closest|cider-idf:these-references",
        "warnings": _warnings(ids, hypotheses),
    }


def _checked_ids(predictions: Mapping[Hashable, str], references: Mapping[Hashable, Sequence[str]]) -> list:
    if not references:
        raise UserError("there are no references: nothing to score")
    ids = list(references)
    bare = [key for key in ids if isinstance(references[key], str) or not references[key]]
    _refuse(bare, "pictures without a list of references", "give each at least one caption, in a list")
    missing = [key for key in ids if key not in predictions]
    _refuse(missing, "pictures without a prediction", "predict one caption for every picture with references")
    unknown = [key for key in predictions if key not in references]
    _refuse(unknown, "predictions for unknown pictures", "leave them out or add their references")
    captions = ((key, text) for key in ids for text in (predictions[key], *references[key]))
    odd = [key for key, text in captions if not isinstance(text, str)]
    _refuse(odd, "captions that are not strings", "pass raw captions, not tokens")
    found = ((key, _MARKER.search(predictions[key])) for key in ids)
    marked = [(key, match[0]) for key, match in found if match]
    _refuse(marked, "predictions with a special token", "decode without special tokens")
    return ids


def _refuse(bad: Sequence, problem: str, remedy: str) -> None:
    if bad:
        raise UserError(f"{problem}: {len(bad)}, the first is {bad[0]!r}; {remedy}")


def _warnings(ids: Sequence[Hashable], hypotheses: Sequence[Tokens]) -> list[str]:
    warnings = []
    empty = [key for key, tokens in zip(ids, hypotheses, strict=True) if not tokens]
    if empty:
        warnings.append(f"predictions without a word, which score 0: {len(empty)}, the first is {empty[0]!r}")
    longest = max(map(len, hypotheses))
    if longest < ORDERS:
        warnings.append(f"no prediction is over {longest} words: higher BLEU is coco-caption's constants")
    if len(ids) == 1:
        warnings.append("CIDEr needs several pictures: with one, every n-gram weighs log(1/1) = 0")
    return warnings


def _check(hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> None:
    _check_references(references)
    _check_hypotheses(hypotheses, len(references))


def _check_hypotheses(hypotheses: Sequence[Tokens], pictures: int) -> None:
    if len(hypotheses) != pictures:
        raise UserError(f"{len(hypotheses)} hypotheses for {pictures} pictures: give one for each")
    for index, tokens in enumerate(hypotheses):
        if isinstance(tokens, str):
            raise UserError(f"hypothesis {index} is a string, not a token list: call tokenize() first")


def _check_references(references: Sequence[Sequence[Tokens]]) -> None:
    if not len(references):
        raise UserError("there are no references: nothing to score")
    for index, others in enumerate(references):
        if isinstance(others, str) or any(isinstance(tokens, str) for tokens in others):
            raise UserError(
                f"references of picture {index}: a string, not token lists: call tokenize() first"
            )
        if not len(others) or not all(map(len, others)):
            raise UserError(f"references of picture {index}: at least one is needed and none may be empty")


def _ngrams(tokens: Tokens) -> Counter[NGram]:
    shifted = [tokens[n:] for n in range(ORDERS)]
    return Counter(chain.from_iterable(zip(*shifted[:order], strict=False) for order in range(1, ORDERS + 1)))


def _common_lengths(tokens: Tokens, others: Sequence[Tokens]) -> list[int]:
    """Length of the longest common subsequence of `tokens` with each of `others`."""
    # Bit-parallel (Hyyro 2004): a zero in `row` is a position of `tokens` where the subsequence grows.
    positions: dict[Hashable, int] = {}
    for index, token in enumerate(tokens):
        positions[token] = positions.get(token, 0) | 1 << index
    full = (1 << len(tokens)) - 1
    lengths = []
    for other in others:
        row = full
        for token in other:
            matches = row & positions.get(token, 0)
            row = (row + matches | row - matches) & full
        lengths.append(len(tokens) - row.bit_count())
    return lengths


def _similarity(hypothesis: SentenceVector, reference: SentenceVector) -> float:
    dots = [0.0] * ORDERS
    # In the hypothesis's order, not a set's: sums then do not depend on the hash seed.
    for ngram, weight in hypothesis.weights.items():
        other = reference.weights.get(ngram)
        if other is not None:
            dots[len(ngram) - 1] += min(weight, other) * other
    norms = zip(hypothesis.norms, reference.norms, strict=True)
    cosine = sum(dot / (a * b) for dot, (a, b) in zip(dots, norms, strict=True) if dot)
    delta = hypothesis.length - reference.length
    return cosine / ORDERS * math.exp(-(delta**2) / (2 * CIDER_SIGMA**2))
