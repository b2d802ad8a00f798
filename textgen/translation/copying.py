"""What is copied, not translated: words with a capital that were never seen, and letters of another script.

In training some names that stand on both sides of a pair become others, invented or taken from elsewhere, so that they
are read off the sentence instead of being known by heart; or place holders, which a translator later puts in the place of
letters that its vocabulary lacks.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from textgen.text.subwords import PLACEHOLDERS
from textgen.translation.pairs import Pair

_WORD = re.compile(r"\w+")
_LETTERS = re.compile(r"[^\W\d_]+")
_ONSETS = [
    "b",
    "c",
    "d",
    "f",
    "g",
    "h",
    "j",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "t",
    "v",
    "w",
    "z",
    "br",
    "ch",
    "cl",
    "dr",
    "fr",
    "gr",
    "kn",
    "pl",
    "sch",
    "sh",
    "st",
    "th",
    "tr",
]
_VOWELS = ["a", "e", "i", "o", "u", "y", "ai", "ee", "ia", "io", "ou", "ü", "ö", "é"]
_ENDS = ["", "", "", "n", "r", "s", "l", "m", "ck", "tt", "nd", "x"]
_GAP = re.compile(r"[\W_]*")  # what may lie between two parts of one thing that is copied


def copied_words(pair: Pair) -> list[str]:
    """Words with a capital or a digit that stand in both sentences of a pair, in the order of the first."""
    there = set(_WORD.findall(pair[1]))
    found = dict.fromkeys(_WORD.findall(pair[0]))
    return [word for word in found if word in there and (word[0].isupper() or word[0].isdigit())]


class Renaming:
    """Pairs with some of their names replaced on both sides."""

    def __init__(self, pairs: Sequence[Pair], share: float):
        """`share` of the pairs that have such words get another; names are also taken from `pairs`."""
        self._share = share
        names = dict.fromkeys(
            word for pair in pairs for word in copied_words(pair) if word.isalpha() and len(word) > 1
        )
        self._names = list(names)

    def __call__(self, pair: Pair, rng: np.random.Generator) -> Pair:
        if rng.random() >= self._share:
            return pair
        words = copied_words(pair)[: len(PLACEHOLDERS)]
        if not words:
            return pair
        # Several place holders of one sentence are told apart by their order in it.
        if rng.random() < 0.4:
            new = dict(zip(words, PLACEHOLDERS, strict=False))
        else:
            new = {words[rng.integers(len(words))]: self._name(rng)}
        return _replaced(pair[0], new), _replaced(pair[1], new)

    def _name(self, rng: np.random.Generator) -> str:
        if self._names and rng.random() < 0.5:
            return _one(self._names, rng)
        syllables = [_one(_ONSETS, rng) + _one(_VOWELS, rng) for _ in range(rng.integers(1, 4))]
        return ("".join(syllables) + _one(_ENDS, rng)).capitalize()


def _one(parts: Sequence[str], rng: np.random.Generator) -> str:
    return parts[int(rng.integers(len(parts)))]


def _replaced(text: str, new: dict[str, str]) -> str:
    return _WORD.sub(lambda match: new.get(match[0], match[0]), text)


def seen_words(pairs: Iterable[Pair]) -> frozenset[str]:
    """The words of the first sentences of pairs, in small letters: whatever is not among them was never seen."""
    return frozenset(word for pair in pairs for word in _LETTERS.findall(pair[0].casefold()))


def are_sentences(pairs: Sequence[Pair]) -> bool:
    """Whether nearly all first sentences of pairs begin with a capital and end with a mark."""
    kept = sum(source[:1] == source[:1].upper() and not source[-1:].isalnum() for source, _ in pairs)
    return kept > 0.9 * len(pairs)


def packed_words(words: Iterable[str]) -> str:
    """Words as they are stored: sorted, compressed, base64."""
    return base64.b64encode(zlib.compress("\n".join(sorted(words)).encode(), 9)).decode()


def unpacked_words(stored: str) -> frozenset[str]:
    """What `packed_words` made. Raises ValueError for what it did not."""
    try:
        return frozenset(zlib.decompress(base64.b64decode(stored, validate=True)).decode().split("\n"))
    except (binascii.Error, zlib.error) as error:
        raise ValueError("words: damaged") from error


def _strange(text: str, seen: frozenset[str]) -> list[str]:
    """Words with a capital that were never seen, as they stand in `text`: names, most of them."""
    found = dict.fromkeys(word for word in _LETTERS.findall(text) if word[0].isupper() and len(word) > 2)
    return [word for word in found if word.casefold() not in seen]


def hide(
    text: str, known: Callable[[str], bool], seen: frozenset[str] = frozenset()
) -> tuple[str, tuple[str, ...]]:
    """`text` with a place holder for each stretch of letters that are not `known`, or of words with a capital that are not
    among those `seen`, where there are such; and the stretches.

    What is beyond the number of place holders stays, and is spelled in bytes.
    """
    letters = {letter: letter not in PLACEHOLDERS and known(letter) for letter in set(text)}
    unknown = "".join(letter for letter, fine in letters.items() if not fine)
    strange = _strange(text, seen) if seen else []
    if not unknown and not strange:
        return text, ()
    words = [rf"\b{re.escape(word)}\b" for word in sorted(strange, key=len, reverse=True)]
    odd = f"(?:{'|'.join([*words, *([f'[{re.escape(unknown)}]'] if unknown else [])])})"
    # Parts with nothing but spaces and marks between them are one: a whole sentence in another script is copied whole.
    stretch = re.compile(rf"{odd}(?:{_GAP.pattern}{odd})*")
    hidden: list[str] = []

    def replace(match: re.Match[str]) -> str:
        if len(hidden) == len(PLACEHOLDERS):
            return match[0]
        hidden.append(match[0])
        return PLACEHOLDERS[len(hidden) - 1]

    return stretch.sub(replace, text), tuple(hidden)


def reveal(text: str, hidden: Sequence[str]) -> str:
    """`text` with what was hidden in the place of its place holders; others are taken out."""
    for index, sign in enumerate(PLACEHOLDERS):
        text = text.replace(sign, hidden[index] if index < len(hidden) else "")
    return text
