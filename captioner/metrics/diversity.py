"""What the scores do not show: how varied captions are, how they end, what they repeat and copy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from textgen.text.words import NOT_FINAL

UNKNOWN = frozenset(["<unk>", "[unk]", "unk", "<unknown>"])


def diversity(
    hypotheses: Sequence[Sequence[str]], train: Iterable[Sequence[str]] | None = None
) -> dict[str, int | float | None]:
    """Numbers of captions, from their tokens (B); with the tokens of training captions, of copies of those, too.

    `distinct_captions`; `vocabulary`, distinct words; `mean_length`, words; `unfinished`, captions that end in a word
    that wants another (`a`, `with`); `repeated_trigram`; `unknown`, captions with an unknown word's sign;
    `copied`, captions that are a training caption word for word, None without `train`.
    """
    sentences = [tuple(tokens) for tokens in hypotheses]
    known = None if train is None else {tuple(tokens) for tokens in train}
    return {
        "distinct_captions": len(set(sentences)),
        "vocabulary": len(set().union(*sentences)),
        "mean_length": sum(map(len, sentences)) / len(sentences),
        "unfinished": sum(tokens[-1] in NOT_FINAL for tokens in sentences if tokens),
        "repeated_trigram": sum(map(_repeats, sentences)),
        "unknown": sum(not UNKNOWN.isdisjoint(tokens) for tokens in sentences),
        "copied": None if known is None else sum(tokens in known for tokens in sentences if tokens),
    }


def lengths(sentences: Iterable[Sequence[str]]) -> dict[int, int]:
    """Words -> number of sentences of as many."""
    return dict(sorted(Counter(map(len, sentences)).items()))


def _repeats(tokens: Sequence[str]) -> bool:
    trigrams = list(zip(tokens, tokens[1:], tokens[2:], strict=False))
    return len(set(trigrams)) < len(trigrams)
