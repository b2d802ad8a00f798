"""CIDEr-D (Vedantam et al. 2015), coco-caption's `Cider`: for reports, and as the reward of self-critical training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from captioner.metrics.ngrams import ORDERS, NGram, NGrams, Tokens, key, parts
from captioner.metrics.pairs import Pairs, check_references

SIGMA = 6.0


def cider(hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> np.ndarray:
    """CIDEr-D by picture (B,): coco-caption's value x100, 1000 at most; the corpus score is the mean.

    Clipped tf-idf cosine of n-grams of orders 1 to 4 with a Gaussian length penalty, mean over the references.
    The document frequencies come from the references being scored, so part of a split has another value than
    the whole. Arguments and errors as in `bleu`; an empty hypothesis scores 0, and so does everything when
    there is a single picture.
    """
    return cider_of(Pairs.of(hypotheses, references))


@dataclass(frozen=True, eq=False)
class Weights:
    """tf-idf of counted sentences."""

    weight: np.ndarray = field(repr=False)  # (E,) of each entry
    norm: np.ndarray = field(repr=False)  # (S, 4) Euclidean, of each order

    @classmethod
    def of(cls, ngrams: NGrams, idf: np.ndarray) -> Weights:
        """`idf` (G,) is what an n-gram weighs each time it is said."""
        weight = ngrams.count * idf[ngrams.ngram]
        cells = ngrams.sentence * ORDERS + ngrams.order[ngrams.ngram]
        squares = np.bincount(cells, weight**2, len(ngrams.lengths) * ORDERS)
        return cls(weight, np.sqrt(squares).reshape(-1, ORDERS))

    @classmethod
    def of_references(cls, pairs: Pairs) -> Weights:
        """With the document frequencies of the references of `pairs`."""
        frequency = document_frequency(pairs.ngrams, pairs.references, pairs.picture)
        # One function for both logarithms: what stands everywhere must weigh exactly 0.
        return cls.of(pairs.ngrams, np.log(len(pairs.hypotheses)) - np.log(np.maximum(frequency, 1)))


def cider_of(pairs: Pairs, weights: Weights | None = None) -> np.ndarray:
    """`cider` (B,) of pairs; with `weights`, where those of the references are known already."""
    ngrams = pairs.ngrams
    weights = weights or Weights.of_references(pairs)
    weight, norm = weights.weight, weights.norm
    ours, theirs = weight[pairs.matched_hypothesis], weight[pairs.matched_reference]
    cells = pairs.matched_pair * ORDERS + ngrams.order[ngrams.ngram[pairs.matched_reference]]
    size = len(pairs.references) * ORDERS
    dot = np.bincount(cells, np.minimum(ours, theirs) * theirs, size).reshape(-1, ORDERS)  # (R, 4)
    norms = norm[pairs.hypotheses[pairs.picture]] * norm[pairs.references]
    cosine = np.divide(dot, norms, out=np.zeros(dot.shape), where=norms > 0).mean(axis=1)
    delta = pairs.hypothesis_lengths[pairs.picture] - pairs.reference_lengths
    similarity = cosine * np.exp(-(delta**2) / (2 * SIGMA**2))  # (R,)
    sums = np.bincount(pairs.picture, similarity, len(pairs.hypotheses))
    return 100 * 10 * sums / np.bincount(pairs.picture)  # the paper's factor is 10


@dataclass(frozen=True)
class CiderD:
    """CIDEr-D with document frequencies from elsewhere: as a training reward, from the training references.

    There, append the end token to hypotheses and references alike, or broken endings pay.
    """

    document_frequency: Mapping[NGram, int] = field(repr=False)  # pictures whose references hold the n-gram
    log_documents: float  # natural logarithm of the number of pictures

    @classmethod
    def from_references(cls, references: Sequence[Sequence[Tokens]]) -> CiderD:
        """Document frequencies of all n-grams; a document is the references (B) of one picture.

        Raises:
            UserError: as in `bleu`.
        """
        check_references(references)
        flat = [tokens for others in references for tokens in others]
        picture = np.repeat(np.arange(len(references)), list(map(len, references)))
        ngrams = NGrams.of(flat)
        frequency = document_frequency(ngrams, np.arange(len(flat)), picture)
        return cls(dict(zip(ngrams.tokens, frequency.tolist(), strict=True)), float(np.log(len(references))))

    def score(self, hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> np.ndarray:
        """CIDEr-D by hypothesis (B,), x100. Arguments and errors as in `bleu`."""
        pairs = Pairs.of(hypotheses, references)
        known = self.document_frequency
        frequency = np.array([known.get(ngram, 1) for ngram in pairs.ngrams.tokens])
        return cider_of(pairs, Weights.of(pairs.ngrams, self.log_documents - np.log(frequency)))


def document_frequency(ngrams: NGrams, sentences: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """(G,) in how many pictures' sentences each n-gram stands; `picture` (R,) is that of each of `sentences`."""
    entries, owner = ngrams.entries(sentences)
    # Stable, since it merges runs that are sorted already: five times as fast here.
    keys = np.sort(key(picture[owner], ngrams.ngram[entries]), kind="stable")
    _, ngram = parts(keys[np.diff(keys, prepend=-1) > 0])
    return np.bincount(ngram, minlength=len(ngrams.order))
