"""Captioned pictures in the forms people have become one ``Dataset``: split by picture, checked, counted.

Nothing is decoded here. Whatever is left out is counted in ``Dataset.notes``; whatever would spoil a training
run (a leak between splits, more than 1 % of the pictures missing) is a ``UserError``.
"""

import csv
import difflib
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from textgen.errors import UserError

LONG_CAPTION = 100  # words; training cuts there
MISSING_LIMIT = 0.01  # of the pictures

_SPLITS = {"train": "train", "restval": "train", "test": "test"}
_SPLITS |= dict.fromkeys(("dev", "val", "valid", "validation"), "dev")
_COLUMNS = {
    "image": ("image", "image_name", "file", "filename", "file_name", "path", "image_path"),
    "caption": ("caption", "captions", "text", "comment"),
    "split": ("split",),
}
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
_CAPTION_FOLDERS = ("annotations", "Flickr8k_text")  # as COCO and the original Flickr8k unpack
_PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_MOST_LINES = 20  # of one quoted caption: a quote left open must not swallow the file


@dataclass(frozen=True)
class Example:
    """One picture with its captions; ``id`` is the file name as in the data, or COCO's image id."""

    id: str
    path: Path
    captions: tuple[str, ...]
    split: str  # train, dev or test


@dataclass(frozen=True)
class Dataset:
    """Examples sorted by id; show ``notes`` before training; ``hash`` ignores where the folder is."""

    format: str  # the form that was recognised: a name in FORMS
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


class _Row(NamedTuple):
    """What a reader yields: one caption (None: the picture is declared without one) and where it stands."""

    name: str
    caption: str | None
    split: str | None
    at: str
    id: str | None = None  # when it is not the name


@dataclass
class _Picture:
    name: str
    at: str
    split: str | None = None
    captions: list[str] = field(default_factory=list)


class _Listing(dict[str, frozenset[str]]):
    """Folder -> its files, each folder read once: asking the disk for every picture would take seconds."""

    def __missing__(self, folder: str) -> frozenset[str]:
        try:
            with os.scandir(folder or ".") as entries:
                self[folder] = frozenset(e.name for e in entries if not e.is_dir())
        except PermissionError as error:
            raise UserError(f"{folder}: may not be read ({error.strerror}); give yourself access") from error
        except (OSError, ValueError):  # no such folder, or a name no folder can have
            self[folder] = frozenset()
        return self[folder]


def load_dataset(path: str | Path) -> Dataset:
    """Read a folder of captioned pictures, or its caption file; ``FORMS`` lists what is understood.

    Splits come from the data, else from Flickr_8k.*Images.txt, else from a hash of each picture's name. Of
    captions.txt and Flickr8k.token.txt side by side only captions.txt is read: both hold the same captions.
    White space within captions is collapsed.

    Raises UserError for a folder that is not recognised or could be read two ways, a malformed line, bytes
    that are not UTF-8, a picture in two splits, more than 1 % of the pictures missing, none usable.
    """
    path, listing = Path(path), _Listing()
    base = path if path.is_dir() else path.parent
    form, files, notes = _recognise(path, listing)
    parents = dict.fromkeys([base, *(file.parent for file in files)])
    roots = [*parents, *(p.parent for p in parents if p.name in _CAPTION_FOLDERS and p.parent not in parents)]
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


def _collect(form: "Form", files: list[Path], base: Path) -> tuple[dict[str, _Picture], int]:
    """Pictures by id, and the number of empty captions dropped."""
    pictures: dict[str, _Picture] = {}
    empty, inside = 0, os.path.join(os.path.abspath(base), "")
    for file, row in ((f, row) for f in files for row in form.read(f, _text(f))):
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
    pictures: dict[str, _Picture], files: list[Path], roots: list[Path], listing: _Listing, notes: list[str]
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
        for name in filter(None, map(str.strip, _text(file).split("\n"))):
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


def _find(name: str, folders: list[str], listing: _Listing) -> str | None:
    paths = (os.path.normpath(os.path.join(folder, name)) for folder in folders)
    return next((p for p in paths if os.path.basename(p) in listing[os.path.dirname(p)]), None)


def _text(file: Path) -> str:
    try:
        data = file.read_bytes()
        return data.decode().removeprefix("\ufeff").replace("\r\n", "\n")
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{file}, line {line}: not UTF-8 at byte {error.start}; save it as UTF-8") from error


def _recognise(path: Path, listing: _Listing) -> tuple["Form", list[Path], list[str]]:
    """The form that fits, its files, and notes: a given file goes by its beginning, a folder by names too."""
    understood = "; ".join(f"{form.name}: {form.known or form.loose}" for form in FORMS)
    if path.is_file():
        if form := next((form for form in FORMS if form.fits(path, _head(path))), None):
            return form, [path], []
        raise UserError(
            f"{path}: not a caption file, begins {_head(path)[:40]!r}; understood are {understood}"
        )
    if not path.is_dir():
        raise UserError(
            f"{path}: no such folder; give the folder with captions and pictures, or the caption file"
        )
    names = [f"{folder}/{name}" for folder in _CAPTION_FOLDERS for name in listing[str(path / folder)]]
    names = sorted([*listing[str(path)], *names])
    odd = ""
    for which in ("known", "loose"):  # a predictions.csv beside captions.txt is no second dataset
        tried = [
            (f, path / n)
            for f in FORMS
            for n in names
            if any(fnmatchcase(n, g) for g in getattr(f, which).split())
        ]
        hits = [(form, file) for form, file in tried if form.fits(file, _head(file))]
        odd += "".join(f"; {file.name} begins {_head(file)[:40]!r}" for _, file in tried)
        notes = []
        if {form.name for form, _ in hits} == {"csv", "token"}:
            notes = [
                f"{file.name} not read, a second copy of the captions"
                for f, file in hits
                if f.name == "token"
            ]
            hits = [hit for hit in hits if hit[0].name == "csv"]
        files = [file for _, file in hits]
        one_set = {(form.name, file.parent) for form, file in hits if form.name == "coco"}  # one file a split
        if len(files) > 1 and not (len(one_set) == 1 and all(form.name == "coco" for form, _ in hits)):
            choice = ", ".join(file.relative_to(path).as_posix() for file in files)
            raise UserError(f"{path}: several caption files ({choice}); give the one to read, as {files[0]}")
        if hits:
            return hits[0][0], files, notes
    raise UserError(f"{path}: no captions recognised{odd}; understood are {understood}")


def _head(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return stream.read(65536).decode(errors="replace").removeprefix("\ufeff").lstrip()
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from error


class _Layout(NamedTuple):
    delimiter: str
    width: int
    columns: dict[str, int]


def _layout(head: str) -> _Layout | None:
    for delimiter in (",", "\t", ";", "|"):
        cells = [cell.strip().strip('"').lower() for cell in head.split("\n", 1)[0].split(delimiter)]
        columns = {c: cells.index(n) for c, names in _COLUMNS.items() for n in reversed(names) if n in cells}
        if {"image", "caption"} <= set(columns):
            return _Layout(delimiter, len(cells), columns)
    return None


def _read_csv(file: Path, text: str) -> Iterator[_Row]:
    lines = [line + "\n" for line in text.split("\n")]
    at = next(i for i, line in enumerate(lines) if line.strip())
    layout = _layout(lines[at].lstrip())
    assert layout, "the form fits, so the header does"
    at += 1
    while at < len(lines):
        cells, used = _record(lines, at, layout) if lines[at].strip() else ([], 1)
        if cells is None:
            raise UserError(
                f"{file}, line {at + 1}: malformed; write {layout.width} columns as the header names them"
            )
        if cells:
            cell = {column: cells[i] for column, i in layout.columns.items()}
            yield _Row(cell["image"], cell["caption"], cell.get("split"), f"line {at + 1}")
        at += used


def _record(lines: list[str], at: int, layout: _Layout) -> tuple[list[str] | None, int]:
    """The cells of the record at a line, and its lines; a last caption may hold commas unquoted."""
    delimiter, width, columns = layout
    if delimiter != "|":  # Flickr30k's results.csv, where quotation marks mean nothing
        reader = csv.reader(
            lines[at : at + _MOST_LINES], delimiter=delimiter, strict=True, skipinitialspace=True
        )
        try:
            cells = next(reader)
            if len(cells) >= width and not any(cell.strip() for cell in cells[width:]):
                return cells[:width], reader.line_num
        except csv.Error:
            pass  # a caption that begins with a quotation is no quoted caption
    cells = [cell.strip() for cell in lines[at].strip().split(delimiter, width - 1)]
    if delimiter == "|" and len(cells) == width - 1 and (match := re.fullmatch(r"(\d+)\s+(.+)", cells[-1])):
        cells[-1:] = match.groups()  # line 20,001 of results.csv lacks its second bar
    open_quote = delimiter != "|" and cells[-1].startswith('"') and cells[-1].count('"') % 2
    if columns["caption"] != width - 1 or len(cells) != width or open_quote:
        return None, 1
    return [*(cell.strip('"') for cell in cells[:-1]), cells[-1]], 1


def _read_token(file: Path, text: str) -> Iterator[_Row]:
    for number, line in enumerate(text.split("\n"), 1):
        if match := re.fullmatch(r"(.+?)#\d+\t(.*)", line):
            yield _Row(match[1], match[2], None, f"line {number}")
        elif line.strip():
            raise UserError(f"{file}, line {number}: malformed; write name.jpg#0, a tab, the caption")


def _json(file: Path, text: str, line: int = 1) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        at = f"line {line + error.lineno - 1}, column {error.colno}"
        raise UserError(f"{file}, {at}: not JSON ({error.msg}); the file may be cut short") from error
    except (RecursionError, ValueError) as error:  # nested too deeply, or a number of 5,000 digits
        raise UserError(f"{file}, line {line}: not the JSON of captions; give another file") from error


def _get(file: Path, at: str, item: Any, key: str, *kinds: type) -> Any:
    """item[key], checked, since JSON promises nothing; a bool is an int to Python only."""
    value = item.get(key) if isinstance(item, dict) else None
    if not isinstance(value, kinds) or isinstance(value, bool):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise UserError(f"{file}, {at}: malformed; {key!r} must be {wanted}, not {type(value).__name__}")
    return value


def _read_jsonl(file: Path, text: str) -> Iterator[_Row]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            at, item = f"line {number}", _json(file, line, number)
            there = item if isinstance(item, dict) else {}
            image, caption = (next((n for n in _COLUMNS[c] if n in there), c) for c in ("image", "caption"))
            name, split = _get(file, at, item, image, str), _get(file, at, item, "split", str, type(None))
            captions = _get(file, at, item, caption, str, list)
            captions = [captions] if isinstance(captions, str) else captions
            if not all(isinstance(one, str) for one in captions):
                raise UserError(f"{file}, {at}: malformed; {caption!r} must hold strings only")
            yield from (_Row(name, one, split, at) for one in captions or [None])


def _read_coco(file: Path, text: str) -> Iterator[_Row]:
    data = _json(file, text)
    told = set(re.findall("train|val|dev|test", file.stem))
    split = told.pop() if len(told) == 1 else None
    names = {}
    for i, image in enumerate(_get(file, "top level", data, "images", list)):
        key = str(_get(file, f"images[{i}]", image, "id", int, str))
        names[key] = _get(file, f"images[{i}]", image, "file_name", str)
        yield _Row(names[key], None, split, f"images[{i}]", key)
    for i, note in enumerate(_get(file, "top level", data, "annotations", list)):
        at = f"annotations[{i}]"
        key = str(_get(file, at, note, "image_id", int, str))
        # an annotation of no listed image goes on as a picture that will not be found, and is counted there
        yield _Row(names.get(key, f"image_id {key}"), _get(file, at, note, "caption", str), split, at, key)


def _read_karpathy(file: Path, text: str) -> Iterator[_Row]:
    for i, image in enumerate(_get(file, "top level", _json(file, text), "images", list)):
        at = f"images[{i}]"
        key, split = _get(file, at, image, "filename", str), _get(file, at, image, "split", str)
        name = os.path.join(_get(file, at, image, "filepath", str, type(None)) or "", key)
        yield _Row(name, None, split, at, key)
        for sentence in _get(file, at, image, "sentences", list):
            yield _Row(name, _get(file, at, sentence, "raw", str), split, at, key)


class Form(NamedTuple):
    """One form of captioned pictures: how to find its file, tell it by its beginning, and read it."""

    name: str
    known: str  # file names that settle it
    loose: str  # file names tried when no known one is there
    fits: Callable[[Path, str], bool]  # the file, its first 64 kB
    read: Callable[[Path, str], Iterator[_Row]]


def _is_token(file: Path, head: str) -> bool:
    return bool(re.match(r"[^\t\n]+#\d+\t", head))


def _is_karpathy(file: Path, head: str) -> bool:
    return file.suffix == ".json" and '"sentences"' in head


def _is_coco(file: Path, head: str) -> bool:
    return file.suffix == ".json" and any(
        key in head for key in ('"file_name"', '"image_id"', '"annotations"')
    )


def _is_jsonl(file: Path, head: str) -> bool:
    return file.suffix == ".jsonl" and head.startswith("{")


def _is_csv(file: Path, head: str) -> bool:
    return _layout(head) is not None


_TOKEN = "Flickr8k.token.txt Flickr8k_text/Flickr8k.token.txt results_20130124.token"
FORMS = (  # the first that fits a given file is taken: the loosest stands last
    Form("token", _TOKEN, "", _is_token, _read_token),
    Form("karpathy", "dataset.json dataset_*.json", "", _is_karpathy, _read_karpathy),
    Form("coco", "captions_*.json annotations/captions_*.json", "", _is_coco, _read_coco),
    Form("jsonl", "", "*.jsonl", _is_jsonl, _read_jsonl),
    Form("csv", "captions.txt captions.csv results.csv", "*.csv *.tsv", _is_csv, _read_csv),
)
