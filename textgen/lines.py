"""What commands that take a text or lines do alike: read them, count them, print a document of what came of them."""

from __future__ import annotations

import io
import queue
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from textgen.errors import UserError
from textgen.output import print_json
from textgen.text.encodings import lines_in, lines_of

_AHEAD = 4096  # lines of standard input that are read before they are wanted


def asked_lines(
    text: Sequence[str] | None, file: Path | None, json: bool, jsonl: bool, advice: str
) -> Iterator[str | None]:
    """The lines that a command is about: those of `text`, of a `file`, or, where neither is told, of standard input.

    Raises UserError for options that exclude each other, for a file that cannot be opened, and, with `advice`, where
    standard input is a terminal. None among the lines says that none is there at the moment.
    """
    if text is not None and file is not None:
        raise UserError("--file: a text is given, too; give one of the two")
    if json and jsonl:
        raise UserError("--json, --jsonl: give one of the two")
    if file is not None:
        return iter(_counted(lines_of(file)))
    if text is not None and list(text) != ["-"]:
        return iter(text)
    if sys.stdin is None or (text is None and sys.stdin.isatty()):
        raise UserError(advice)
    return _as_they_come(lines_in(_standard_input(), "standard input"))


def _standard_input() -> BinaryIO:
    """A reader of its own: while a thread waits in that of `sys.stdin`, the interpreter cannot end but aborts."""
    try:
        return open(sys.stdin.fileno(), "rb", closefd=False)
    except io.UnsupportedOperation:  # what stands for it, as in tests
        return sys.stdin.buffer


def _as_they_come(lines: Iterator[str]) -> Iterator[str | None]:
    """`lines`, which somebody may be typing, read ahead by a thread; None whenever none waits, so that nothing is held back."""
    waiting: queue.Queue[str | BaseException | None] = queue.Queue(_AHEAD)

    def read() -> None:
        try:
            for line in lines:
                waiting.put(line)
        except BaseException as error:
            waiting.put(error)
        else:
            waiting.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            item = waiting.get_nowait()
        except queue.Empty:
            yield None
            item = waiting.get()
        if item is None:
            return
        if isinstance(item, BaseException):
            raise item
        yield item


def _counted(lines: Iterator[str]) -> Iterable[str]:
    """`lines`, with a bar that counts them where somebody watches and they are not printed there."""
    if not sys.stderr.isatty() or sys.stdout.isatty():
        return lines
    from tqdm import tqdm

    bar: Iterable[str] = tqdm(lines, unit=" lines", mininterval=0.5, leave=False)
    return bar


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
