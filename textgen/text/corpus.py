"""Text files to train on: read, checked, and split into a part to learn from and a held-out tail."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, takewhile
from pathlib import Path

from textgen.errors import UserError
from textgen.storage.typed import why_unreadable
from textgen.text.columns import first_row, read_columns
from textgen.text.encodings import LargeText, beginning, blocks_of, read_text

_LARGE = 2**26  # bytes of a file that is not held in memory
_JUDGED = 2_000_000  # characters of it that a model is judged by


@dataclass(frozen=True)
class Corpus:
    """Texts of which a tail is held out."""

    train: tuple[str | LargeText, ...]
    held_out: tuple[str, ...]
    lines: bool
    """Each text is a line of its own with an end; else the texts are read on as one stream."""
    names: tuple[str, ...]
    """The files' names."""
    split: str
    """How the held-out part was chosen, for people."""
    hash: str
    """sha256 of the texts and of where they are split."""
    notes: tuple[str, ...] = ()
    """What was left out, for people."""
    cut: bool = False
    """Each text of `train` goes on in the one of `held_out` in its place: a file that was cut in two."""
    test: tuple[str, ...] = ()
    """To be judged once, at the end of a training; empty where no file was given for it."""

    def part(self, name: str) -> tuple[str, ...]:
        """`held-out`, `train` or `all`; of a file that is too large for memory the first two million characters of it."""
        parts = {"held-out": lambda: self.held_out, "train": self._learnt, "all": self._everything}
        if name not in parts:
            raise UserError(f"split: unknown {name!r}; known: {', '.join(parts)}")
        part = parts[name]()
        if not any(part):
            raise UserError(f"split: {name} is empty; choose another, or another --held-out")
        return part

    def _learnt(self) -> tuple[str, ...]:
        return tuple(map(_judged, self.train))

    def _everything(self) -> tuple[str, ...]:
        if not self.cut:
            return (*self._learnt(), *self.held_out)
        pairs = zip(self.train, self.held_out, strict=True)
        return tuple(
            learnt + rest if isinstance(learnt, str) else (_judged(learnt) + rest)[:_JUDGED]
            for learnt, rest in pairs
        )


def load_corpus(
    paths: Sequence[Path],
    *,
    lines: bool = False,
    columns: Sequence[str] = (),
    held_out: float = 0.1,
    whole_words: bool = False,
    dev: Sequence[Path] = (),
    test: Sequence[Path] = (),
    large: bool = False,
) -> Corpus:
    """Reads text files, and folders of `*.txt`; the last `held_out` of each file is held out, or the files `dev` are.

    With `lines` every line that is not blank is a text of its own; so is, with `columns` - names of a CSV's header, or
    numbers from 1 -, every row, its cells joined by spaces. `whole_words` moves a cut on to the next white space. With
    `large` running text of 64 MB and more is not held in memory, and of such a file's tail, or of one that is among `dev`
    or `test`, the first two million characters are what is judged by.
    Raises UserError naming the file, also one that is among two of train, dev and test.
    """
    if not 0 < held_out < 1:
        raise UserError(f"held_out: {held_out} must be between 0 and 1; 0.1 holds out a tenth")
    files, dev_files, test_files = _files(paths), _files(dev) if dev else [], _files(test) if test else []
    _refuse_twice(files, dev_files, test_files)
    notes: list[str] = []
    train: list[str | LargeText] = []
    tail: list[str] = []
    rows = bool(columns) or lines
    for path in files:
        if large and not rows and _is_large(path):
            whole = _large_text(path)
            cut = len(whole) if dev else _cut(whole, held_out, whole_words)
            train.append(whole.part(0, cut))
            if not dev:
                tail.append(_judged(whole.part(cut)))
                _note_judged(path, whole, notes)
            continue
        texts = _texts(path, lines, columns, notes)
        if dev:
            train += texts
            continue
        if rows:
            cut = round(len(texts) * (1 - held_out))
            train += texts[:cut]
            tail += texts[cut:]
        else:
            cut = _cut(texts[0], held_out, whole_words)
            train.append(texts[0][:cut])
            tail.append(texts[0][cut:])

    def to_judge_by(path: Path) -> list[str]:
        if not large or rows or not _is_large(path):
            return _texts(path, lines, columns, notes)
        whole = _large_text(path)
        _note_judged(path, whole, notes)
        return [_judged(whole)]

    tail += [text for path in dev_files for text in to_judge_by(path)]
    judged = [text for path in test_files for text in to_judge_by(path)]
    what = "rows" if columns else "lines" if lines else "characters"
    each = " of each file" if len(files) > 1 else ""
    split = f"last {100 * held_out:g} % of the {what}{each}"
    digest = hashlib.sha256()
    parts: list[Sequence[str | LargeText]] = [train, tail, *([judged] if test else [])]
    for part in parts:
        for text in part:
            of_text = hashlib.sha256()
            for block in blocks_of(text):
                of_text.update(block.encode())
            digest.update(of_text.digest())
        digest.update(b"|")
    return Corpus(
        tuple(train),
        tuple(tail),
        rows,
        tuple(path.name for path in files),
        ", ".join(path.name for path in dev_files) if dev else split,
        digest.hexdigest(),
        tuple(notes),
        not (rows or dev),
        tuple(judged),
    )


def _is_large(path: Path) -> bool:
    try:
        return path.stat().st_size >= _LARGE
    except OSError:  # of which reading it will tell
        return False


def _large_text(path: Path) -> LargeText:
    """As `_texts`, of running text that is not held in memory."""
    _refuse_table(path, beginning(path))
    text = LargeText(path)
    _refuse_empty(path, text)
    return text


def _judged(text: str | LargeText) -> str:
    """What of a text a model is judged by."""
    return text if isinstance(text, str) else str(text.part(0, _JUDGED))


def _note_judged(path: Path, text: LargeText, notes: list[str]) -> None:
    if len(text) > _JUDGED:
        notes.append(
            f"{path}: of so large a file the first {_JUDGED:,} characters of a part are what is judged by"
        )


def _refuse_empty(path: Path, text: str | LargeText) -> None:
    if not any(block.strip() for block in blocks_of(text)):
        raise UserError(f"{path}: is empty; give a file with text in it")


def _refuse_table(path: Path, text: str) -> None:
    """Raises UserError for a file that its name says to be a CSV, and that begins with `text`."""
    if path.suffix.lower() in (".csv", ".tsv"):
        first = str(first_row(path, text))
        raise UserError(f"{path}: a CSV; choose --columns by number or name; its first row is {first[:300]}")


def _texts(path: Path, lines: bool, columns: Sequence[str], notes: list[str]) -> list[str]:
    """The texts of one file: its rows or lines, or all of it as one; what is left out is told in `notes`."""
    text = read_text(path)
    _refuse_empty(path, text)
    if columns:
        rows, left_out, longer = _rows(path, text, columns)
        if longer:
            notes.append(
                f"{path}: {longer} rows have more cells than the first; what is beyond is not read: put cells with "
                "delimiters into quotation marks"
            )
        if left_out:
            notes.append(f"{path}: {left_out} rows without text in these columns are left out")
        if not rows:
            raise UserError(f"{path}: no row has text in these columns; choose others, or another file")
        return rows
    _refuse_table(path, text)
    return [line.strip() for line in text.split("\n") if line.strip()] if lines else [text]


def _refuse_twice(*parts: Sequence[Path]) -> None:
    """Raises UserError for a file that is among two of train, dev and test: what is learnt must not be judged by."""
    names = ("train", "dev", "test")
    seen: dict[str, str] = {}
    for name, files in zip(names, parts, strict=True):
        for file in files:
            before = seen.setdefault(os.path.realpath(file), name)
            if before != name:
                raise UserError(f"{file}: is among the {before} files and the {name} files; give it once")


def _cut(text: str | LargeText, held_out: float, whole_words: bool) -> int:
    cut = int(len(text) * (1 - held_out))
    if not whole_words:
        return cut
    rest: Iterable[str] = [text[cut:]] if isinstance(text, str) else text.part(cut).blocks()
    return cut + sum(1 for _ in takewhile(lambda sign: not sign.isspace(), chain.from_iterable(rest)))


def _files(paths: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if path == Path():
            raise UserError("a corpus without a name is given; name a file or a folder")
        try:
            found = sorted(path.glob("*.txt")) if path.is_dir() else [path]
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {why_unreadable(path, error)}") from error
        if not found:
            raise UserError(f"{path}: no .txt file in this folder")
        files += found
    if not files:
        raise UserError("no corpus given; name one or more text files")
    return files


def _rows(path: Path, text: str, columns: Sequence[str]) -> tuple[list[str], int, int]:
    """The chosen cells of each row as one line; how many rows have none, and how many more cells than the first row."""
    found = read_columns(path, text, columns)
    rows = [" ".join(" ".join(row).split()) for row in found.rows]
    kept = [row for row in rows if row]
    return kept, len(rows) - len(kept), found.longer
