"""English words: split out of captions or running prose, and put together again as written.

Splitting follows the Penn Treebank (`nltk`'s regular expressions; no downloaded data): `don't` is `do n't`, opening
and closing double quotes are two backquotes and two apostrophes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

# What coco-caption's PTBTokenizer wrapper throws away after splitting. Its list has brackets, too, but in
# capitals (-LRB-), which its lower-cased tokens never equal: brackets stay.
PUNCTUATION = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])

# A caption that stops after one of these is not finished.
NOT_FINAL = frozenset(
    """a an the and or of in on at to with by from for into onto near over under through as while
is are his her its their another some""".split()  # noqa: SIM905 - words read best as a text
)

PARAGRAPH = "\n\n"
"""The word between two paragraphs of prose."""
PARAGRAPH_BREAK = re.compile(r"\n[^\S\n]*\n\s*")


@lru_cache(maxsize=1)
def _treebank() -> Callable[[str], list[str]]:
    # nltk takes 0.4 s to import and nothing at caption time needs it.
    from nltk.tokenize.treebank import TreebankWordTokenizer

    tokenize: Callable[[str], list[str]] = TreebankWordTokenizer().tokenize
    return tokenize


def split_words(text: str, *, lowercase: bool = True, punctuation: bool = True) -> list[str]:
    """Words of a sentence.

    With `lowercase=True, punctuation=False` these are coco-caption's tokens, its Java PTBTokenizer's minus its
    punctuation list, on all but 9 of Flickr8k's 35,000 train and dev captions (a final `D.C.`, a stray quote).
    """
    words = _treebank()(text.lower() if lowercase else text)
    if punctuation:
        return words
    return [word for word in words if word not in PUNCTUATION]


# While a text is split, which way its quotes open is kept in signs that no rule of the Treebank touches.
_OPEN, _CLOSE, _OPEN_SINGLE = "\ue000", "\ue001", "\ue002"
_QUOTE_WORDS = {_OPEN: "``", _CLOSE: "''", _OPEN_SINGLE: "`"}
_PLAIN = str.maketrans(
    {"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "―": "—", "…": "...", "\u00a0": " "}
)
_EMPHASIS = re.compile(r"(?<!\w)_+|(?<!_)_+(?!\w)")  # Project Gutenberg's italics
_DASH = re.compile(r"---+|(?<=\S)--|--(?=\S)")
# At the end of a text, a quote behind a space opens what a prompt leaves to be said; any other closes.
_OPENING = re.compile(r'(?:^|(?<=[\s(\[{<]))"(?=\S|$)|(?<=[—\'_])"(?=\S)')
_OPENING_SINGLE = re.compile(
    rf"(?:^|(?<=[\s(\[{{—{_OPEN}]))(?<!{_CLOSE} )'(?:(?=[\w—]| {_OPEN})(?!(?:tis|twas|twere|twill|em|til|cause)\b)"
    r"|(?<!—')$)",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(
    rf"(?<=[^\s.])\.(?=(?:\s*[')\]])*(?:\s*{_CLOSE}|$|—|\s+(?:[{_OPEN}{_OPEN_SINGLE}'(\[]\s*)*[A-Z]))"
)
_ABBREVIATIONS = frozenset(
    "Mr Mrs Ms Messrs Dr St Prof Rev Hon Capt Col Gen Lieut Lt Maj Sgt Sr Jr Esq Mme Mlle No Vol vs viz i.e e.g".split()  # noqa: SIM905
)


def split_prose(text: str) -> list[str]:
    """Words of running text, its case kept: sentences end inside it, and `PARAGRAPH` stands for a blank line.

    Line breaks within a paragraph are spaces; curly and straight quotes are the same; `word--word` has a dash.
    """
    words: list[str] = []
    for paragraph in PARAGRAPH_BREAK.split(text):
        if words and words[-1] != PARAGRAPH:
            words.append(PARAGRAPH)
        plain = " ".join(paragraph.translate(_PLAIN).split())
        if not plain:
            continue  # an empty prompt need not wait for nltk
        plain = _EMPHASIS.sub("", _DASH.sub("—", plain))
        plain = _OPENING.sub(f" {_OPEN} ", plain).replace('"', f" {_CLOSE} ")
        plain = _OPENING_SINGLE.sub(f" {_OPEN_SINGLE} ", plain)
        plain = _SENTENCE_END.sub(_end_sentence, plain).replace("—", " — ")
        words += [_QUOTE_WORDS.get(word, word) for word in _treebank()(plain)]
    return words


def _end_sentence(match: re.Match[str]) -> str:
    end = match.start()
    # More of a text without spaces would cost time and change nothing: no abbreviation is longer.
    word = match.string[max(0, end - 20) : end].split()[-1]
    word = word.lstrip(f"('[{_OPEN}{_OPEN_SINGLE}").rpartition("—")[2]
    initial = len(word) == 1 and word.isupper() and word != "I"
    at_the_end = match.end() == len(match.string)
    return match[0] if (initial or word in _ABBREVIATIONS) and not at_the_end else " . "


_SHOWN = {"``": '"', "''": '"', "`": "'"}
_AFTER_A_WORD = re.compile(r"(?:n't|'(?:s|m|d|re|ve|ll)?|''|—|[.,;:?!%)\]}]+)", re.IGNORECASE)
_BEFORE_A_WORD = frozenset(["(", "[", "{", "$", "``", "`", "—", PARAGRAPH])
# Words that the Treebank takes apart.
_PAIRS = frozenset(
    tuple(pair.split())
    for pair in (
        "can not",
        "gim me",
        "gon na",
        "got ta",
        "lem me",
        "wan na",
        "'t is",
        "'t was",
        "d 'ye",
        "more 'n",
        "& c",
        "& c.",
    )
)


def text_after(previous: str | None, word: str) -> str:
    """What `word` adds to a text whose last word is `previous`, as written English: `n't` adds `n't` to `do`."""
    shown = _SHOWN.get(word, word)
    if previous is None or word == PARAGRAPH:
        return shown
    attached = previous in _BEFORE_A_WORD or _AFTER_A_WORD.fullmatch(word)
    return shown if attached or (previous.lower(), word.lower()) in _PAIRS else f" {shown}"
