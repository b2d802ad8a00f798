"""What cameras write beside JPEG: sensors' data, which are not developed here, with previews, of which the largest is a photo.

Makers hide their previews in many ways; all are whole JPEGs, which their beginnings give away.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO, NamedTuple

from captioner.pictures import tiff
from captioner.pictures.jpeg import JpegHead, read_head
from captioner.pictures.refusals import ImageError

NOTE = "RAW: its preview"
_LEAST = 480  # pixels of a full preview's longer side; thumbnails have 160, or 256 at most
_MAGIC = (  # (offset, bytes there, kind)
    (0, b"IIRO", "ORF"),
    (0, b"IIRS", "ORF"),
    (0, b"MMOR", "ORF"),
    (0, b"IIU\0", "RW2"),
    (0, b"FUJIFILMCCD-RAW", "RAF"),
    (4, b"ftypcrx ", "CR3"),
    (6, b"HEAPCCDR", "CRW"),
    (0, b"\0MRM", "MRW"),
    (0, b"FOVb", "X3F"),
)
_TIFFS = (b"II*\0", b"MM\0*")
_MAKES = {b"NIKON": "NEF", b"SONY": "ARW", b"PENTAX": "PEF", b"RICOH": "PEF", b"SAMSUNG": "SRW"}
_SENSORS = (32803, 34892)  # a colour a pixel; all colours, but as the sensor saw them
_CHUNK = 1 << 20
_MOST_BYTES = 500_000_000  # that are looked through for previews
_MOST_JPEGS = 1000


class Preview(NamedTuple):
    """A photo as its camera developed it."""

    data: bytes
    """A JPEG."""
    orientation: int | None
    """EXIF's, of the RAW file, which holds where the preview has none of its own."""


def raw_kind(file: BinaryIO) -> str | None:
    """DNG, NEF and so on, "" for one that is not known by its name, None for what is no RAW; moves the position."""
    file.seek(0)
    head = file.read(32)
    for offset, magic, kind in _MAGIC:
        if head.startswith(magic, offset):
            return kind
    if not head.startswith(_TIFFS):
        return None
    if head.startswith(b"CR", 8):
        return "CR2"
    found = list(tiff.directories(file))
    if not found:
        return None
    first = found[0]
    if tiff.DNG in first:
        return "DNG"
    # A first picture that says of itself that it is a smaller one of another inside.
    thumbnail = tiff.number(first, tiff.REDUCED) & 1 and tiff.INSIDE in first
    if not thumbnail and not any(_of_sensor(directory) for directory in found):
        return None
    make = first.get(tiff.MAKE, b"")
    by = make.upper() if isinstance(make, bytes) else b""
    return next((kind for name, kind in _MAKES.items() if by.startswith(name)), "")


def full_preview(file: BinaryIO, kind: str, max_bytes: int) -> Preview:
    """The largest JPEG in a RAW file of `kind`. Raises ImageError where that is a thumbnail, or there is none."""
    sensor = set(_sensors_data(file))
    found = [(head, at) for at, head in _jpegs(file) if at not in sensor]
    name = f"RAW ({kind})" if kind else "RAW"
    best = max(found, key=lambda one: one[0].width * one[0].height, default=None)
    if best is None or max(best[0].width, best[0].height) < _LEAST:
        small = (
            f"with no more than a preview of {best[0].width} x {best[0].height}"
            if best
            else "without a preview"
        )
        raise ImageError(f"{name} {small}; develop it to JPEG, PNG or TIFF")
    head, at = best
    data = _until_its_end(file, at, head, max_bytes)
    if len(data) > max_bytes:
        raise ImageError(f"{name} with a preview of more than the limit of {max_bytes / 1e6:g} MB")
    return Preview(data, _orientation(file))


def _of_sensor(directory: tiff.Directory) -> bool:
    return tiff.number(directory, tiff.PHOTOMETRIC) in _SENSORS


def _sensors_data(file: BinaryIO) -> Iterator[int]:
    """Where strips and tiles begin that are JPEGs at most in their coding: parts, or not for the eye."""
    for directory in tiff.directories(file):
        for tag in (tiff.STRIPS, tiff.TILES):
            places = directory.get(tag, ())
            if isinstance(places, tuple) and (len(places) > 1 or _of_sensor(directory)):
                yield from places


def _jpegs(file: BinaryIO) -> Iterator[tuple[int, JpegHead]]:
    """Each JPEG for the eye in `file`, where it begins and its head."""
    tried, start, kept = 0, 0, b""
    while start < _MOST_BYTES:
        file.seek(start)
        chunk = file.read(_CHUNK)
        if not chunk:
            return
        data, before = kept + chunk, start - len(kept)
        place = data.find(b"\xff\xd8\xff")
        while place >= 0:
            tried += 1
            if tried > _MOST_JPEGS:
                return
            head = read_head(file, before + place)
            if head and not head.lossless:
                yield before + place, head
            place = data.find(b"\xff\xd8\xff", place + 1)
        kept = data[-2:]  # a beginning may lie across two chunks
        start += len(chunk)


def _until_its_end(file: BinaryIO, at: int, head: JpegHead, max_bytes: int) -> bytes:
    """A JPEG's bytes to its end, or some more than `max_bytes`."""
    file.seek(at)
    data = bytearray(file.read(head.pixels_at - at))
    while len(data) <= max_bytes and (chunk := file.read(_CHUNK)):
        searched = max(head.pixels_at - at, len(data) - 1)
        data += chunk
        if (end := data.find(b"\xff\xd9", searched)) >= 0:  # no pixels are coded so
            return bytes(data[: end + 2])
    return bytes(data)


def _orientation(file: BinaryIO) -> int | None:
    file.seek(0)
    head = file.read(_CHUNK)
    if (at := head.find(b"CMT1")) >= 0 and head.startswith(
        b"ftyp", 4
    ):  # CR3 keeps a TIFF of its own in a box
        file = BytesIO(head[at + 4 :])
    return tiff.number(next(tiff.directories(file), {}), tiff.ORIENTATION) or None
