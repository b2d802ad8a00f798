"""One file of captions, of any origin, becomes rows by picture or plain lines: what `score` is given.

Beside those of `formats` these are COCO's results, a mapping of ids, the document of `captioner
caption --json`, tables and JSONL under more names, and a caption a line. The content tells, whatever the
file is called; only plain lines must not be called .json, .jsonl, .csv or .tsv.
"""

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from captioner.data import formats
from captioner.data.formats import COLUMNS, Columns, Row, entry_rows, get, parse_json
from captioner.data.sets import CaptionSet, caption_set, checked, read_caption_set
from textgen.errors import UserError
from textgen.text.encodings import read_text

_IDS = {"image": (*COLUMNS["image"], "photo", "image_id", "img_id", "id"), "split": COLUMNS["split"]}
_SAID = ("prediction", "predictions", "predicted", "predicted_caption", "hypothesis")
REFERENCES: Columns = {**_IDS, "caption": (*COLUMNS["caption"], "reference", "references")}
PREDICTIONS: Columns = {**_IDS, "caption": (*_SAID, *COLUMNS["caption"])}  # a dump may hold references too
_SUFFIXES = (".json", ".jsonl", ".csv", ".tsv")
_UNDERSTOOD = (
    "a table or JSON lines with an image (or image_id, id, file_name) and a caption (or text) each, "
    'JSON as [{"image_id": 1, "caption": "a dog"}] or {"1": "a dog"}, or a .txt file with a caption a line'
)


class _Read(NamedTuple):
    """What a file holds: `rows`, a caption each with its picture, or `lines`, a caption each."""

    rows: list[Row] | None
    lines: list[str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Predictions:
    """Captions by the ids that the file gives them, white space collapsed; by "1", "2", ... of plain lines."""

    file: Path
    captions: dict[str, str]
    at: dict[str, str]  # where each stands
    plain: bool
    notes: tuple[str, ...]


def read_predictions(file: Path) -> Predictions:
    """Read a file of one caption a picture; a caption may be empty.

    Raises UserError for a file that cannot be read or is not recognised, a malformed entry, one without
    picture or caption, two captions of one picture, no captions at all.
    """
    read = _read_file(file, PREDICTIONS)
    numbered = (Row(str(n), line, None, f"line {n}") for n, line in enumerate(read.lines, 1))
    captions: dict[str, str] = {}
    at: dict[str, str] = {}
    for row in numbered if read.rows is None else read.rows:
        if row.caption is None:  # a picture declared only
            continue
        name, caption = checked(file, row)
        key = row.id or name
        if key in captions:
            if at[key] == row.at:
                raise UserError(
                    f"{file}, {row.at}: several captions, or one in tokens; write one caption, as one string"
                )
            both = f"{at[key]} and {row.at}"
            remedy = "keep one (or are predictions and references swapped?)"
            raise UserError(f"{file}: picture {key!r} has two captions, in {both}; {remedy}")
        captions[key], at[key] = caption, row.at
    if not captions:
        raise UserError(f"{file}: holds no caption; give the captions to score")
    return Predictions(file, captions, at, read.rows is None, read.notes)


def read_any(path: Path) -> CaptionSet | list[str]:
    """A folder or file of captions by picture, or the plain lines of a file, white space collapsed.

    Raises UserError for what cannot be read, is empty, malformed or not recognised.
    """
    if path.is_dir():
        return read_caption_set(path)
    read = _read_file(path, REFERENCES)
    if read.rows is None:
        return [" ".join(line.split()) for line in read.lines]
    return caption_set(path, read.rows)


def read_references(paths: Sequence[Path]) -> CaptionSet | dict[str, tuple[str, ...]]:
    """References by picture; or of plain lines in parallel files, those of each line by its number from "1".

    Raises UserError for what `read_any` refuses, no references, an empty line, unequal numbers of lines, and
    several files that are not all plain lines.
    """
    if not paths:
        raise UserError("no references given; give a data set, or files of a reference a line")
    columns: list[list[str]] = []
    for path in paths:
        lines = read_any(path)
        if isinstance(lines, CaptionSet):
            if not lines.pictures:
                raise UserError(f"{path}: holds no reference; give another file")
            if len(paths) > 1:
                one = "give one file or folder by picture, or plain lines only"
                raise UserError(f"{path}: captions by picture, one of {len(paths)} reference files; {one}")
            return lines
        lines = lines if lines[-1] else lines[:-1]  # a blank last line is no caption
        if not lines:
            raise UserError(f"{path}: holds no reference; give another file")
        if not all(lines):
            at = f"{path}, line {lines.index('') + 1}"
            raise UserError(f"{at}: empty reference; write one, or take this line out of every file")
        if columns and len(lines) != len(columns[0]):
            raise UserError(_uneven(path, len(lines), paths[0], len(columns[0])))
        columns.append(lines)
    return {str(n): row for n, row in enumerate(zip(*columns, strict=True), 1)}


def _uneven(file: Path, lines: int, other: Path, others: int) -> str:
    return f"{file}: {lines:,} lines, but {other} has {others:,}; give a line for every picture, in one order"


def in_parallel(given: Predictions, truth: Collection[str], file: Path) -> dict[str, str]:
    """Plain predictions by the ids of plain references, which `file` holds; UserError for unequal numbers."""
    lines = list(given.captions.values())
    if len(lines) == len(truth) + 1 and not lines[-1]:
        lines.pop()  # a blank last line is no caption
    if len(lines) != len(truth):
        raise UserError(_uneven(given.file, len(lines), file, len(truth)))
    return dict(zip(truth, lines, strict=True))


def _read_file(file: Path, named: Columns) -> _Read:
    """Read a file under the column names of REFERENCES or PREDICTIONS.

    Raises UserError for a file that cannot be read, is empty, malformed or not recognised.
    """
    text = read_text(file)
    if not text:
        raise UserError(f"{file}: is empty; give a file of captions")
    head, suffix = text[:65536].lstrip(), file.suffix.lower()
    if formats.is_token(file, head):
        return _Read(list(formats.read_token(file, text)), [])
    if formats.is_csv(file, head, named):
        return _Read(list(formats.read_csv(file, text, named)), [])
    if re.match(r"[\[{]" if suffix in _SUFFIXES else r'\[\s*[{\]]|\{\s*["}]', head):
        notes: list[str] = []
        return _Read(list(_json_rows(file, text, named, notes)), [], tuple(notes))
    if suffix in _SUFFIXES:
        raise UserError(f"{file}: no captions recognised, begins {head[:40]!r}; give {_UNDERSTOOD}")
    return _Read(None, text.removesuffix("\n").split("\n"))


def _json_rows(file: Path, text: str, named: Columns, notes: list[str]) -> Iterator[Row]:
    entry = partial(entry_rows, named=named, ids=(int, str))
    try:
        data, end = json.JSONDecoder().raw_decode(text, len(text) - len(text.lstrip()))
    except (ValueError, RecursionError):
        data, end = None, len(text)
    rest = text[end:].strip()
    if file.suffix.lower() == ".jsonl" or rest.startswith("{"):
        if isinstance(data, dict) and "photo" in data and isinstance(data.get("captions"), list):
            lines = [line for line in text.split("\n") if line.strip()]
            return _photos(
                file, {"photos": [parse_json(file, line, n) for n, line in enumerate(lines, 1)]}, notes
            )
        return formats.read_jsonl(file, text, entry)
    if data is None or rest:
        data = parse_json(file, text)  # says what is wrong
    if isinstance(data, dict) and all(any(n in data for n in named[c]) for c in ("image", "caption")):
        data = [data]  # a single entry
    if isinstance(data, list):
        return _entries(file, data, entry)
    if isinstance(data.get("photos"), list):
        return _photos(file, data, notes)
    if isinstance(data.get("images"), list):
        sentences = any("sentences" in image for image in data["images"][:1] if isinstance(image, dict))
        return (formats.karpathy_rows if sentences else formats.coco_rows)(file, data)
    if isinstance(data.get("annotations"), list):
        return _entries(file, data["annotations"], entry, formats.split_told_by(file))
    return _mapping(file, text)


def _entries(
    file: Path, items: list[Any], entry: partial[Iterator[Row]], split: str | None = None
) -> Iterator[Row]:
    for i, item in enumerate(items, 1):
        for row in entry(file, f"entry {i}", item):
            yield row if row.split else row._replace(split=split)


def _photos(file: Path, data: dict[str, Any], notes: list[str]) -> Iterator[Row]:
    """The document of `captioner caption --json`: of several captions the first, which is the best."""
    most = 0
    for i, photo in enumerate(data["photos"], 1):
        if isinstance(photo, dict) and "error" in photo:
            continue
        at = f"entry {i}"
        name = re.split(r"[\\/]", get(file, at, photo, "photo", str))[-1]
        captions = get(file, at, photo, "captions", list)
        most = max(most, len(captions))
        yield from (Row(name, get(file, at, c, "text", str), None, at) for c in captions[:1])
    if most > 1:
        notes.append(f"{file}: up to {most} captions a photo, of which the first is taken")


def _mapping(file: Path, text: str) -> Iterator[Row]:
    pairs: Any = json.loads(text, object_pairs_hook=list)  # a dict would hide that a picture comes twice
    for i, (name, value) in enumerate(pairs, 1):
        captions = [value] if isinstance(value, str) else value
        if not isinstance(captions, list) or not all(isinstance(c, str) for c in captions):
            raise UserError(
                f"{file}, entry {i}: {name!r} has no text; give it a caption or a list of captions"
            )
        yield from (Row(name, caption, None, f"entry {i}") for caption in captions or [None])
