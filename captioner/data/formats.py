"""Caption files in the forms people have -> rows: one caption each, with its picture and where it stands.

A file goes by its beginning, a folder by the names in it too. What cannot be read for certain is a
`UserError` that names the file and the place. Whether the pictures exist is no concern of this module.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from textgen.errors import UserError
from textgen.storage.typed import missing, why_unreadable
from textgen.text.encodings import beginning
from textgen.text.tables import DELIMITERS, MalformedRow, declared_delimiter, records

CAPTION_FOLDERS = ("annotations", "Flickr8k_text")  # as COCO and the original Flickr8k unpack
Columns = Mapping[str, tuple[str, ...]]  # image, caption and split -> what they are called, the first wins
COLUMNS: Columns = {
    "image": ("image", "image_name", "file", "filename", "file_name", "path", "image_path"),
    "caption": ("caption", "captions", "text", "comment"),
    "split": ("split",),
}
_UNDERSTOOD = (
    "a table (captions.csv) or JSON lines (captions.jsonl) with image and caption, or the captions of "
    "Flickr8k (Flickr8k.token.txt), COCO (captions_*.json) or Karpathy (dataset.json)"
)
_KINDS = {  # what JSON holds, in words
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


class Row(NamedTuple):
    """What a reader yields: one caption (None: the picture is declared without one) and where it stands."""

    name: str
    caption: str | None
    split: str | None
    at: str
    id: str | None = None  # when it is not the name
    also: Mapping[str, str] | None = None  # what else the picture is known by: Karpathy's imgid and cocoid


class Form(NamedTuple):
    """One form of captioned pictures: how to find its file, tell it by its beginning, and read it."""

    name: str
    known: str  # file names that settle it
    loose: str  # file names tried when no known one is there
    fits: Callable[[Path, str], bool]  # the file, its first 64 kB
    read: Callable[[Path, str], Iterator[Row]]


class Listing(dict[str, frozenset[str]]):
    """Folder -> its files, each folder read once: asking the disk for every picture would take seconds."""

    def __missing__(self, folder: str) -> frozenset[str]:
        try:
            with os.scandir(folder or ".") as entries:
                self[folder] = frozenset(e.name for e in entries if not e.is_dir())
        except PermissionError as error:
            why = why_unreadable(folder, error)
            raise UserError(f"{folder}: may not be read ({why}); give yourself access") from error
        except (OSError, ValueError):  # no such folder, or a name no folder can have
            self[folder] = frozenset()
        return self[folder]


def recognise(path: Path, listing: Listing) -> tuple[Form, list[Path], list[str]]:
    """The form that fits, its files, and notes: a given file goes by its beginning, a folder by names too."""
    if path.is_file():
        if form := next((form for form in FORMS if form.fits(path, _head(path))), None):
            return form, [path], []
        raise UserError(f"{path}: not a caption file, begins {_head(path)[:40]!r}; give {_UNDERSTOOD}")
    if not path.is_dir():
        told = "no such folder; give the folder with captions and pictures, or the caption file"
        raise UserError(f"{path}: {missing(path, told)}")
    names = [f"{folder}/{name}" for folder in CAPTION_FOLDERS for name in listing[str(path / folder)]]
    names = sorted([*listing[str(path)], *names])
    odd: dict[Path, str] = {}
    for which in ("known", "loose"):  # a predictions.csv beside captions.txt is no second dataset
        tried = [
            (f, path / n)
            for f in FORMS
            for n in names
            if any(fnmatchcase(n, g) for g in getattr(f, which).split())
        ]
        hits = [(form, file) for form, file in tried if form.fits(file, _head(file))]
        for file in dict.fromkeys(file for _, file in tried):
            odd[file] = f"; {file.name} begins {_head(file)[:40]!r}"
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
    raise UserError(f"{path}: no captions recognised{''.join(odd.values())}; give {_UNDERSTOOD}")


def _head(file: Path) -> str:
    return beginning(file).lstrip()


class _Layout(NamedTuple):
    delimiter: str
    width: int
    columns: dict[str, int]
    line: int  # of the header, from 0


def _layout(head: str, named: Columns) -> _Layout | None:
    lines = head.split("\n", 3)[:3]
    declared = declared_delimiter(lines)
    line = next((n for n, text in enumerate(lines) if text.strip() and not (declared and n == 0)), 0)
    for delimiter in (declared,) if declared else DELIMITERS:
        cells = [cell.strip().strip('"').lower() for cell in lines[line].split(delimiter)]
        columns = {c: cells.index(n) for c, names in named.items() for n in reversed(names) if n in cells}
        if {"image", "caption"} <= set(columns):
            return _Layout(delimiter, len(cells), columns, line)
    return None


def read_csv(file: Path, text: str, named: Columns = COLUMNS) -> Iterator[Row]:
    """The rows of a table with a header, a caption each; a caption in the last column may hold commas unquoted."""
    begin = len(text) - len(text.lstrip())
    layout = _layout(text[begin:], named)
    assert layout, "the form fits, so the header does"
    lines = text.split("\n")
    header = text.count("\n", 0, begin) + layout.line
    delimiter, width, columns, _ = layout
    lines[: header + 1] = [""] * (header + 1)
    if delimiter == "|":
        lines = [_with_second_bar(line, width) for line in lines]
    last = columns["caption"] == width - 1
    try:
        for record in records(lines, delimiter, width, open_end=last):
            cell = {column: record.cells[i] for column, i in columns.items()}
            yield Row(cell["image"], cell["caption"], cell.get("split"), f"line {record.line}")
    except MalformedRow as error:
        raise UserError(
            f"{file}, line {error.line}: {error.reason}; write {width} columns as the header names them"
        ) from error


def _with_second_bar(line: str, width: int) -> str:
    """Line 20,001 of Flickr30k's results.csv lacks its second bar."""
    cells = line.split("|")
    match = re.fullmatch(r"\s*(\d+)\s+(.+)", cells[-1])
    return "|".join([*cells[:-1], *match.groups()]) if len(cells) == width - 1 and match else line


def read_token(file: Path, text: str) -> Iterator[Row]:
    """The rows of Flickr8k.token.txt: name.jpg#0, a tab, a caption."""
    for number, line in enumerate(text.split("\n"), 1):
        if match := re.fullmatch(r"(.+?)#\d+\t(.*)", line):
            yield Row(match[1], match[2], None, f"line {number}")
        elif line.strip():
            raise UserError(f"{file}, line {number}: malformed; write name.jpg#0, a tab, the caption")


def parse_json(file: Path, text: str, line: int = 1) -> Any:
    """What the text holds; `line` is where in the file it begins, for the message when it is no JSON."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        at = f"line {line + error.lineno - 1}, column {error.colno}"
        raise UserError(f"{file}, {at}: not JSON ({error.msg}); the file may be cut short") from error
    except (RecursionError, ValueError) as error:  # nested too deeply, or a number of 5,000 digits
        raise UserError(f"{file}, line {line}: not the JSON of captions; give another file") from error


def get(file: Path, at: str, item: Any, key: str, *kinds: type) -> Any:
    """item[key], checked, since JSON promises nothing; a bool is an int to Python only."""
    value = item.get(key) if isinstance(item, dict) else None
    if not isinstance(value, kinds) or isinstance(value, bool):
        wanted = " or ".join(_KINDS[kind] for kind in kinds if kind is not type(None))
        there = isinstance(item, dict) and key in item
        found = f"is {_KINDS[type(value)]}" if there else "is missing"
        raise UserError(f"{file}, {at}: {key!r} {found}; write {wanted}")
    return value


def entry_rows(
    file: Path, at: str, item: Any, named: Columns = COLUMNS, ids: tuple[type, ...] = (str,)
) -> Iterator[Row]:
    """The rows of a JSON object that holds a picture and its caption or captions; `ids`: what may name it."""
    there = item if isinstance(item, dict) else {}
    image, caption = (next((n for n in named[c] if n in there), c) for c in ("image", "caption"))
    name, split = get(file, at, item, image, *ids), get(file, at, item, "split", str, type(None))
    captions = get(file, at, item, caption, str, list)
    captions = [captions] if isinstance(captions, str) else captions
    if not all(isinstance(one, str) for one in captions):
        raise UserError(f"{file}, {at}: {caption!r} holds something else than texts; write texts only")
    yield from (Row(str(name), one, split, at) for one in captions or [None])


def read_jsonl(file: Path, text: str, entry: Callable[..., Iterator[Row]] = entry_rows) -> Iterator[Row]:
    """The rows of one JSON object a line, each read by `entry`."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield from entry(file, f"line {number}", parse_json(file, line, number))


def split_told_by(file: Path) -> str | None:
    """The split that the name of a COCO file tells."""
    told = set(re.findall("train|val|dev|test", file.stem))
    return told.pop() if len(told) == 1 else None


def coco_rows(file: Path, data: Any) -> Iterator[Row]:
    """The rows of COCO's annotations: a declaring one for every picture, then the captions."""
    split, names = split_told_by(file), {}
    for i, image in enumerate(get(file, "top level", data, "images", list)):
        key = str(get(file, f"images[{i}]", image, "id", int, str))
        names[key] = get(file, f"images[{i}]", image, "file_name", str)
        yield Row(names[key], None, split, f"images[{i}]", key)
    for i, note in enumerate(get(file, "top level", data, "annotations", list)):
        at = f"annotations[{i}]"
        key = str(get(file, at, note, "image_id", int, str))
        # an annotation of no listed image goes on as a picture that will not be found, and is counted there
        yield Row(names.get(key, f"image_id {key}"), get(file, at, note, "caption", str), split, at, key)


def karpathy_rows(file: Path, data: Any) -> Iterator[Row]:
    """The rows of Karpathy's split data sets: every picture declared, then its captions."""
    for i, image in enumerate(get(file, "top level", data, "images", list)):
        at = f"images[{i}]"
        key, split = get(file, at, image, "filename", str), get(file, at, image, "split", str)
        name = os.path.join(get(file, at, image, "filepath", str, type(None)) or "", key)
        also = {k: str(image[k]) for k in ("imgid", "cocoid") if isinstance(image.get(k), int | str)}
        yield Row(name, None, split, at, key, also)
        for sentence in get(file, at, image, "sentences", list):
            yield Row(name, get(file, at, sentence, "raw", str), split, at, key)


def is_token(file: Path, head: str) -> bool:
    """Whether a file that begins so is a token file."""
    return bool(re.match(r"[^\t\n]+#\d+\t", head))


def _is_karpathy(file: Path, head: str) -> bool:
    return file.suffix == ".json" and '"sentences"' in head


def _is_coco(file: Path, head: str) -> bool:
    return file.suffix == ".json" and any(
        key in head for key in ('"file_name"', '"image_id"', '"annotations"')
    )


def _is_jsonl(file: Path, head: str) -> bool:
    return file.suffix == ".jsonl" and head.startswith("{")


def is_csv(file: Path, head: str, named: Columns = COLUMNS) -> bool:
    """Whether a file that begins so is a table with a header."""
    return _layout(head, named) is not None


def _document(rows: Callable[[Path, Any], Iterator[Row]]) -> Callable[[Path, str], Iterator[Row]]:
    return lambda file, text: rows(file, parse_json(file, text))


_TOKEN = "Flickr8k.token.txt Flickr8k_text/Flickr8k.token.txt results_20130124.token"
FORMS = (  # the first that fits a given file is taken: the loosest stands last
    Form("token", _TOKEN, "", is_token, read_token),
    Form("karpathy", "dataset.json dataset_*.json", "", _is_karpathy, _document(karpathy_rows)),
    Form("coco", "captions_*.json annotations/captions_*.json", "", _is_coco, _document(coco_rows)),
    Form("jsonl", "", "*.jsonl", _is_jsonl, read_jsonl),
    Form("csv", "captions.txt captions.csv results.csv", "*.csv *.tsv", is_csv, read_csv),
)
