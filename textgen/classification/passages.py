"""Passages of books, labelled by their authors: what the model `authors` was trained on.

    python -m textgen.classification.passages BOOKS OUT

cuts every `.txt` in BOOKS into chapters and these into passages of 100 words, which never cross a chapter; every tenth
chapter goes to OUT/dev.csv, the others to OUT/train.csv, both with the columns text, label, book and chapter.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator
from operator import methodcaller
from pathlib import Path

from textgen.errors import UserError
from textgen.storage.files import atomic_write
from textgen.text.encodings import read_text

WORDS = 100
_HELD_OUT = 10  # every tenth chapter
AUTHORS = {
    "a-tale-of-two-cities": "Charles Dickens",
    "alice-s-adventures-in-wonderland": "Lewis Carroll",
    "dracula": "Bram Stoker",
    "emma": "Jane Austen",
    "great-expectations": "Charles Dickens",
    "pride-and-prejudice": "Jane Austen",
    "sense-and-sensibility": "Jane Austen",
    "the-adventures-of-sherlock-holmes": "Arthur Conan Doyle",
    "the-hound-of-the-baskervilles": "Arthur Conan Doyle",
    "the-memoirs-of-sherlock-holmes": "Arthur Conan Doyle",
    "the-return-of-sherlock-holmes": "Arthur Conan Doyle",
    "war-and-peace": "Leo Tolstoy (translated)",
}
_HEADING = re.compile(
    r"\s*(?:(?:chapter|adventure|book|letter)\s+(?:[ivxlc]+|\d+)\b.*|the adventure of .{,40}|[ivxlc]+\. the .{,50})",
    re.IGNORECASE,
)


def chapters(text: str) -> list[str]:
    """A book's chapters, without their headings; what stands before the first is left out, where there is one."""
    parts: list[list[str]] = [[]]
    for line in text.split("\n"):
        if _HEADING.fullmatch(line) and (len(line) < 40 or line.upper() == line or line[0].isalpha()):
            parts.append([])
        else:
            parts[-1].append(line)
    found = ["\n".join(part) for part in parts]
    return found[1:] or found


def passages(chapter: str, words: int = WORDS) -> Iterator[str]:
    """A chapter's passages of so many words, one after the other; what is left at its end is none."""
    parts = chapter.split()
    for start in range(0, len(parts) - words + 1, words):
        yield " ".join(parts[start : start + words])


def write_passages(books: Path, out: Path) -> dict[str, int]:
    """Writes `train.csv` and `dev.csv` in `out`; how many passages each has. Raises UserError naming what is missing."""
    files = [path for path in sorted(books.glob("*.txt")) if path.stem in AUTHORS]
    if not files:
        raise UserError(f"{books}: none of the books is in it, such as {next(iter(AUTHORS))}.txt")
    rows: dict[str, list[tuple[str, str, str, int]]] = {"train": [], "dev": []}
    for path in files:
        whole = [part for part in chapters(read_text(path)) if len(part.split()) >= WORDS]
        for number, chapter in enumerate(whole, 1):
            split = "dev" if number % _HELD_OUT == _HELD_OUT // 2 else "train"
            rows[split] += ((text, AUTHORS[path.stem], path.stem, number) for text in passages(chapter))
    out.mkdir(parents=True, exist_ok=True)
    for name, found in rows.items():
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerows([("text", "label", "book", "chapter"), *found])
        atomic_write(out / f"{name}.csv", methodcaller("write", table.getvalue().encode()))
    return {name: len(found) for name, found in rows.items()}


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("python -m textgen.classification.passages BOOKS OUT")
    try:
        print(write_passages(Path(sys.argv[1]), Path(sys.argv[2])))
    except UserError as error:
        raise SystemExit(str(error)) from error
