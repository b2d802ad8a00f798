"""What a score is worth: the floor and the human level, on the same pictures and references."""

from __future__ import annotations

from typing import Any

import numpy as np

from captioner.metrics.cider import Weights
from captioner.metrics.pairs import Pairs
from captioner.metrics.statistics import SCORES, corpus_scores, statistics
from captioner.metrics.stopping import Check, go_on

_MOST_TURNS = 5
_ENOUGH = 5_000  # captions by humans


def anchors(pairs: Pairs, seed: int, check: Check = go_on) -> list[dict[str, Any]]:
    """Rows with `name`, `note`, `references` (fewest a picture) and the six scores, best first where it is known.

    A human, a reference of each picture speaking against the others; the captions on as many references, since more
    references score higher; the captions shuffled over the pictures; the reference that is nearest to all others, for
    every picture. Those that need two pictures, or two references a picture, are left out where there are not.
    """
    pictures = len(pairs.hypotheses)
    fewest = int(np.bincount(pairs.picture).min())
    generator = np.random.default_rng(seed)
    found = []
    if fewest > 1:
        # References differ by their place in a file, so who speaks first is drawn; the more pictures, the fewer turns.
        turns = min(fewest, _MOST_TURNS, -(-_ENOUGH // pictures))
        first = generator.integers(2**31, size=pictures)
        scored = []
        for turn in range(turns):
            check()
            scored.append(_turn(pairs, first + turn))
        human, ours = np.mean(scored, axis=0)
        note = f"{turns} of the references in turn against the others" + ", mean" * (turns > 1)
        found.append(_row("a human", note, fewest - 1, human))
        found.append(_row("these captions", "against the references that the human had", fewest - 1, ours))
    if pictures > 1:
        check()
        weights = Weights.of_references(pairs)
        order = generator.permutation(pictures)
        shuffled = np.empty_like(order)
        shuffled[order] = np.roll(order, 1)  # one cycle: no picture keeps its caption
        central = _central(pairs, weights)
        caption = " ".join(map(str, pairs.ngrams.sentences[central]))
        for name, note, said in (
            ("these captions, shuffled", "over the pictures", pairs.hypotheses[shuffled]),
            ("one caption for all", caption, np.full(pictures, central)),
        ):
            check()
            spoken = Pairs.among(pairs.ngrams, said, pairs.references, pairs.picture)
            found.append(_row(name, note, fewest, corpus_scores(statistics(spoken, weights))))
    return found


def _row(name: str, note: str, references: int, scores: np.ndarray) -> dict[str, Any]:
    return {
        "name": name,
        "note": note,
        "references": int(references),
        **dict(zip(SCORES, scores.tolist(), strict=True)),
    }


def _turn(pairs: Pairs, turn: np.ndarray) -> np.ndarray:
    """Scores (2, 6) of a reference of each picture, and of the captions, against the other references.

    `turn` (B,) says which speaks, counted round.
    """
    speaks = np.zeros(len(pairs.references), bool)
    speaks[pairs.first_pairs() + turn % np.bincount(pairs.picture)] = True
    ours = pairs.keep(~speaks)
    human = Pairs.among(pairs.ngrams, pairs.references[speaks], ours.references, ours.picture)
    weights = Weights.of_references(ours)
    return np.array([corpus_scores(statistics(one, weights)) for one in (human, ours)])


def _central(pairs: Pairs, weights: Weights) -> int:
    """The sentence among the references whose tf-idf is nearest to the mean of all."""
    ngrams = pairs.ngrams
    entries, owner = ngrams.entries(pairs.references)
    ngram = ngrams.ngram[entries]
    norm = weights.norm[ngrams.sentence[entries], ngrams.order[ngram]]
    unit = weights.weight[entries] / np.where(norm > 0, norm, 1)
    mean = np.bincount(ngram, unit, len(ngrams.order))
    return int(pairs.references[np.bincount(owner, unit * mean[ngram]).argmax()])
