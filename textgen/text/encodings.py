"""Bytes to text: UTF-8, or UTF-16 and UTF-32 with their mark; of anything else it is said what it is likely to be."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from textgen.errors import UserError
from textgen.storage.typed import why_unreadable

_MARKS = {  # of UTF-32 first: one of them begins as UTF-16's does
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}
_GUESSED = 200_000  # bytes that a guess is made from
_TELLING = 8  # bytes beyond ASCII, without which statistics tell nothing
_SHOWN = 24  # characters
_WESTERN = "cp1252"
_LATIN = re.compile(r"[A-Za-zÀ-žˇ˘˙˛˝\s\d\W_]*")
_TORN = re.compile(r"[^\W\d_][^\w\s'’.,;:!?()\"«»„“”…–-]|\w[¡-¿×÷]\w")  # signs in the middle of words
# Python's names of encodings as iconv has them; what is written by one and read by the other is the same text.
_ICONV = {
    "big5hkscs": "BIG5",
    "cp932": "SHIFT-JIS",
    "cp949": "EUC-KR",
    "euc_jis_2004": "EUC-JP",
    "euc_jisx0213": "EUC-JP",
    "gb2312": "GBK",
    "gb18030": "GBK",
    "mac_cyrillic": "MACCYRILLIC",
    "shift_jis_2004": "SHIFT-JIS",
}


def read_text(path: Path) -> str:
    """A file's text, its byte-order mark dropped and its line ends `\\n`. Raises UserError naming what is wrong where."""
    try:
        return decode_text(path.read_bytes(), str(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {why_unreadable(path, error)}") from error


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


def likely_encoding(data: bytes) -> tuple[str, str] | None:
    """The encoding that `data`, which is no UTF-8, is likely to have, as iconv calls it, and its text; None for no guess."""
    data = data[:_GUESSED]
    western = _decoded(data, _WESTERN)
    if western is not None and _TORN.search(western):
        western = None
    if sum(byte >= 0x80 for byte in data) < _TELLING:
        return None if western is None else ("WINDOWS-1252", western)
    from charset_normalizer import from_bytes

    found = from_bytes(data).best()
    encoding = found.encoding if found is not None else ""
    text = _decoded(data, encoding)
    # Of the encodings of Latin letters no statistics of a few lines tell one from another: the commonest is right
    # unless it puts signs into words.
    if western is not None and (text is None or _LATIN.fullmatch(text)):
        return "WINDOWS-1252", western
    if text is None or "\ufffd" in text:
        return None
    return _ICONV.get(encoding, encoding.upper().replace("_", "-").replace("CP125", "WINDOWS-125")), text


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding) if encoding else None
    except (UnicodeDecodeError, LookupError):
        return None


def _advice(data: bytes) -> str:
    """What to do with text that is no UTF-8; no conversion whose result is not shown."""
    lenient = data.decode("utf-8", "replace")
    damaged = lenient.count("\ufffd")
    if sum(not sign.isascii() for sign in lenient) > 2 * damaged:
        return (
            f"the rest is, so it is damaged there ({damaged} places)"
            if damaged > 1
            else "the rest is; mend it there"
        )
    found = likely_encoding(data)
    if found is None:
        return "save it as UTF-8"
    encoding, text = found
    words = next((line for line in text.splitlines() if not line.isascii()), text)
    first = next((place for place, sign in enumerate(words) if not sign.isascii()), 0)
    start = max(0, words.rfind(" ", 0, max(0, first)) + 1)
    shown = " ".join(words[start : start + _SHOWN].split())
    return f"if {shown!r} is right, it is {encoding}; convert it: iconv -f {encoding} -t UTF-8"


def _place(data: bytes, offset: int) -> str:
    return f"line {data.count(10, 0, offset) + 1}, byte {offset}"
