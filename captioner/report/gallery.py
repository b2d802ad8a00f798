"""Pictures that a report shows: the best, the median, the worst, and those where two systems differ most."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from captioner.metrics import Corpus
from captioner.metrics.checks import Key
from captioner.network.decoding import Caption
from captioner.pictures.load import load_image
from captioner.pictures.refusals import ImageError

_SHOWN = 6  # pictures a section
_THUMBNAIL = 320  # pixels a side at most


@dataclass(frozen=True)
class Shown:
    """One picture of a gallery."""

    id: str
    caption: str
    scores: dict[str, float]
    """CIDEr and ROUGE-L of the caption, x100."""
    references: tuple[str, ...]
    other: str | None = None
    """The other system's caption, where two are compared."""
    other_scores: dict[str, float] | None = None
    thumbnail: bytes | None = None
    """A small JPEG, where the picture is at hand."""
    words: tuple[str, ...] = ()
    attention: np.ndarray | None = None
    """Where the model looked for each of `words`, (words, rows, columns), each summing to 1."""


@dataclass(frozen=True)
class Section:
    """Some pictures under a heading."""

    title: str
    explanation: str
    pictures: tuple[Shown, ...]


Look = Callable[[Path], Caption | None]
"""A picture's caption with its attention, where a model is at hand."""


def gallery(
    corpus: Corpus[Key], files: Mapping[Key, Path], other: Corpus[Key] | None = None, look: Look | None = None
) -> list[Section]:
    """The sections of a report on `corpus`; those of pictures at hand (`files`: id -> picture) show them."""

    def section(title: str, explanation: str, places: Iterable[int]) -> Section:
        shown = tuple(_shown(corpus, place, files, other, look) for place in places)
        return Section(title, explanation, shown)

    order = corpus.worst(len(corpus.ids))[::-1]
    if len(order) <= 3 * _SHOWN:
        sections = [section("All pictures", "By CIDEr, the best first.", order)]
    else:
        middle = (len(order) - _SHOWN) // 2
        sections = [
            section("Best", "The highest CIDEr.", order[:_SHOWN]),
            section("Median", "As many captions are better as are worse.", order[middle : middle + _SHOWN]),
            section("Worst", "The lowest CIDEr, the worst last.", order[-_SHOWN:]),
        ]
    if other is None:
        return sections
    ahead, behind = corpus.furthest(other, _SHOWN)
    return [
        section("Where these captions are furthest ahead", "By the difference of CIDEr.", ahead),
        section("Where they are furthest behind", "By the difference of CIDEr.", behind),
        *sections,
    ]


def _shown(
    corpus: Corpus[Key],
    place: int,
    files: Mapping[Key, Path],
    other: Corpus[Key] | None,
    look: Look | None,
) -> Shown:
    key = corpus.ids[place]
    file = files.get(key)
    looked = look(file) if look and file else None
    return Shown(
        str(key),
        corpus.predictions[place],
        _scores(corpus, place),
        tuple(corpus.references[place]),
        other.predictions[place] if other else None,
        _scores(other, place) if other else None,
        _thumbnail(file) if file else None,
        looked.words if looked else (),
        looked.attention if looked else None,
    )


def _scores(corpus: Corpus[Key], place: int) -> dict[str, float]:
    return {"CIDEr": float(corpus.cider[place]), "ROUGE-L": float(corpus.rouge_l[place])}


def _thumbnail(file: Path) -> bytes | None:
    """A small JPEG of a picture; None when it cannot be read, which is no reason to have no report."""
    try:
        picture = load_image(file, size=(_THUMBNAIL, _THUMBNAIL))
    except ImageError:
        return None
    picture.thumbnail((_THUMBNAIL, _THUMBNAIL))
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=80)
    return data.getvalue()
