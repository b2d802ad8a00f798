"""The chosen columns of a CSV, row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from textgen.errors import UserError
from textgen.text.tables import DELIMITERS, MalformedRow, declared_delimiter, likely_delimiter, records


class Columns(NamedTuple):
    """What the chosen columns hold."""

    rows: list[list[str]]
    """Of each row its cells in these columns; one that is too short for a column has less."""
    longer: int
    """Rows that have more cells than the first."""


def read_table(path: Path, text: str, columns: Sequence[str]) -> list[list[str]]:
    """The rows of a CSV, the header among them; `columns` tell its delimiter where they are names."""
    return list(_rows(path, text, columns))


def first_row(path: Path, text: str) -> list[str]:
    """The first row of a CSV that begins with `text`."""
    return next(_rows(path, text, ()), [])


def _rows(path: Path, text: str, columns: Sequence[str]) -> Iterator[list[str]]:
    lines = text.split("\n")
    declared = declared_delimiter(lines)
    if declared:
        lines[0] = ""
    named = [name for name in columns if not name.isdecimal()]
    first = next((line for line in lines if line.strip()), "")
    fitting = [mark for mark in DELIMITERS if named and set(named) <= set(_header(first, mark))]
    delimiter = declared or next(iter(fitting), likely_delimiter(lines))
    try:
        yield from (record.cells for record in records(lines, delimiter))
    except MalformedRow as error:
        raise UserError(
            f'{path}, line {error.line}: {error.reason}; close it, or write it twice: ""'
        ) from error


def _header(line: str, delimiter: str) -> list[str]:
    return [cell.strip().strip('"') for cell in line.split(delimiter)]


def read_columns(path: Path, text: str, columns: Sequence[str], option: str = "--columns") -> Columns:
    """The cells of `columns`, names of the header or numbers from 1, of each row of the CSV `text`, which `path` holds.

    Raises UserError naming the file, the `option` that chose the columns, and those that there are.
    """
    table = read_table(path, text, columns)
    if not table:
        raise UserError(f"{path}: is empty; give a table with text in it")
    longer = sum(len(row) > len(table[0]) for row in table)
    if all(column.isdecimal() for column in columns):
        places = [int(column) - 1 for column in columns]
        if min(places) < 0 or max(places) >= len(table[0]):
            raise UserError(f"{path}: {option}: there are columns 1 to {len(table[0])}")
    else:
        if missing := [column for column in columns if column not in table[0]]:
            there_are = " ".join(", ".join(table[0]).split())[:300]
            raise UserError(
                f"{path}: {option}: no column {missing[0]!r}; there are: {there_are}; "
                "without a header, choose by number from 1"
            )
        places = [table[0].index(column) for column in columns]
        table = table[1:]
    return Columns([[row[place] for place in places if place < len(row)] for row in table], longer)
