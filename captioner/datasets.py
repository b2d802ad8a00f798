"""Captioned pictures in the forms people have become one `Dataset`: split by picture, checked, counted.

Nothing is decoded here. Whatever is left out is counted in `Dataset.notes`; whatever would spoil a training
run (a leak between splits, more than 1 % of the pictures missing) is a `UserError`.
"""

import difflib
import hashlib
import json
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from captioner.caption_files import CAPTION_FOLDERS, Form, Listing, read_text, recognise
from textgen.errors import UserError

LONG_CAPTION = 100  # words; training cuts there
MISSING_LIMIT = 0.01  # of the pictures

_SPLITS = {"train": "train", "restval": "train", "test": "test"}
_SPLITS |= dict.fromkeys(("dev", "val", "valid", "validation"), "dev")
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
_PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


@dataclass(frozen=True)
class Example:
    """One picture with its captions; `id` is the file name as in the data, or COCO's image id."""

    id: str
    path: Path
    captions: tuple[str, ...]
    split: str  # train, dev or test


@dataclass(frozen=True)
class Dataset:
    """Examples sorted by id; show `notes` before training; `hash` ignores where the folder is."""

    format: str  # the form that was recognised: a name in caption_files.FORMS
    examples: tuple[Example, ...]
    notes: tuple[str, ...]
    hash: str  # sha256 of ids, splits and captions; not of the pictures' bytes

    def split(self, name: str) -> list[Example]:
        """The examples of train, dev (also val, valid, validation), test, or all.

        Raises UserError, listing the splits with their sizes, when the name is unknown or the split is empty.
        """
        key = name.strip().lower()
        wanted = _SPLITS.get(key)
        if found := [e for e in self.examples if key == "all" or e.split == wanted]:
            return found
        sizes = Counter(e.split for e in self.examples)
        known = ", ".join(f"{split} ({sizes[split]:,})" for split in ("train", "dev", "test"))
        near = [] if wanted else difflib.get_close_matches(key, [*_SPLITS, "all"], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        problem = "is empty" if wanted else "is unknown"
        raise UserError(f"split {name!r} {problem}; there are {known}, all ({len(self.examples):,}){hint}")


@dataclass
class _Picture:
    name: str
    at: str
    split: str | None = None
    captions: list[str] = field(default_factory=list)


def load_dataset(path: str | Path) -> Dataset:
    """Read a folder of captioned pictures, or its caption file, in a form of `caption_files.FORMS`.

    Splits come from the data, else from Flickr_8k.*Images.txt, else from a hash of each picture's name. Of
    captions.txt and Flickr8k.token.txt side by side only captions.txt is read: both hold the same captions.
    White space within captions is collapsed.

    Raises UserError for a folder that is not recognised or could be read two ways, a malformed line, bytes
    that are not UTF-8, a picture in two splits, more than 1 % of the pictures missing, none usable.
    """
    path, listing = Path(path), Listing()
    base = path if path.is_dir() else path.parent
    form, files, notes = recognise(path, listing)
    parents = dict.fromkeys([base, *(file.parent for file in files)])
    roots = [*parents, *(p.parent for p in parents if p.name in CAPTION_FOLDERS and p.parent not in parents)]
    pictures, empty = _collect(form, files, base)
    left_out = _apply_splits(pictures, files, roots, listing, notes)
    folders = _picture_folders(roots, files)
    found = {key: full for key, p in pictures.items() if (full := _find(p.name, folders, listing))}
    bare = [key for key, p in pictures.items() if not p.captions]
    named = {
        os.path.dirname(full) for full in found.values()
    }  # only folders in use: COCO's others are no oddity
    rest = {os.path.join(folder, name) for folder in named for name in listing[folder]} - set(found.values())
    bare += sorted(os.path.basename(full) for full in rest if full.lower().endswith(_PICTURE_SUFFIXES))
    wanted = {key: p for key, p in pictures.items() if p.captions and key not in left_out}
    if missing := [key for key in wanted if key not in found]:
        first = f"(first: {wanted[missing[0]].name!r})"
        if len(missing) > MISSING_LIMIT * len(wanted):
            looked = ", ".join(os.path.relpath(folder, base) for folder in folders)
            count = f"{len(missing):,} of {len(wanted):,} pictures are missing {first}"
            raise UserError(f"{path}: {count}; put them into one of the folders looked in: {looked}")
        captions = sum(len(wanted.pop(key).captions) for key in missing)
        notes.append(f"{captions:,} captions of {len(missing):,} missing pictures dropped {first}")
    notes += [f"{len(bare):,} pictures without caption left out (first: {bare[0]!r})"] if bare else []
    notes += [f"{empty:,} empty captions dropped"] if empty else []
    if not wanted:
        raise UserError(
            "; ".join([f"{path}: no captioned picture can be used, check the caption file", *notes])
        )
    if not any(p.split for p in wanted.values()):
        _split_by_hash(list(wanted.values()), notes)
    seen: dict[str, str] = {}
    for key, p in wanted.items():  # two ids may lead to one file
        other = seen.setdefault(found[key], key)
        if wanted[other].split != p.split:
            both = f"{wanted[other].split} (as {other!r}) and {p.split} (as {key!r})"
            raise UserError(f"{found[key]}: picture is in two splits, {both}; name it one way, in one split")
    order = sorted(wanted.items())
    examples = tuple(Example(key, Path(found[key]), tuple(p.captions), str(p.split)) for key, p in order)
    long = sum(len(c.split()) > LONG_CAPTION for e in examples for c in e.captions)
    notes += [f"{long:,} captions of more than {LONG_CAPTION} words, which training cuts"] if long else []
    canonical = json.dumps([[e.id, e.split, e.captions] for e in examples], separators=(",", ":"))
    return Dataset(form.name, examples, tuple(notes), hashlib.sha256(canonical.encode()).hexdigest())


def _collect(form: Form, files: list[Path], base: Path) -> tuple[dict[str, _Picture], int]:
    """Pictures by id, and the number of empty captions dropped."""
    pictures: dict[str, _Picture] = {}
    empty, inside = 0, os.path.join(os.path.abspath(base), "")
    for file, row in ((f, row) for f in files for row in form.read(f, read_text(f))):
        at = f"{file}, {row.at}"
        if not row.name.strip():
            raise UserError(f"{at}: no picture is named; write its file name, or delete the line")
        # spelled one way, and relative where it can be, so that moving the folder moves no picture
        name = os.path.normpath(row.name.strip()).removeprefix(inside)
        key, caption = row.id or name, " ".join((row.caption or "").split())
        try:
            f"{name} {caption}".encode()
        except (
            UnicodeEncodeError
        ) as error:  # JSON's \ud800 alone: no file and no terminal would take it later
            raise UserError(f"{at}: holds half a character (a lone surrogate); write it anew") from error
        told = (row.split or "").strip().lower()
        if told and told not in _SPLITS:
            raise UserError(f"{at}: split {row.split!r} is unknown; write train, dev or test")
        split = _SPLITS.get(told)
        picture = pictures.setdefault(key, _Picture(name, at, split))
        if split and picture.split and split != picture.split:
            both = f"{picture.split} ({picture.at}) and {split}"
            raise UserError(f"{at}: picture {key!r} is in two splits, {both}; keep one")
        if picture.name != name:
            raise UserError(f"{at}: id {key!r} is another picture in {picture.at}; give each its own")
        picture.split = picture.split or split
        empty += row.caption is not None and not caption
        picture.captions += [caption] if caption else []
    return pictures, empty


def _apply_splits(
    pictures: dict[str, _Picture], files: list[Path], roots: list[Path], listing: Listing, notes: list[str]
) -> set[str]:
    """Check the split the data gives, or apply split files; returns the ids that those leave out."""
    without = [key for key, p in pictures.items() if p.captions and not p.split]
    if any(p.split for p in pictures.values()):
        if without:
            at = pictures[without[0]].at
            raise UserError(f"{at}: picture {without[0]!r} has no split while others have one; give it one")
        notes.append("split: as given in " + ", ".join(file.name for file in files))
        return set()
    lists = [root / name for root in roots for name in sorted(listing[str(root)])]
    lists = [file for file in lists if re.search(r"\.(train|dev|test)Images\.txt$", file.name)]
    for file in lists:
        split = file.name.split(".")[-2].removesuffix("Images")
        for name in filter(None, map(str.strip, read_text(file).split("\n"))):
            picture = pictures.setdefault(name, _Picture(name, str(file)))
            if picture.split not in (None, split):
                raise UserError(
                    f"{file}: picture {name!r} is in two splits, {picture.split} and {split}; keep one"
                )
            picture.split = split
    left_out = [key for key in without if lists and not pictures[key].split]
    notes += ["split: " + ", ".join(file.name for file in lists)] if lists else []
    if left_out:
        notes.append(
            f"{len(left_out):,} captioned pictures are in no split file, left out (first: {left_out[0]!r})"
        )
    return set(left_out)


def _split_by_hash(pictures: list[_Picture], notes: list[str]) -> None:
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


def _picture_folders(roots: list[Path], files: list[Path]) -> list[str]:
    names = dict.fromkeys([*(file.stem.removeprefix("captions_") for file in files), *_PICTURE_FOLDERS])
    nested = [os.path.join(name, name) for name in names]  # Kaggle's archives hold a folder in itself
    paths = [os.path.join(root, name) for root in roots for name in (*names, *nested)]
    return [folder for folder in [*paths, *map(str, roots)] if os.path.isdir(folder)]


def _find(name: str, folders: list[str], listing: Listing) -> str | None:
    paths = (os.path.normpath(os.path.join(folder, name)) for folder in folders)
    return next((p for p in paths if os.path.basename(p) in listing[os.path.dirname(p)]), None)
