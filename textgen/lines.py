"""What commands that take a text or lines do alike: read them, count them, print a document of what came of them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from textgen.errors import UserError
from textgen.output import print_json
from textgen.text.encodings import decode_text, lines_of


def check_choices(text: str | None, file: Path | None, json: bool, jsonl: bool) -> None:
    """Raises UserError for options that exclude each other, and for a file that cannot be read."""
    if text is not None and file is not None:
        raise UserError("--file: a text is given, too; give one of the two")
    if json and jsonl:
        raise UserError("--json, --jsonl: give one of the two")
    if file is not None:
        next(lines_of(file), None)


def given_lines(advice: str, text: str | None) -> Iterator[str]:
    """The lines of standard input as they come; where it is a terminal and `text` did not ask for it, UserError."""
    if sys.stdin is None or (text is None and sys.stdin.isatty()):
        raise UserError(advice)
    return (decode_text(line, "standard input").removesuffix("\n") for line in sys.stdin.buffer)


def counted(lines: Iterator[str], file: Path | None) -> Iterator[str]:
    """`lines`, with a bar that counts them where they are a file's and somebody watches."""
    if file is None or not sys.stderr.isatty() or sys.stdout.isatty():
        return lines
    from tqdm import tqdm

    return iter(tqdm(lines, unit=" lines", mininterval=0.5, leave=False))


def print_document(about: Mapping[str, Any], name: str, found: Iterable[Mapping[str, Any]]) -> None:
    """One JSON document: `about`, and what was `found`, by `name`; when something ends it early, what is done."""
    document: dict[str, Any] = {**about, name: []}
    try:
        for one in found:
            document[name].append(one)
    except BaseException as error:
        document["incomplete"] = f"{len(document[name]):,} lines: {str(error) or 'stopped'}"
        raise
    finally:
        if document[name] or sys.exc_info()[0] is None:
            print_json(document)
