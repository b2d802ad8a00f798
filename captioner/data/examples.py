"""Captioned pictures in the forms people have become one `Dataset`: split by picture, checked, counted.

Nothing is decoded here. Whatever is left out is counted in `Dataset.notes`; whatever would spoil a training
run (a leak between splits, more than 1 % of the pictures missing) is a `UserError`.
"""

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from captioner.data.sets import in_split, read_caption_set, split_by_hash
from textgen.errors import UserError
from textgen.storage.typed import is_address, typed_path

LONG_CAPTION = 100  # words; training cuts there
MISSING_LIMIT = 0.01  # of the pictures

_PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


@dataclass(frozen=True)
class Example:
    """One picture with its captions; `id` is the file name as in the data, or COCO's image id."""

    id: str
    path: Path
    captions: tuple[str, ...]
    split: str  # train, dev or test
    source: str = ""  # the data set's name, where there are several


@dataclass(frozen=True)
class Dataset:
    """Examples sorted by id; show `notes` before training; `hash` ignores where the folder is."""

    format: str  # the form that was recognised: a name in formats.FORMS
    examples: tuple[Example, ...]
    notes: tuple[str, ...]
    hash: str  # sha256 of ids, splits and captions; not of the pictures' bytes
    files: tuple[Path, ...] = field(default=(), compare=False)  # captions and splits were read from these

    @property
    def inputs(self) -> list[Path]:
        """All files that it is made of, the pictures among them: what no output may be written over."""
        return [*self.files, *(example.path for example in self.examples)]

    @property
    def sources(self) -> list[str]:
        """Names of the data sets, where there are several; else one that is empty."""
        return sorted({example.source for example in self.examples})

    def split(self, name: str) -> list[Example]:
        """The examples of train, dev (also val, valid, validation), test, or all.

        Raises UserError, listing the splits with their sizes, when the name is unknown or the split is empty.
        """
        return in_split(name, self.examples)


def load_dataset(path: str | Path) -> Dataset:
    """Read a folder of captioned pictures, or its caption file, in a form of `formats.FORMS`.

    Splits come from the data, else from Flickr_8k.*Images.txt, else from a hash of each picture's name. Of
    captions.txt and Flickr8k.token.txt side by side only captions.txt is read: both hold the same captions.
    White space within captions is collapsed.

    Raises UserError for a folder that is not recognised or could be read two ways, a malformed line, bytes
    that are not UTF-8, a picture in two splits, more than 1 % of the pictures missing, none usable.
    """
    path = typed_path(path)
    data = read_caption_set(path)
    left_out, pictures, notes = data.apply_splits(), data.pictures, data.notes
    found = {key: full for key, p in pictures.items() if (full := data.find(p.name))}
    bare = [key for key, p in pictures.items() if not p.captions]
    named = {
        os.path.dirname(full) for full in found.values()
    }  # only folders in use: COCO's others are no oddity
    rest = {os.path.join(folder, name) for folder in named for name in data.listing[folder]} - set(
        found.values()
    )
    bare += sorted(os.path.basename(full) for full in rest if full.lower().endswith(_PICTURE_SUFFIXES))
    wanted = {key: p for key, p in pictures.items() if p.captions and key not in left_out}
    if missing := [key for key in wanted if key not in found]:
        first = f"(first: {wanted[missing[0]].name!r})"
        if len(missing) > MISSING_LIMIT * len(wanted):
            count = f"{len(missing):,} of {len(wanted):,} pictures are missing {first}"
            if is_address(wanted[missing[0]].name):
                raise UserError(f"{path}: {count}: an address, not a file; download them, and name the files")
            folders = [os.path.relpath(folder, data.base) for folder in data.folders]
            others = [folder for folder in folders if folder != os.curdir]
            beside = " or ".join(["beside the captions", *([f"into {', '.join(others)}"] if others else [])])
            raise UserError(f"{path}: {count}; put them {beside}")
        captions = sum(len(wanted.pop(key).captions) for key in missing)
        notes.append(f"{captions:,} captions of {len(missing):,} missing pictures dropped {first}")
    notes += [f"{len(bare):,} pictures without caption left out (first: {bare[0]!r})"] if bare else []
    empty = sum(len(p.empty) for p in pictures.values())
    notes += [f"{empty:,} empty captions dropped"] if empty else []
    if not wanted:
        raise UserError(
            "; ".join([f"{path}: no captioned picture can be used, check the caption file", *notes])
        )
    if not any(p.split for p in wanted.values()):
        split_by_hash(list(wanted.values()), notes)
    seen: dict[str, str] = {}
    for key, p in wanted.items():  # two ids may lead to one file
        other = seen.setdefault(found[key], key)
        if wanted[other].split != p.split:
            both = f"{wanted[other].split} (as {other!r}) and {p.split} (as {key!r})"
            raise UserError(f"{found[key]}: picture is in two splits, {both}; name it one way, in one split")
        if os.path.dirname(wanted[other].name) != os.path.dirname(p.name):
            both = f"{wanted[other].name!r} and {p.name!r}"
            raise UserError(f"{path}: {both} would both be {found[key]}; put the pictures into those folders")
    order = sorted(wanted.items())
    examples = tuple(Example(key, Path(found[key]), tuple(p.captions), str(p.split)) for key, p in order)
    long = sum(len(c.split()) > LONG_CAPTION for e in examples for c in e.captions)
    notes += [f"{long:,} captions of more than {LONG_CAPTION} words, which training cuts"] if long else []
    canonical = json.dumps([[e.id, e.split, e.captions] for e in examples], separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return Dataset(data.form, examples, tuple(notes), digest, (*data.files, *data.lists))
