"""What a JPEG says of itself before its pixels: how large it is, and whether it can be decoded in passing."""

from __future__ import annotations

from typing import BinaryIO, NamedTuple

_MOST_SEGMENTS = 500  # before the pixels; real files have some twenty
_ALONE = {0x01, *range(0xD0, 0xD8)}  # markers without a length
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_LOSSLESS = {0xC3, 0xC7, 0xCB, 0xCF}  # what sensors' data are kept in
_SCAN = 0xDA


class JpegHead(NamedTuple):
    """The segments before a JPEG's pixels, in short."""

    width: int
    height: int
    buffered: bool
    """Its decoder holds the whole picture, at whatever scale it is asked for: progressive, or a colour at a time."""
    lossless: bool
    pixels_at: int
    """Where in the file the pixels begin."""


def read_head(file: BinaryIO, start: int = 0) -> JpegHead | None:
    """Of the JPEG at `start` in `file`; None where there is none, or a damaged one. Moves the file's position."""
    file.seek(start)
    if file.read(2) != b"\xff\xd8":
        return None
    at, frame = start + 2, None
    for _ in range(_MOST_SEGMENTS):
        file.seek(at)
        head = file.read(10)
        if len(head) < 10 or head[0] != 0xFF:
            return None
        kind = head[1]
        if kind == 0xFF:  # filling
            at += 1
            continue
        if kind in _ALONE:
            at += 2
            continue
        length = int.from_bytes(head[2:4], "big")
        if kind < 0xC0 or length < 2:
            return None
        if kind in _FRAMES:
            frame = kind, int.from_bytes(head[7:9], "big"), int.from_bytes(head[5:7], "big"), head[9]
        if kind == _SCAN:
            if frame is None:
                return None
            coded, width, height, colours = frame
            buffered = coded in _PROGRESSIVE or head[4] < colours
            return JpegHead(width, height, buffered, coded in _LOSSLESS, at + 2 + length)
        at += 2 + length
    return None
