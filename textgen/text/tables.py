"""Tables as text: CSV with any usual delimiter, record by record, so that an open quotation mark swallows nothing."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

DELIMITERS = (",", "\t", ";", "|")
_MOST_LINES = 5000  # of one quoted cell
_OPEN = "a quotation mark is opened and not closed in its row"
_DECLARED = re.compile(r"""["']?sep=(.)["']?""", re.IGNORECASE)  # a spreadsheet's first line


class Record(NamedTuple):
    """A row of a table."""

    line: int
    """Where it begins, from 1."""
    cells: list[str]


class MalformedRow(Exception):
    """A row that cannot be read for certain."""

    def __init__(self, line: int, reason: str):
        super().__init__(f"line {line}: {reason}")
        self.line, self.reason = line, reason


def declared_delimiter(lines: Sequence[str]) -> str | None:
    """The delimiter that a first line `sep=;` names."""
    found = _DECLARED.fullmatch(lines[0].strip()) if lines else None
    return found[1] if found else None


def likely_delimiter(lines: Sequence[str]) -> str:
    """The delimiter that parts the first line of a table into most cells; of equals the commonest."""
    first = next((line for line in lines if line.strip()), "")
    return max(DELIMITERS, key=lambda delimiter: len(_cells(first, delimiter) or ()))


def records(lines: Sequence[str], delimiter: str, width: int = 0, open_end: bool = False) -> Iterator[Record]:
    """The rows of a table's `lines`, blank ones left out, each of `width` cells; 0 takes them as long as they are.

    Quoted cells may go over lines. A quotation mark that is never closed, or only in another row, is taken for a mark
    within its cell, where the line has as many cells without it as it should. With `open_end` the last cell may hold
    delimiters without quotation marks; with `|` as delimiter these mean nothing. Raises MalformedRow.
    """
    csv.field_size_limit(2**31 - 1)  # of the whole process: anybody may have set another
    at, usual = 0, width
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        cells, used = _record(lines, at, delimiter, usual, bool(width), open_end)
        usual = usual or len(cells)
        yield Record(at + 1, cells)
        at += used


def _record(
    lines: Sequence[str], at: int, delimiter: str, width: int, exact: bool, open_end: bool
) -> tuple[list[str], int]:
    """The cells of the record that begins at a line, and how many lines it has; 0 as `width` is any."""
    why = "malformed"
    if '"' not in lines[at]:  # as most are, and ten times as fast
        cells = [cell.lstrip(" ") for cell in lines[at].split(delimiter)]
        if not exact:
            return cells, 1
        if len(cells) >= width and not any(cell.strip() for cell in cells[width:]):
            return cells[:width], 1
    elif delimiter != "|":  # Flickr30k's results.csv, where quotation marks mean nothing
        part = (lines[place] + "\n" for place in range(at, min(at + _MOST_LINES, len(lines))))
        reader = csv.reader(part, delimiter=delimiter, strict=True, skipinitialspace=True)
        try:
            cells = next(reader)
            if _swallows(lines[at : at + reader.line_num], delimiter, width or len(cells)):
                why = _OPEN
            elif not exact:
                return cells, reader.line_num
            elif len(cells) >= width and not any(cell.strip() for cell in cells[width:]):
                return cells[:width], reader.line_num
        except csv.Error:
            why = _OPEN  # or a caption that begins with a quotation, which is no quoted caption
    plain = lines[at].strip().split(delimiter, width - 1 if open_end else -1)
    cells = [cell.strip() for cell in plain]
    left_open = delimiter != "|" and cells[-1].startswith('"') and cells[-1].count('"') % 2
    if not width or len(cells) != width or (exact and (not open_end or left_open)):
        raise MalformedRow(at + 1, why)
    return [*(cell.strip('"') for cell in cells[:-1]), cells[-1]], 1


def _swallows(lines: Sequence[str], delimiter: str, width: int) -> bool:
    """Whether the lines of a record are rows of their own: what an open quotation mark makes of them.

    They begin as its first one does - with a number, a picture's name - or have as many cells, with no space after a
    delimiter, as prose has.
    """
    if width < 2:
        return False
    kind = _kind_of(lines[0], delimiter)
    rows = [line for line in lines[1:] if line.count(delimiter) >= width - 1]
    if "0" in kind and any(_kind_of(line, delimiter) == kind for line in rows):
        return True
    within = [line for line in lines[1:-1] if line.strip()]
    plain = [line for line in within if line.count(delimiter) == width - 1 and f"{delimiter} " not in line]
    return len(plain) >= 8 and len(plain) > 0.8 * len(within)


def _kind_of(line: str, delimiter: str) -> str:
    """What a row begins with, digits as 0 and letters as a: of `12.jpg` 0.a."""
    first = line.partition(delimiter)[0].strip().strip('"')
    return re.sub("[^\\W\\d_]+", "a", re.sub("\\d+", "0", first))


def _cells(line: str, delimiter: str) -> list[str] | None:
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True), None)
    except csv.Error:
        return None
