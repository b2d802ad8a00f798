"""What a corpus must be for its scores to mean anything; and what to warn of when it is not quite that."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

from textgen.errors import UserError

# What vocabularies here and elsewhere call their markers; kept in captions, they are worth up to twenty BLEU-4.
_NAMES = r"""s w bos eos sos go start begin end stop pad null none sep cls mask eot eoc eod eop image img endofchunk
endoftext im_start im_end #?start#? #?end#? extra_id_\d+ unused\d+ dec enc start_token end_token""".split()  # noqa: SIM905
_MARKER = re.compile(
    rf"</?(?:{'|'.join(_NAMES)})>|\[/?(?:{'|'.join(_NAMES)})\]|<\|[^|<>\s]+\|>|##?(?:start|end)##?"
    r"|\b(?:start|end)_?(?:seq|token)\b",
    re.IGNORECASE,
)
_UNKNOWN = re.compile(r"<unk>|\[unk\]|<unknown>", re.IGNORECASE)
# WordPiece; SentencePiece; byte BPE, though Maltese has the letter; subword-nmt.
_PIECE = re.compile(r"(?:^|\s)##\w|\u2581\w|\u0120\w.*\u0120\w|@@(?:\s|$)")
_SUSPECT = re.compile(
    r"[<\[#@\u2581\u0120]|(?i:seq|token)"
)  # without one of these none of the above is there
_FRAMED = re.compile(
    r"\s*start\b.*\bend\s*$", re.IGNORECASE
)  # what Keras' Tokenizer leaves of <start> and <end>
_MOST_WITHOUT, _FEWEST_WITH = 0.1, 0.5  # shares of captions that make one side look cased, or punctuated

Key = TypeVar("Key", bound=Hashable)
"""A picture's id."""


class BadReferences(UserError):
    """A fault of the references, not of the predictions."""


def checked_ids(predictions: Mapping[Key, str], references: Mapping[Key, Sequence[str]]) -> list[Key]:
    """The pictures' ids, sorted: samples and shuffles then depend on what is scored, not on its order.

    Raises UserError for missing and unknown ids, pictures without references, what is no string, special tokens and
    pieces of words; it names the first and counts the others.
    """
    if not references:
        raise UserError("there are no references: nothing to score")
    ids = sorted(references, key=str)
    bare = [key for key in ids if isinstance(references[key], str) or not references[key]]
    _refuse(
        bare,
        "pictures without a list of references",
        "give each at least one caption, in a list",
        BadReferences,
    )
    missing = [key for key in ids if key not in predictions]
    _refuse(missing, "pictures without a prediction", "predict one caption for every picture with references")
    unknown = [key for key in predictions if key not in references]
    _refuse(unknown, "predictions for unknown pictures", "leave them out or add their references")
    odd = [
        key for key in ids if not all(isinstance(text, str) for text in (predictions[key], *references[key]))
    ]
    _refuse(odd, "captions that are not strings", "pass raw captions, not tokens")
    said = {key: [predictions[key]] for key in ids}
    truths = {key: references[key] for key in ids}
    _refuse_marked(said, "predictions", _MARKER, "a special token", "decode without special tokens")
    _refuse_marked(said, "predictions", _PIECE, "pieces of words", "join the pieces to words")
    # An unknown word's sign in a prediction matches nothing; in a reference it makes the model's failures hits.
    signs = re.compile(f"{_MARKER.pattern}|{_UNKNOWN.pattern}", re.IGNORECASE)
    remedy = "score against the captions as people wrote them"
    _refuse_marked(truths, "references", signs, "a special token", remedy, BadReferences)
    _refuse_marked(truths, "references", _PIECE, "pieces of words", remedy, BadReferences)
    for side, captions, kind in (("predictions", said, UserError), ("references", truths, BadReferences)):
        texts = [text for some in captions.values() for text in some]
        framed = sum(bool(_FRAMED.match(text)) for text in texts)
        if framed > 1 and framed >= len(texts) / 2:
            problem = f"{side} that begin with 'start' and end with 'end': {framed:,} of {len(texts):,}"
            raise kind(f"{problem}; take these marks out, they match each other")
    return ids


def refuse_empty(ids: Sequence[Hashable], references: Sequence[Sequence[Sequence[str]]]) -> None:
    """Raises UserError when among the references' tokens (B) there is one without a word."""
    empty = [
        key for key, sentences in zip(ids, references, strict=True) for tokens in sentences if not tokens
    ]
    _refuse(empty, "references without a word", "leave them out", BadReferences)


def looks_different(
    predictions: Sequence[str], references: Sequence[str]
) -> dict[tuple[str, str], list[str]]:
    """How the two sides write their raw captions differently: (the side that does, the side that does not) -> what."""
    found: dict[tuple[str, str], list[str]] = {}
    for what, does in (("have capitals", _is_cased), ("end in full stops", _is_stopped)):
        said = [[text for text in texts if text.strip()] for texts in (predictions, references)]
        if not all(said):
            continue
        shares = [sum(map(does, texts)) / len(texts) for texts in said]
        sides = sorted(zip(shares, ("predictions", "references"), strict=True), reverse=True)
        (most, with_it), (fewest, without) = sides
        if most >= _FEWEST_WITH and fewest <= _MOST_WITHOUT:
            found.setdefault((with_it, without), []).append(what)
    return found


def _is_cased(text: str) -> bool:
    return text != text.lower()


def _is_stopped(text: str) -> bool:
    return text.rstrip().endswith(".")


def _refuse_marked(
    captions: Mapping[Key, Sequence[str]],
    side: str,
    pattern: re.Pattern[str],
    what: str,
    remedy: str,
    kind: type[UserError] = UserError,
) -> None:
    marked = [
        (key, match[0])
        for key, texts in captions.items()
        for text in texts
        if _SUSPECT.search(text) and (match := pattern.search(text))
    ]
    if marked:
        key, sign = marked[0]
        raise kind(f"{side} with {what}: {len(marked):,}, the first is {sign!r} of picture {key!r}; {remedy}")


def _refuse(bad: Sequence[object], problem: str, remedy: str, kind: type[UserError] = UserError) -> None:
    if bad:
        raise kind(f"{problem}: {len(bad):,}, the first is {bad[0]!r}; {remedy}")
