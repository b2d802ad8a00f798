"""Texts with a label each, from the columns of a CSV."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from textgen.errors import UserError
from textgen.sequences.invisible import visible
from textgen.text.columns import read_columns
from textgen.text.encodings import read_text


@dataclass(frozen=True)
class Labelled:
    """Texts with their labels, in order."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    names: tuple[str, ...]
    """The files' names."""
    notes: tuple[str, ...] = ()
    """What was left out, for people."""

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels that there are, in order."""
        return tuple(sorted(set(self.labels)))

    @property
    def hash(self) -> str:
        """sha256 of all texts and labels in order."""
        digest = hashlib.sha256()
        for text in (*self.texts, *self.labels):
            digest.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
        return digest.hexdigest()

    def split(self, share: float, seed: int) -> tuple[Labelled, Labelled]:
        """A random `share` held out by `seed`: the rest, and that. Raises UserError where one would be empty."""
        order = np.random.default_rng(seed).permutation(len(self))
        cut = round(len(order) * (1 - share))
        if not 0 < cut < len(order):
            raise UserError(
                f"held_out: {share} of {len(order)} texts leaves nothing to train on, or to judge by"
            )
        return self._part(np.sort(order[:cut])), self._part(np.sort(order[cut:]))

    def _part(self, places: np.ndarray) -> Labelled:
        texts, labels = (tuple(values[place] for place in places) for values in (self.texts, self.labels))
        return replace(self, texts=texts, labels=labels, notes=())


def as_read(text: str) -> str:
    """A text as classifiers learn and read it: lines and tabs are spaces, and what shows nothing is left out."""
    return " ".join(visible(text).split())


def load_labelled(paths: Sequence[Path], text: Sequence[str], label: str, least: int = 2) -> Labelled:
    """The rows of CSVs: their `text` columns joined by spaces, and their `label`; by name, or by number from 1.

    Raises UserError naming the file, also where there are less than `least` labels.
    """
    if label in text:
        raise UserError(f"label: {label!r} is among the columns of the texts, too")
    texts: list[str] = []
    labels: list[str] = []
    notes: list[str] = []
    if not paths:
        raise UserError("classes: no file given")
    for path in paths:
        rows, longer = read_columns(path, read_text(path), [*text, label], "--text, --label")
        whole = [
            row
            for row in rows
            if len(row) == len(text) + 1 and row[-1].strip() and as_read("".join(row[:-1]))
        ]
        if longer:
            notes.append(
                f"{path}: {longer:,} rows have more cells than the first; what is beyond is not read"
            )
        if left_out := len(rows) - len(whole):
            notes.append(f"{path}: {left_out:,} rows without a text or a label are left out")
        texts += (as_read(" ".join(row[:-1])) for row in whole)
        labels += (row[-1].strip() for row in whole)
    if not texts:
        raise UserError(f"{paths[0]}: no row has a text and a label in these columns")
    counts = Counter(labels)
    if len(counts) < least:
        raise UserError(f"{paths[0]}: --label: all rows have the label {labels[0]!r}; two or more are needed")
    if len(counts) > max(1000, len(labels) // 2):
        raise UserError(f"{paths[0]}: --label: {len(counts):,} labels of {len(labels):,} rows are no classes")
    return Labelled(tuple(texts), tuple(labels), tuple(path.name for path in paths), tuple(notes))
