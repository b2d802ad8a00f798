"""The directories of a TIFF, and of the RAW files that are built like one: what is in them, without its pixels."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import BinaryIO

REDUCED, BITS, PHOTOMETRIC, MAKE, STRIPS, ORIENTATION, TILES, INSIDE, SAMPLES, DNG = (
    *(254, 258, 262, 271, 273, 274, 324, 330, 339, 50706),
)
FLOATING = 3  # of SAMPLES
Directory = Mapping[int, tuple[int, ...] | bytes]
"""Tag -> whole numbers, or the bytes of a text."""

_WANTED = {REDUCED, BITS, PHOTOMETRIC, MAKE, STRIPS, ORIENTATION, TILES, INSIDE, SAMPLES, DNG}
_CODES = {1: "B", 2: "s", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_ORDERS = {b"II": "<", b"MM": ">"}
_MOST_DIRECTORIES, _MOST_ENTRIES, _MOST_VALUES = 64, 1000, 100_000
_BIG = 43  # the version of a TIFF whose offsets have 8 bytes


def directories(file: BinaryIO) -> Iterator[Directory]:
    """The first directory, those that follow it and those inside them, as far as they are whole; moves the position."""
    file.seek(0)
    head = file.read(16)
    if len(head) < 16 or head[:2] not in _ORDERS:
        return
    order = _ORDERS[head[:2]]
    big = struct.unpack(f"{order}H", head[2:4])[0] == _BIG
    left = [struct.unpack(f"{order}Q", head[8:16])[0] if big else struct.unpack(f"{order}I", head[4:8])[0]]
    seen: set[int] = set()
    while left and len(seen) < _MOST_DIRECTORIES:
        at = left.pop(0)
        if not at or at in seen:
            continue
        seen.add(at)
        try:
            found, following = _directory(file, at, order, big)
        except (struct.error, OSError, ValueError, OverflowError):
            continue
        inside = found.get(INSIDE, ())
        left += [following, *(inside if isinstance(inside, tuple) else ())]
        yield found


def _directory(
    file: BinaryIO, at: int, order: str, big: bool
) -> tuple[dict[int, tuple[int, ...] | bytes], int]:
    """What stands at `at`, and where the next one is; 0 where there is none."""
    of_count, of_offset, room = ("Q", "Q", 8) if big else ("H", "I", 4)
    entry = struct.Struct(f"{order}HH{of_offset}{room}s")
    file.seek(at)
    (count,) = struct.unpack(order + of_count, file.read(struct.calcsize(order + of_count)))
    if count > _MOST_ENTRIES:
        raise ValueError("not a directory")
    rows = file.read(count * entry.size)
    ending = file.read(room)
    following = struct.unpack(order + of_offset, ending)[0] if len(ending) == room else 0
    found: dict[int, tuple[int, ...] | bytes] = {}
    for tag, kind, size, value in entry.iter_unpack(rows):
        if tag not in _WANTED or kind not in _CODES or size > _MOST_VALUES:
            continue
        form = f"{order}{size}{_CODES[kind]}"
        length = struct.calcsize(form)
        if length > room:
            file.seek(struct.unpack(order + of_offset, value)[0])
            value = file.read(length)
        values = struct.unpack(form, value[:length])
        found[tag] = values[0] if kind == 2 else values
    return found, following


def number(directory: Directory, tag: int, default: int = 0) -> int:
    """The first number of `tag`."""
    values = directory.get(tag)
    return values[0] if isinstance(values, tuple) and values else default


def unsupported(file: BinaryIO) -> str | None:
    """What kind of pixels the first directory has where they are no usual ones, in words."""
    first = next(directories(file), {})
    bits = number(first, BITS, 8)
    if number(first, SAMPLES, 1) == FLOATING:
        return f"a TIFF of {bits}-bit floating point"
    return f"a TIFF of {bits} bits a channel" if bits not in (1, 2, 4, 8, 16) else None
