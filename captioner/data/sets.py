"""Rows of caption files become captions by picture, in splits; whether the pictures exist is asked last.

`examples` asks for them all and trains on what is there; `scorable` needs the captions only.
"""

import difflib
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol, TypeVar

from captioner.data.formats import CAPTION_FOLDERS, Listing, Row, recognise
from captioner.data.names import Finder, base_name, normal_name
from textgen.errors import UserError
from textgen.text.encodings import read_text

_SPLITS = {"train": "train", "restval": "train", "test": "test"}
_SPLITS |= dict.fromkeys(("dev", "val", "valid", "validation"), "dev")
SPLITS = ("train", "dev", "test")
_PICTURE_FOLDERS = [
    "Images",
    "images",
    "Flicker8k_Dataset",
    "Flickr8k_Dataset",
    "flickr30k_images",
    "train2017",
    "val2017",
]
_PICTURE_FOLDERS += ["test2017", "train2014", "val2014", "test2014"]


@dataclass
class Picture:
    """What the rows say of one picture; captions have their white space collapsed."""

    id: str
    name: str  # its file
    at: str  # where it was named first
    split: str | None = None  # one of SPLITS
    captions: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)  # where its empty captions stand, which are dropped
    also: dict[str, str] = field(default_factory=dict)  # Karpathy's imgid and cocoid


class _InSplit(Protocol):
    @property
    def split(self) -> str | None: ...


T = TypeVar("T", bound=_InSplit)


def in_split(name: str, items: Sequence[T]) -> list[T]:
    """Those in train, dev (also val, valid, validation), test, or all.

    Raises UserError, listing the splits with their sizes, when the name is unknown or the split is empty.
    """
    key = name.strip().lower()
    wanted = _SPLITS.get(key)
    if found := [item for item in items if key == "all" or item.split == wanted]:
        return found
    sizes = Counter(item.split for item in items)
    known = ", ".join(f"{split} ({sizes[split]:,})" for split in SPLITS)
    near = [] if wanted else difflib.get_close_matches(key, [*_SPLITS, "all"], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    problem = "is empty" if wanted else "is unknown"
    raise UserError(f"split {name!r} {problem}; there are {known}, all ({len(items):,}){hint}")


@dataclass
class CaptionSet:
    """Pictures by id (the file name as in the data, or COCO's image id), in the data's order."""

    form: str  # a name in formats.FORMS; empty for others
    path: Path  # as given: a folder, or a caption file
    files: list[Path]
    pictures: dict[str, Picture]
    listing: Listing
    notes: list[str]
    lists: list[Path] = field(default_factory=list)  # the split files, once they are applied

    @property
    def base(self) -> Path:
        """The folder of the data."""
        return _base(self.path)

    @cached_property
    def roots(self) -> list[Path]:
        """Folders in which split files and folders of pictures are looked for."""
        parents = dict.fromkeys([self.base, *(file.parent for file in self.files)])
        above = (p.parent for p in parents if p.name in CAPTION_FOLDERS and p.parent not in parents)
        return [*parents, *above]

    @cached_property
    def folders(self) -> list[str]:
        """Folders in which pictures are looked for."""
        stems = (file.stem.removeprefix("captions_") for file in self.files)
        names = dict.fromkeys([*stems, *_PICTURE_FOLDERS])
        nested = [os.path.join(name, name) for name in names]  # Kaggle's archives hold a folder in itself
        paths = [os.path.join(root, name) for root in self.roots for name in (*names, *nested)]
        return [folder for folder in [*paths, *map(str, self.roots)] if os.path.isdir(folder)]

    @cached_property
    def _finder(self) -> Finder:
        return Finder(self.folders, self.listing)

    def find(self, name: str) -> str | None:
        """The file of a picture, None where there is none."""
        return self._finder.find(name)

    def apply_splits(self) -> set[str]:
        """Check the splits the data gives, or apply split files; returns the ids that those leave out.

        Pictures that only a split file names are added without a caption; notes say what was done.
        """
        pictures, notes = self.pictures, self.notes
        without = [key for key, p in pictures.items() if p.captions and not p.split]
        if any(p.split for p in pictures.values()):
            if without:
                at = pictures[without[0]].at
                raise UserError(
                    f"{at}: picture {without[0]!r} has no split while others have one; give it one"
                )
            notes.append("split: as given in " + ", ".join(file.name for file in self.files))
            return set()
        lists = [root / name for root in self.roots for name in sorted(self.listing[str(root)])]
        lists = [file for file in lists if re.search(r"\.(train|dev|test)Images\.txt$", file.name)]
        self.lists = lists
        by_base: dict[str, list[str]] = {}
        for key, p in pictures.items():
            by_base.setdefault(base_name(p.name), []).append(key)
        for file in lists:
            split = file.name.split(".")[-2].removesuffix("Images")
            for name in map(normal_name, read_names(file)):
                # The captions may name folders that the split files do not, or the other way round.
                alike = by_base.get(base_name(name), []) if name not in pictures else []
                name = alike[0] if len(alike) == 1 else name
                picture = pictures.setdefault(name, Picture(name, name, str(file)))
                if picture.split not in (None, split):
                    both = f"{picture.split} and {split}"
                    raise UserError(f"{file}: picture {name!r} is in two splits, {both}; keep one")
                picture.split = split
        left_out = [key for key in without if lists and not pictures[key].split]
        notes += ["split: " + ", ".join(file.name for file in lists)] if lists else []
        if left_out:
            count = f"{len(left_out):,} captioned pictures are in no split file"
            notes.append(f"{count}, left out (first: {left_out[0]!r})")
        return set(left_out)

    def split_up(self, by_hash: bool = True) -> list[Picture]:
        """The pictures that are in a split, as `load_dataset` splits them; those split files alone name go.

        Without splits they are split by hash, or with `by_hash` false none is.
        """
        declared = dict(self.pictures)
        left_out = self.apply_splits()
        if bare := [key for key in self.pictures if key not in declared]:
            which = f"{len(bare):,} pictures of the split files have no captions"
            self.notes.append(f"{which}, left out (first: {bare[0]!r})")
        self.pictures = declared
        kept = [p for key, p in declared.items() if key not in left_out]
        if by_hash and not any(p.split for p in kept):
            split_by_hash([p for p in kept if p.captions], self.notes)
        return kept


def read_caption_set(path: Path) -> CaptionSet:
    """A folder of captioned pictures, or its caption file, in a form of `formats.FORMS`.

    Raises UserError for what is not recognised or could be read two ways, a malformed line, bytes that are
    not UTF-8, a picture in two splits.
    """
    listing = Listing()
    form, files, notes = recognise(path, listing)
    rows = ((file, row) for file in files for row in form.read(file, read_text(file)))
    return CaptionSet(form.name, path, files, _by_picture(rows, _base(path)), listing, notes)


def caption_set(file: Path, rows: Iterable[Row]) -> CaptionSet:
    """The same of rows that were read already from one file, in whatever form."""
    pictures = _by_picture(((file, row) for row in rows), file.parent)
    return CaptionSet("", file, [file], pictures, Listing(), [])


def checked(file: Path, row: Row) -> tuple[str, str]:
    """A row's picture and caption, its white space collapsed; refuses half characters and pictures unnamed."""
    name, caption = row.name.strip(), " ".join(row.caption.split()) if row.caption else ""
    if not name:
        raise UserError(f"{file}, {row.at}: no picture is named; write its file name, or delete the line")
    if not (name.isascii() and caption.isascii()):
        try:
            f"{name} {caption}".encode()
        except UnicodeEncodeError as error:  # JSON's \ud800: no file and no terminal would take it later
            half = "holds half a character (a lone surrogate)"
            raise UserError(f"{file}, {row.at}: {half}; write it anew") from error
    return name, caption


def read_names(file: Path) -> list[str]:
    """The names in a file of one a line, as Flickr_8k.devImages.txt."""
    return list(filter(None, map(str.strip, read_text(file).split("\n"))))


def _base(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _by_picture(rows: Iterable[tuple[Path, Row]], base: Path) -> dict[str, Picture]:
    pictures: dict[str, Picture] = {}
    inside = os.path.join(os.path.abspath(base), "")
    spelled: dict[str, str] = {}  # most names come five times
    for file, row in rows:
        name, caption = checked(file, row)
        if name not in spelled:  # one way, and relative where it can be, so that moving the folder moves none
            spelled[name] = normal_name(name).removeprefix(inside)
        name = spelled[name]
        key = row.id or name
        told = row.split.strip().lower() if row.split else ""
        if told and told not in _SPLITS:
            raise UserError(f"{file}, {row.at}: split {row.split!r} is unknown; write train, dev or test")
        split = _SPLITS.get(told)
        picture = pictures.get(key)
        if picture is None:
            at = f"{file}, {row.at}"
            picture = pictures[key] = Picture(key, name, at, split, also=dict(row.also or {}))
        if split and picture.split and split != picture.split:
            both = f"{picture.split} ({picture.at}) and {split}"
            raise UserError(f"{file}, {row.at}: picture {key!r} is in two splits, {both}; keep one")
        if picture.name != name:
            also = f"id {key!r} is another picture in {picture.at}"
            raise UserError(f"{file}, {row.at}: {also}; give each its own")
        picture.split = picture.split or split
        if caption:
            picture.captions.append(caption)
        elif row.caption is not None:
            picture.empty.append(f"{file}, {row.at}")
    return pictures


def split_by_hash(pictures: list[Picture], notes: list[str]) -> None:
    """80/10/10 by a hash of each name alone: neither the order nor further pictures move a picture."""
    place = {p.name: int(hashlib.sha256(p.name.encode()).hexdigest()[:12], 16) / 16**12 for p in pictures}
    order = sorted(pictures, key=lambda p: place[p.name])
    for p in order:
        p.split = "train" if place[p.name] < 0.8 else "dev" if place[p.name] < 0.9 else "test"
    notes.append("split: 80/10/10 by a hash of each picture's name (the data gives none)")
    if {"train", "dev"} <= {p.split for p in order}:
        return
    order[0].split = "train"
    if len(order) > 1 and not any(p.split == "dev" for p in order):
        order[max(sum(p.split == "train" for p in order) - 1, 1)].split = "dev"
    notes.append(
        "too few pictures to fill train and dev by hash: one was moved, more pictures may move it back"
    )
