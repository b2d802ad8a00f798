"""Why a file is no usable picture, in words for the person who gave it."""

import re
from dataclasses import dataclass

from PIL import Image

from textgen.errors import UserError

UNSUPPORTED = " pictures are not supported; convert it to PNG or JPEG"
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
)
PICTURES = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
UNREADABLE: dict[type[Exception], str] = {
    FileNotFoundError: "no such file",
    IsADirectoryError: "a folder, not a picture",
    PermissionError: "no permission to read it",
}
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


class ImageError(UserError):
    """A picture that cannot be used; the message is one line that begins with the picture's name."""


@dataclass(frozen=True)
class ImageLimits:
    """What is refused before any pixel is decoded."""

    max_bytes: int = 50_000_000  # bytes of the file
    max_pixels: int = 50_000_000  # width x height as the header states it; 4 bytes each once decoded


def megapixels(pixels: int, limits: ImageLimits) -> str:
    return f"{pixels / 1e6:.1f} megapixels is more than the limit of {limits.max_pixels / 1e6:g} megapixels"


def why_undecoded(error: Exception, limits: ImageLimits) -> str:
    text = str(error)
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        # Pillow refuses these before the size can be asked for; its message has the number of pixels.
        pixels = re.search(r"\((\d+) pixels\)", text)
        return megapixels(int(pixels[1]), limits) + "; make it smaller" if pixels else "too many pixels"
    if isinstance(error, MemoryError):
        return "picture is damaged, or too large for the memory"
    if text.startswith("conversion from"):
        return f"its colours are not supported ({text}); convert it to RGB"
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
