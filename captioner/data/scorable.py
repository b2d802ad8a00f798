"""Captions to score, with their references: files of any origin, matched picture by picture.

Nothing is scored in part: a picture without its prediction, or a prediction without its picture, is a
`UserError` that says what to do. The pictures themselves need not be there.
"""

import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from captioner.data import sets
from captioner.data.names import base_name, normal_name
from captioner.data.predictions import Predictions, in_parallel, read_any, read_predictions, read_references
from captioner.data.sets import SPLITS, CaptionSet, Picture, in_split
from captioner.pictures.files import is_picture_name
from textgen.errors import UserError
from textgen.storage.typed import typed_path

_KIND = {True: "plain lines", False: "captions by picture"}
_NEARLY = 0.9  # of the pictures in common, and a split is named that the predictions were meant for


@dataclass(frozen=True)
class Scorable:
    """Captions and references of the same pictures, by the references' ids and in their order.

    Plain lines have the ids "1", "2", ... White space within captions is collapsed.
    """

    predictions: dict[str, str]  # may be empty strings
    references: dict[str, tuple[str, ...]]  # one or more each, none empty
    files: dict[str, Path]  # the picture files that are at hand
    notes: tuple[str, ...]  # for the person: how ids were matched, what was left out
    other: dict[str, str] | None  # a second system's captions
    read: tuple[Path, ...] = field(
        default=(), compare=False
    )  # where the references were read, where a folder of them was given


def read_scorable(
    predictions: Path,
    references: Sequence[Path],
    *,
    split: str | None = None,
    pictures: Path | None = None,
    other: Path | None = None,
) -> Scorable:
    """Read predictions and references: by picture, or plain lines in parallel files.

    Of references by picture (a folder as `load_dataset` takes it, or a file in a form of `formats` or
    `predictions`) all pictures are wanted, or those of `split`, or those that the file `pictures` names,
    one a line. Ids may be written otherwise than in the references: see `_SCHEMES`.

    Raises UserError for a file that cannot be read, an empty reference, plain lines beside captions by
    picture, unequal numbers of lines, and predictions that are not of exactly the pictures wanted.
    """
    given = [read_predictions(typed_path(file)) for file in (predictions, other) if file is not None]
    notes = [note for one in given for note in one.notes]
    truth = read_references([typed_path(file) for file in references])
    for one in given:
        if one.plain == isinstance(truth, CaptionSet):
            remedy = "give both by picture (JSON, JSONL or a table), or both as plain lines in one order"
            raise UserError(
                f"{one.file}: {_KIND[one.plain]}, but {references[0]} has {_KIND[not one.plain]}; {remedy}"
            )
    if not isinstance(truth, CaptionSet):
        for flag in [f for f, value in (("--split", split), ("--pictures", pictures)) if value is not None]:
            raise UserError(f"{flag}: plain lines name no pictures; leave it out")
        said = [in_parallel(one, truth, typed_path(references[0])) for one in given]
        return Scorable(said[0], truth, {}, tuple(notes), said[1] if other is not None else None)
    wanted = _wanted(truth, split, typed_path(pictures) if pictures is not None else None, notes)
    said = [wanted.captions_of(one, notes) for one in given]
    captions = {key: tuple(p.captions) for key, p in wanted.pictures.items()}
    named = {key: p.name for key, p in wanted.pictures.items() if is_picture_name(p.name)}
    files = {key: Path(file) for key, name in named.items() if (file := truth.find(name))}
    read = (*truth.files, *truth.lists)
    return Scorable(said[0], captions, files, tuple(notes), said[1] if other is not None else None, read)


def read_captions(path: Path, split: str = "train", by_hash: bool = False) -> list[str]:
    """All captions of a file or folder, in any form, plain lines too; where it has splits, of one only.

    `by_hash` splits what has no splits, as `read_scorable` does when it is asked for one.

    Raises UserError for what cannot be read, a split that is unknown or empty, and no captions at all.
    """
    found = read_any(typed_path(path))
    if isinstance(found, CaptionSet):
        pictures = [p for p in found.split_up(by_hash) if p.captions]
        if any(p.split for p in pictures):
            try:
                pictures = in_split(split, pictures)
            except UserError as error:
                raise UserError(f"{path}: {error}") from error
        captions = [caption for p in pictures for caption in p.captions]
    else:
        captions = [line for line in found if line]
    if not captions:
        raise UserError(f"{path}: holds no caption; give a file or folder of captions")
    return captions


def _stem(name: str) -> str:
    return os.path.splitext(base_name(name))[0] if is_picture_name(base_name(name)) else base_name(name)


def _number(name: str) -> str | None:
    match = re.fullmatch(r"(?:COCO_[a-z]+\d+_)?0*(\d+)(?:\.0)?", _stem(name))  # .0: what pandas makes of it
    return match and match[1]


class _Scheme(NamedTuple):
    """A way to write ids: what it makes of a picture of the references and of an id as given."""

    name: str
    of_picture: Callable[[Picture], str | None]
    of_id: Callable[[str], str | None]


_SCHEMES = (  # the first that fits all ids is taken
    _Scheme("the references' own", lambda p: p.id, str),
    _Scheme("file names", lambda p: p.name, normal_name),
    _Scheme("file names without folder", lambda p: base_name(p.name), base_name),
    _Scheme("file names without extension", lambda p: _stem(p.name), _stem),
    _Scheme("imgid", lambda p: p.also.get("imgid"), str),
    _Scheme("cocoid", lambda p: p.also.get("cocoid"), str),
    _Scheme("numbers, as the references' own", lambda p: _number(p.id), _number),
    _Scheme("numbers, as in the file names", lambda p: _number(p.name), _number),
)


def _matched(
    ids: Collection[str], wanted: Mapping[str, Picture], everything: Mapping[str, Picture]
) -> tuple[dict[str, str], str]:
    """ids as given -> the references' ids, as far as the best of _SCHEMES knows them; and its name.

    A scheme must tell the wanted pictures apart; the others are there to say whose an id is.
    """
    best: tuple[dict[str, str], str] = {}, _SCHEMES[0].name
    for name, of_picture, of_id in _SCHEMES:
        values = [(of_picture(p), key) for key, p in wanted.items()]
        known = {value: key for value, key in values if value is not None}
        if len(known) < sum(value is not None for value, _ in values):
            continue
        for key, p in everything.items():
            if (value := of_picture(p)) is not None:
                known.setdefault(value, key)
        fits = {i: known[value] for i in ids if (value := of_id(i)) is not None and value in known}
        if len(fits) > len(best[0]):
            best = fits, name
        if len(fits) == len(ids):
            break
    return best


@dataclass
class _Wanted:
    found: CaptionSet
    pictures: dict[str, Picture]  # those to score
    in_splits: list[Picture]  # empty when the splits were not asked for
    filters: dict[str, str]  # the person's --split and --pictures -> the same in words

    def captions_of(self, given: Predictions, notes: list[str]) -> dict[str, str]:
        """The captions of the pictures wanted; UserError when they are not of exactly those."""
        file, count = given.file, len(given.captions)
        fits, scheme = _matched(given.captions, self.pictures, self.found.pictures)
        if unknown := [i for i in given.captions if i not in fits]:
            where = f"are not in {self.found.path}, the first is {unknown[0]!r}"
            remedy = "add references for them, or take them out"
            if not fits:
                remedy = f"write them as there, like {next(iter(self.pictures))!r}"
            raise UserError(f"{file}: {len(unknown):,} of {count:,} ids {where}; {remedy}")
        ids: dict[str, str] = {}
        for i, key in fits.items():
            if (first := ids.setdefault(key, i)) != i:
                both = f"{given.at[first]} ({first!r}) and {given.at[i]} ({i!r})"
                raise UserError(f"{file}: picture {key!r} has two captions, in {both}; keep one")
        if outside := [i for i, key in fits.items() if key not in self.pictures]:
            where = f"{' and '.join(self.filters.values())}, the first is {outside[0]!r}"
            remedy = self._meant(ids) or f"leave out {' or '.join(self.filters)}, or these captions"
            what = f"{len(outside):,} of {count:,} captions are of pictures outside"
            raise UserError(f"{file}: {what} {where}; {remedy}")
        if missing := [key for key in self.pictures if key not in ids]:
            what = f"no prediction for {len(missing):,} of {len(self.pictures):,} pictures"
            remedy = self._meant(ids) or "add them, or name the pictures to score in a file for --pictures"
            raise UserError(f"{file}: {what}, the first is {missing[0]!r}; {remedy}")
        if scheme != _SCHEMES[0].name:
            i, key = next(iter(fits.items()))
            notes.append(f"{file}: ids are {scheme}, as {i!r} for {key!r}")
        return {key: given.captions[ids[key]] for key in self.pictures}

    def _meant(self, keys: Collection[str]) -> str:
        """The split that has just about these pictures, as a remedy; "" where none has."""
        if "--pictures" in self.filters:
            return ""
        if not self.in_splits:
            with suppress(UserError):  # splits at fault are no help, and neither are those that a hash makes
                self.in_splits = self.found.split_up(by_hash=False)
        splits = {
            name: {p.id for p in self.in_splits if name in (p.split, "all")} for name in (*SPLITS, "all")
        }
        splits = {name: there for name, there in splits.items() if there and there != self.pictures.keys()}
        for name, there in splits.items():
            if there == set(keys):
                return f"they are the pictures of split {name}: {'give' if self.filters else 'add'} --split {name}"
        for name, there in splits.items():
            if len(there.intersection(keys)) >= _NEARLY * max(len(keys), len(there)):
                return f"most are of split {name}: {'give' if self.filters else 'add'} --split {name}"
        return ""


def _wanted(found: CaptionSet, split: str | None, listed: Path | None, notes: list[str]) -> _Wanted:
    """The pictures to score, each with its references; notes say what else the filters left out."""
    wanted = _Wanted(found, dict(found.pictures), [], {})
    if split is not None:
        wanted.in_splits = found.split_up()
        wanted.pictures = {p.id: p for p in in_split(split, wanted.in_splits)}
        wanted.filters["--split"] = f"split {split}"
    notes += found.notes
    if listed is not None:
        names = sets.read_names(listed)
        fits, _ = _matched(names, wanted.pictures, found.pictures)
        if unknown := [name for name in names if name not in fits]:
            what = f"{len(unknown):,} of {len(names):,} pictures are not in {found.path}"
            raise UserError(
                f"{listed}: {what}, the first is {unknown[0]!r}; add their references, or take them out"
            )
        chosen = set(fits.values())
        if outside := chosen - wanted.pictures.keys():
            notes.append(
                f"{listed}: {len(outside):,} of {len(chosen):,} pictures are not in split {split}, left out"
            )
        wanted.pictures = {key: p for key, p in wanted.pictures.items() if key in chosen}
        wanted.filters["--pictures"] = f"the list {listed}"
        if not wanted.pictures:
            raise UserError(
                f"{listed}: names no picture{' of split ' + split if split else ''}; write a name a line"
            )
    for key, p in wanted.pictures.items():
        if p.empty:
            raise UserError(f"{p.empty[0]}: empty reference of picture {key!r}; write it, or delete it")
        if not p.captions:
            raise UserError(
                f"{p.at}: picture {key!r} has no reference; add one, or leave it out with --pictures"
            )
    return wanted
