"""Several data sets as one: each keeps its name and its splits, and no picture is learnt in one and judged by in another."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from captioner.data.examples import Dataset, Example, load_dataset
from captioner.pictures.files import told_apart
from captioner.pictures.similar import copies, difference_hashes
from textgen.errors import UserError


def load_datasets(paths: Sequence[Path]) -> Dataset:
    """One data set as `load_dataset` reads it, or several together.

    Of several, an example's `source` and the beginning of its id are its set's name: the last part of its path, or as
    many as tell it from the others. A picture in train of one set that stands, by content, in dev or test of another
    is left out of train, and counted. Raises UserError as `load_dataset` does, and for a set that is given twice.
    """
    if len(paths) == 1:
        return load_dataset(paths[0])
    if not paths:
        raise UserError("no data given; name one or more folders of captioned pictures")
    if len({path.resolve() for path in paths}) < len(paths):
        raise UserError("data: one folder is given twice; give each once")
    sets = [load_dataset(path) for path in paths]
    names = told_apart(paths)
    examples = [
        replace(example, id=f"{name}/{example.id}", source=name)
        for name, found in zip(names, sets, strict=True)
        for example in found.examples
    ]
    notes = [f"{name}: {note}" for name, found in zip(names, sets, strict=True) for note in found.notes]
    leaks = _leaks(examples)
    if leaks:
        first = next(iter(leaks.items()))
        notes.append(
            f"{len(leaks):,} pictures left out of train: they stand in dev or test of another set "
            f"(first: {first[0]!r} is {first[1]!r})"
        )
    digest = hashlib.sha256()
    for name, found in zip(names, sets, strict=True):
        digest.update(f"{name}\n{found.hash}\n".encode())
    return Dataset(
        ", ".join(dict.fromkeys(found.format for found in sets)),
        tuple(sorted((example for example in examples if example.id not in leaks), key=lambda e: e.id)),
        tuple(notes),
        digest.hexdigest(),
        tuple(file for found in sets for file in found.files),
    )


def _leaks(examples: Sequence[Example]) -> dict[str, str]:
    """Ids of train pictures -> the picture of dev or test of another set that each is a copy of."""
    hashes = difference_hashes([example.path for example in examples])
    found: dict[str, str] = {}
    for pair in copies(hashes):
        one, other = sorted((examples[place] for place in pair), key=lambda example: example.split != "train")
        if one.source != other.source and one.split == "train" and other.split != "train":
            found.setdefault(one.id, other.id)
    return found
