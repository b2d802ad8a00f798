"""What a corpus must be for its scores to mean anything; and what to warn of when it is not quite that."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence

from textgen.errors import UserError

# What vocabularies here and elsewhere call their markers; kept in captions, they are worth up to 5 BLEU-4.
_MARKERS = (
    *("<pad>", "<bos>", "<eos>", "<s>", "</s>", "<sos>", "<start>", "<end>", "<mask>", "<|endoftext|>"),
    *("<|startoftext|>", "[PAD]", "[CLS]", "[SEP]", "[MASK]", "[BOS]", "[EOS]"),
)
_MARKER = re.compile("|".join([*map(re.escape, _MARKERS), r"\b(?:start|end)seq\b"]), re.IGNORECASE)
_UNKNOWN = re.compile(r"<unk>|\[unk\]|<unknown>", re.IGNORECASE)
_SUBWORD = re.compile(
    r"(?:^|\s)##\w|[\u2581\u0120]\w|@@(?:\s|$)"
)  # WordPiece; SentencePiece, byte BPE; subword-nmt
_MOST_WITHOUT, _FEWEST_WITH = 0.1, 0.5  # shares of captions that make one side look cased, or punctuated


def checked_ids(
    predictions: Mapping[Hashable, str], references: Mapping[Hashable, Sequence[str]]
) -> list[Hashable]:
    """The pictures' ids, sorted: samples and shuffles then depend on what is scored, not on its order.

    Raises UserError for missing and unknown ids, pictures without references, what is no string, special tokens and
    pieces of words; it names the first and counts the others.
    """
    if not references:
        raise UserError("there are no references: nothing to score")
    ids = sorted(references, key=str)
    bare = [key for key in ids if isinstance(references[key], str) or not references[key]]
    _refuse(bare, "pictures without a list of references", "give each at least one caption, in a list")
    missing = [key for key in ids if key not in predictions]
    _refuse(missing, "pictures without a prediction", "predict one caption for every picture with references")
    unknown = [key for key in predictions if key not in references]
    _refuse(unknown, "predictions for unknown pictures", "leave them out or add their references")
    odd = [
        key for key in ids if not all(isinstance(text, str) for text in (predictions[key], *references[key]))
    ]
    _refuse(odd, "captions that are not strings", "pass raw captions, not tokens")
    for pattern, what, remedy in (
        (_MARKER, "a special token", "decode without special tokens"),
        (_SUBWORD, "pieces of words", "join the pieces to words"),
    ):
        marked = [(key, match[0]) for key in ids if (match := pattern.search(predictions[key]))]
        _refuse(marked, f"predictions with {what}", remedy)
    # An unknown word's sign in a prediction matches nothing; in a reference it makes the model's failures hits.
    signs = re.compile(f"{_MARKER.pattern}|{_UNKNOWN.pattern}", re.IGNORECASE)
    marked = [(key, match[0]) for key in ids for text in references[key] if (match := signs.search(text))]
    _refuse(marked, "references with a special token", "score against the captions as people wrote them")
    return ids


def refuse_empty(ids: Sequence[Hashable], references: Sequence[Sequence[Sequence[str]]]) -> None:
    """Raises UserError when among the references' tokens (B) there is one without a word."""
    empty = [
        key for key, sentences in zip(ids, references, strict=True) for tokens in sentences if not tokens
    ]
    _refuse(empty, "references without a word", "leave them out")


def looks_different(
    predictions: Sequence[str], references: Sequence[str]
) -> dict[tuple[str, str], list[str]]:
    """How the two sides write their raw captions differently: (the side that does, the side that does not) -> what."""
    found: dict[tuple[str, str], list[str]] = {}
    for what, does in (("have capitals", _is_cased), ("end in full stops", _is_stopped)):
        shares = [sum(map(does, texts)) / max(len(texts), 1) for texts in (predictions, references)]
        sides = sorted(zip(shares, ("predictions", "references"), strict=True), reverse=True)
        (most, with_it), (fewest, without) = sides
        if most >= _FEWEST_WITH and fewest <= _MOST_WITHOUT:
            found.setdefault((with_it, without), []).append(what)
    return found


def _is_cased(text: str) -> bool:
    return text != text.lower()


def _is_stopped(text: str) -> bool:
    return text.rstrip().endswith(".")


def _refuse(bad: Sequence, problem: str, remedy: str) -> None:
    if bad:
        raise UserError(f"{problem}: {len(bad):,}, the first is {bad[0]!r}; {remedy}")
