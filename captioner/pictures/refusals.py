"""Why a file is no usable picture, in words for the person who gave it."""

import io
import os
import re
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from captioner.pictures import tiff
from textgen.errors import UserError
from textgen.storage.typed import ADDRESS, is_address, why_unreadable

UNSUPPORTED = " pictures are not supported; convert it to PNG or JPEG"
CLOSED = "its file was closed before it was read; load() it first, or give its path"
DAMAGED, INCOMPLETE = "picture is damaged or incomplete", "picture is incomplete"
MAGIC = (  # (offset, bytes there, what the file is)
    (0, b"%PDF", "not a picture: looks like a PDF"),
    (0, b"PK\x03\x04", "not a picture: looks like a ZIP archive"),
    (0, b"\x1f\x8b", "not a picture: looks like a gzip archive"),
    (0, b"\x1aE\xdf\xa3", "not a picture: looks like a video"),
    (8, b"AVI ", "not a picture: looks like a video"),
    (8, b"WAVE", "not a picture: looks like a sound"),
    *((0, bytes([0x80, protocol]), "not a picture: looks like a pickle") for protocol in (2, 3, 4, 5)),
    (0, b"%!PS", "EPS" + UNSUPPORTED),
    (0, b"\xc5\xd0\xd3\xc6", "EPS" + UNSUPPORTED),
    (0, b"8BPS", "Photoshop" + UNSUPPORTED),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000" + UNSUPPORTED),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL" + UNSUPPORTED),
    (0, b"\xff\x0a", "JPEG XL" + UNSUPPORTED),
    (0, b"\0\0\1\0", "icon" + UNSUPPORTED),
    (0, b"v/1\x01", "OpenEXR" + UNSUPPORTED),
    (0, b"#?RADIANCE", "Radiance" + UNSUPPORTED),
)
TIFFS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PICTURES = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"RIFF", *TIFFS)
UNREADABLE: dict[type[Exception], str] = {
    FileNotFoundError: "no such file",
    IsADirectoryError: "a folder, not a picture",
    PermissionError: "no permission to read it",
}
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


class ImageError(UserError):
    """A picture that cannot be used; the message is one line that begins with the picture's name."""

    def kept(self) -> "ImageError":
        """Itself, without the calls it went through: those hold the picture, and in a circle."""
        self.__cause__ = self.__context__ = None
        return self.with_traceback(None)


class TooLarge(ImageError):
    """One of more pixels than the limits allow, which are the caller's to set."""


MOST_MEGAPIXELS = 10_000


@dataclass(frozen=True)
class ImageLimits:
    """What is refused before any pixel is decoded."""

    max_bytes: int = 100_000_000  # bytes of the file; of a RAW file, of its preview
    max_pixels: int = 50_000_000  # that must be held in memory at once, 4 bytes each

    @classmethod
    def of_megapixels(cls, megapixels: float | None) -> "ImageLimits":
        """The usual limits, with another one of the pixels. Raises UserError for what is no size."""
        if megapixels is None:
            return cls()
        if not 0 < megapixels <= MOST_MEGAPIXELS:
            raise UserError(f"max_megapixels: {megapixels:g} is outside 0 to {MOST_MEGAPIXELS:,}")
        return cls(max_pixels=round(megapixels * 1e6))


def megapixels(pixels: int, most: int) -> str:
    return f"{pixels / 1e6:.1f} megapixels is more than the limit of {most / 1e6:g} megapixels"


def why_unread(source: object, error: Exception) -> str:
    """Why a path or an open file could not be read."""
    if isinstance(error, io.UnsupportedOperation):
        return "its file is not open for reading; open it with mode 'rb'"
    if not isinstance(source, str | os.PathLike):
        return f"cannot be read: {why_unreadable('', error)}"
    if is_address(name := os.fsdecode(source)):
        return ADDRESS
    return UNREADABLE.get(type(error)) or f"cannot be read: {why_unreadable(name, error)}"


def why_undecoded(error: Exception, limits: ImageLimits) -> str:
    text = str(error)
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        # Pillow refuses these before the size can be asked for; its message has the number of pixels.
        pixels = re.search(r"\((\d+) pixels\)", text)
        told = megapixels(int(pixels[1]), limits.max_pixels) if pixels else "too many pixels"
        return f"{told}; make it smaller"
    if isinstance(error, MemoryError):
        return "picture is damaged, or too large for the memory"
    if text.startswith("conversion from"):
        return f"its colours are not supported ({text}); convert it to RGB"
    if "closed file" in text or "closed image" in text:
        return CLOSED
    if "truncated" in text.lower():
        return INCOMPLETE
    return DAMAGED


def why_unopened(data: bytes) -> str:
    head = data[:1024]
    for offset, magic, told in MAGIC:
        if head.startswith(magic, offset):
            return told
    if head.startswith(b"RIFF") and len(data) < int.from_bytes(head[4:8], "little"):
        return INCOMPLETE
    if head.startswith(TIFFS) and (odd_pixels := tiff.unsupported(BytesIO(data))):
        return f"{odd_pixels}, which is not supported; save it with 8 or 16 bits a channel"
    if head.startswith(PICTURES) or is_heic(data) or (head[4:8] == b"ftyp" and b"avi" in head[8:64]):
        return DAMAGED
    if head[4:8] == b"ftyp":
        return "not a picture: looks like a video"
    text = head.decode("utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", errors="replace")
    start = text.lstrip().lower()
    if start.startswith("<svg") or (start.startswith(("<?xml", "<!")) and "<svg" in start):
        return "SVG" + UNSUPPORTED
    if start.startswith("<") and re.search(r"<(!doctype html|html|head|body|title|div|p)\b", start):
        return "not a picture: looks like HTML"
    if start.startswith("<?xml"):
        return "not a picture: looks like XML"
    odd = sum(not (letter.isprintable() or letter.isspace()) or letter == "\ufffd" for letter in text)
    if odd * 50 <= len(text):  # a few letters of another encoding are still text
        return "not a picture: looks like text"
    return "not a picture: of no known format"


def is_heic(data: bytes) -> bool:
    if data[4:8] != b"ftyp":
        return False
    brands = {data[at : at + 4] for at in range(8, min(int.from_bytes(data[:4], "big"), 128), 4)}
    # AVIF is kept in the same container and lists some of HEIF's brands too.
    return bool(brands & HEIF_BRANDS) and not brands & {b"avif", b"avis"}
