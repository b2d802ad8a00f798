"""Bytes to text: UTF-8, or UTF-16 and UTF-32 with their mark; of anything else it is said what it is likely to be."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from textgen.errors import UserError
from textgen.storage.typed import why_unreadable
from textgen.text.charsets import likely_charset

_MARKS = {  # of UTF-32 first: one of them begins as UTF-16's does
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}
_SHOWN = 24  # characters
_BLOCK = 2**20  # bytes of a large file


def read_text(path: Path) -> str:
    """A file's text, its byte-order mark dropped and its line ends `\\n`. Raises UserError naming what is wrong where."""
    try:
        return decode_text(path.read_bytes(), str(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {why_unreadable(path, error)}") from error


class LargeText:
    """Characters `start` to `end` of a file that is too large to lie in memory, which is read anew each time it is asked for.

    UTF-8 only. It has of a string what reading a corpus needs.
    """

    def __init__(self, path: Path, start: int = 0, end: int | None = None):
        """`end` None: to the file's. Raises UserError naming what is wrong where."""
        self.path, self._start = path, start
        self._end = sum(map(len, _blocks(path))) if end is None else end

    def __len__(self) -> int:
        return self._end - self._start

    def part(self, start: int, end: int | None = None) -> LargeText:
        """Characters `start` to `end` of it."""
        last = len(self) if end is None else min(end, len(self))
        return LargeText(self.path, self._start + min(start, last), self._start + last)

    def blocks(self) -> Iterator[str]:
        """Its text, some at a time."""
        place = 0
        for block in _blocks(self.path):
            if place >= self._end:
                return
            if inside := block[max(0, self._start - place) : self._end - place]:
                yield inside
            place += len(block)

    def __str__(self) -> str:
        return "".join(self.blocks())


def blocks_of(text: str | LargeText) -> Iterator[str]:
    """A text, some at a time where it is large."""
    return iter([text]) if isinstance(text, str) else text.blocks()


def _blocks(path: Path) -> Iterator[str]:
    """A large file's text as `read_text` would give it, some at a time."""
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")(), translate=True)
    data, place, line = b"", 0, 1  # where a block begins
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                line, place = line + data.count(10), place + len(data)
                data = block
                if not place and _MARKS.get(_mark(data), "utf-8-sig") != "utf-8-sig":
                    raise UserError(f"{path}: so large a text is read as UTF-8 only; save it as UTF-8")
                if (nul := data.find(b"\0")) >= 0:
                    where = f"line {line + data.count(10, 0, nul)}, byte {place + nul}"
                    raise UserError(f"{path}: {where} is NUL: not a text file; text must be UTF-8")
                yield decoder.decode(data if place else data.removeprefix(codecs.BOM_UTF8))
            yield decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        # The decoder counts back from the block's end, from what it kept of the block before on; a kept byte is no line end.
        offset = len(data) - (len(error.object) - error.start)
        where = f"line {line + data.count(10, 0, max(0, offset))}, byte {place + offset}"
        byte = error.object[error.start]
        advice = _advice(data, "what is around it")
        raise UserError(f"{path}: {where} is not UTF-8 (0x{byte:02x}); {advice}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {why_unreadable(path, error)}") from error


def split_lines(text: str) -> list[str]:
    """The lines of a text, whatever it holds besides: only `\\n` and `\\r\\n` end one."""
    return re.split(r"\r?\n", text)


def lines_of(path: Path) -> Iterator[str]:
    """A file's lines, without their ends, one after the other, of a file of any size; a pipe is read once.

    Raises UserError at once where it cannot be opened, and naming the line that is no text.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {why_unreadable(path, error)}") from error
    return lines_in(file, str(path))


def lines_in(file: BinaryIO, name: str) -> Iterator[str]:
    """The lines of an open file, which came from `name`, as they come; it is closed at their end."""
    number = 0
    with file:
        try:
            # What has no `peek`, such as bytes in memory, is all there.
            begin = file.peek(4) if isinstance(file, io.BufferedReader) else b""
            wide = _MARKS.get(_mark(begin), "")
            if wide.startswith("utf-16") or wide.startswith("utf-32"):
                for number, line in enumerate(io.TextIOWrapper(file, wide, newline="\n"), 1):
                    yield _whole(line, number, name)
                return
            for number, data in enumerate(file, 1):
                line = data.removeprefix(codecs.BOM_UTF8 if number == 1 else b"").decode("utf-8")
                yield _whole(line, number, name)
        except OSError as error:
            raise UserError(f"{name}: cannot be read: {error.strerror}") from error
        except UnicodeError as error:
            raise UserError(
                f"{name}, line {number}: not {(wide or 'utf-8').upper()}; save it as UTF-8"
            ) from error


def _whole(line: str, number: int, name: str) -> str:
    if "\0" in line:
        raise UserError(f"{name}, line {number}: holds NUL: not a text file; text must be UTF-8")
    return line.removesuffix("\n").removesuffix("\r")


def beginning(path: Path, size: int = 65_536) -> str:
    """How a file begins, as text, whatever is in it; `size` in bytes. Raises UserError when it cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(size)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {why_unreadable(path, error)}") from error
    text = data.decode(_MARKS.get(_mark(data), "utf-8"), "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _mark(data: bytes) -> bytes:
    return next((mark for mark in _MARKS if data.startswith(mark)), b"")


def decode_text(data: bytes, name: str) -> str:
    """Text of `data`, which came from `name`, as `read_text` gives it."""
    mark = _mark(data)
    encoding = _MARKS.get(mark, "utf-8")
    wide = encoding in ("utf-16", "utf-32")
    if not wide and (nul := data.find(b"\0")) >= 0:
        raise UserError(f"{name}: {_place(data, nul)} is NUL: not a text file; text must be UTF-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if wide:
            raise UserError(
                f"{name}: not the {encoding.upper()} that it begins as; save it as UTF-8"
            ) from error
        # The decoder counts from behind the byte-order mark.
        place = error.start + len(mark)
        advice = "save it as UTF-8" if mark else _advice(data)
        raise UserError(
            f"{name}: {_place(data, place)} is not UTF-8 (0x{data[place]:02x}); {advice}"
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _advice(data: bytes, rest: str = "the rest") -> str:
    """What to do with text that is no UTF-8, where `rest` of the text is; no conversion whose result is not shown."""
    lenient = data.decode("utf-8", "replace")
    damaged = lenient.count("\ufffd")
    if sum(not sign.isascii() for sign in lenient) > 2 * damaged:
        return (
            f"{rest} is, so it is damaged there ({damaged} places)"
            if damaged > 1
            else f"{rest} is; mend it there"
        )
    charset = likely_charset(data)
    if charset is None:
        return "save it as UTF-8"
    encoding, text = charset.iconv, data.decode(charset.codec, "replace")
    words = next((line for line in text.splitlines() if not line.isascii()), text)
    first = next((place for place, sign in enumerate(words) if not sign.isascii()), 0)
    start = max(0, words.rfind(" ", 0, max(0, first)) + 1)
    shown = " ".join(words[start : start + _SHOWN].split())
    return f"if {shown!r} is right, it is {encoding}; convert it: iconv -f {encoding} -t UTF-8"


def _place(data: bytes, offset: int) -> str:
    return f"line {data.count(10, 0, offset) + 1}, byte {offset}"
