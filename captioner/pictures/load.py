"""Any path, bytes, file or PIL picture -> an upright RGB picture, or one line that says why not.

This is the only place in the project that opens pictures, so its limits and formats hold everywhere.
"""

import contextlib
import os
import re
import warnings
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

import numpy as np
from PIL import Image

from captioner.pictures.files import printable
from textgen.errors import UserError

# Appended, so that it yields to any filter of the program's own: Pillow warns about odd metadata and huge
# sizes, which are handled here, and a library does not print.
warnings.filterwarnings("ignore", module=r"PIL\.", append=True)

# Pillow opens 43 formats, some through outside programs (EPS); MPO, the two-picture JPEG, opens as JPEG.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
ANIMATED, PAGES = "animated: first frame", "several pages: first page"
NOTES = {"GIF": ANIMATED, "WEBP": ANIMATED, "PNG": ANIMATED, "AVIF": ANIMATED, "TIFF": PAGES}
UNSUPPORTED = " pictures are not supported; convert it to PNG or JPEG"
HEIC_NEEDS = 'HEIC needs the extra: pip install "captioner[heif]"'
DAMAGED, INCOMPLETE = "picture is damaged or incomplete", "picture is incomplete"
UPRIGHT = {  # EXIF orientation -> what undoes it
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
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
UNREADABLE = {
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


def load_image(
    source: str | os.PathLike | bytes | BinaryIO | Image.Image,
    *,
    size: tuple[int, int] | None = None,
    limits: ImageLimits = ImageLimits(),
) -> Image.Image:
    """Load one picture as a viewer shows it: upright, RGB, on white, the first frame only.

    `source` is a path, the bytes of a file, a binary file (read from its start, left open) or a PIL picture
    (left as it is). `size` is the (width, height) in pixels that the caller is going to resize to: a JPEG
    is then decoded at 1/2, 1/4 or 1/8, still at least that large, which is many times faster.

    `info` of the result has nothing of the file, no EXIF, only a "note" where frames or pages were left out.
    Raises ImageError for everything that is no usable picture, TypeError for a source of another type.
    """
    name = _name(source)
    try:
        return _load(source, size, limits)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error


def to_square(image: Image.Image, size: int) -> Image.Image:
    """The whole picture, nothing cropped, resized to size x size pixels (antialiased bilinear)."""
    # The gap first shrinks huge pictures by whole boxes; 3 is Pillow's value for "no visible difference".
    return image.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=3.0)


def _load(source, size: tuple[int, int] | None, limits: ImageLimits) -> Image.Image:
    given = isinstance(source, Image.Image)
    image = source if given else _open(_read(source, limits.max_bytes), limits)
    _check_pixels(image.width, image.height, limits)
    try:
        if size is not None and not given:
            # Square, because whether width and height swap is known only once the orientation is.
            image.draft(None, (max(size), max(size)))
        image.load()
        picture = _to_rgb(image)
        # After load, because Pillow turns TIFF upright itself while loading.
        if (orientation := _orientation(image)) in UPRIGHT:
            picture = picture.transpose(UPRIGHT[orientation])
    # Damaged data raises nearly anything, from struct.error to ZeroDivisionError, depending on the format.
    except Exception as error:
        raise ImageError(_why_undecoded(error, limits)) from error
    picture.info = {}
    if not given:
        # Last, because it may move a GIF to its second frame; n_frames would read all of them.
        with contextlib.suppress(Exception):
            if image.is_animated and image.format in NOTES:
                picture.info["note"] = NOTES[image.format]
    return picture


def _orientation(image: Image.Image) -> int | None:
    with contextlib.suppress(Exception):  # broken EXIF: shown as stored, as viewers do
        return image.getexif().get(0x0112)
    return None


def _read(source, max_bytes: int) -> bytes:
    if isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
    elif isinstance(source, str | os.PathLike) or hasattr(source, "read"):
        data = bytearray()
        try:
            with contextlib.nullcontext(source) if hasattr(source, "read") else open(source, "rb") as file:
                if file is source and source.seekable():
                    source.seek(0)
                while chunk := file.read(max_bytes + 1 - len(data)):
                    if isinstance(chunk, str):
                        raise TypeError("the picture's file is open as text; open it with mode 'rb'")
                    data += chunk
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name, a closed file
            reason = f"cannot be read: {getattr(error, 'strerror', None) or error}"
            raise ImageError(UNREADABLE.get(type(error), reason)) from error
        data = bytes(data)
    else:
        raise TypeError(f"a picture is a path, bytes, binary file or PIL image, not {type(source).__name__}")
    if not data:
        raise ImageError("empty file")
    if len(data) > max_bytes:
        raise ImageError(f"more than the limit of {max_bytes / 1e6:g} MB")
    return data


def _open(data: bytes, limits: ImageLimits) -> Image.Image:
    Image.init()  # so that a format which this Pillow lacks is left out rather than a KeyError
    formats = [name for name in FORMATS if name in Image.OPEN]
    if _is_heic(data):
        try:
            import pillow_heif
        except ImportError:
            raise ImageError(HEIC_NEEDS) from None
        pillow_heif.register_heif_opener()
        formats = ["HEIF"]
    try:
        return Image.open(BytesIO(data), formats=formats)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(_why_undecoded(error, limits)) from error
    except Exception as error:  # plugins raise nearly anything on damaged headers
        raise ImageError(_why_unopened(data)) from error


def _check_pixels(width: int, height: int, limits: ImageLimits) -> None:
    if width < 1 or height < 1:
        raise ImageError(f"picture has no pixels ({width} x {height})")
    if width * height > limits.max_pixels:
        raise ImageError(f"{_megapixels(width * height, limits)} ({width} x {height}); make it smaller")


def _megapixels(pixels: int, limits: ImageLimits) -> str:
    return f"{pixels / 1e6:.1f} megapixels is more than the limit of {limits.max_pixels / 1e6:g} megapixels"


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return Image.fromarray(_grey_to_8_bits(image)).convert("RGB")
    if image.has_transparency_data:
        rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(rgba, mask=rgba)
        return white
    return image.convert("RGB")  # a copy, even of RGB


def _grey_to_8_bits(image: Image.Image) -> np.ndarray:
    """(height, width) uint8 of deep grey, scaled by the range of its format where that is known."""
    grey = np.asarray(image, dtype=np.float64 if image.mode == "F" else np.float32)
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        low, high = 0, 65535
    else:
        # 32 bits have no customary white: take the least customary range that holds the values, or their own.
        finite = grey[np.isfinite(grey)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        tops = [top for top in (1, 255, 65535) if high <= top and (top > 1 or image.mode == "F")]
        if low >= 0 and tops:
            low, high = 0, tops[0]
    scaled = (grey - low) * (255 / max(high - low, 1e-30))
    bright = np.nan_to_num(scaled.clip(0, 255).round()).astype(np.uint8)
    if isinstance(clear := image.info.get("transparency"), int):  # Pillow applies this key to 8 bits only
        bright[grey == clear] = 255
    return bright


def _why_undecoded(error: Exception, limits: ImageLimits) -> str:
    text = str(error)
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        # Pillow refuses these before the size can be asked for; its message has the number of pixels.
        pixels = re.search(r"\((\d+) pixels\)", text)
        return _megapixels(int(pixels[1]), limits) + "; make it smaller" if pixels else "too many pixels"
    if isinstance(error, MemoryError):
        return "picture is damaged, or too large for the memory"
    if text.startswith("conversion from"):
        return f"its colours are not supported ({text}); convert it to RGB"
    if "truncated" in text.lower():
        return INCOMPLETE
    return DAMAGED


def _why_unopened(data: bytes) -> str:
    head = data[:1024]
    for offset, magic, told in MAGIC:
        if head.startswith(magic, offset):
            return told
    if head.startswith(b"RIFF") and len(data) < int.from_bytes(head[4:8], "little"):
        return INCOMPLETE
    if head.startswith(PICTURES) or _is_heic(data) or (head[4:8] == b"ftyp" and b"avi" in head[8:64]):
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


def _is_heic(data: bytes) -> bool:
    if data[4:8] != b"ftyp":
        return False
    brands = {data[at : at + 4] for at in range(8, min(int.from_bytes(data[:4], "big"), 128), 4)}
    # AVIF is kept in the same container and lists some of HEIF's brands too.
    return bool(brands & HEIF_BRANDS) and not brands & {b"avif", b"avis"}


def _name(source) -> str:
    if isinstance(source, str | os.PathLike):
        return printable(os.fsdecode(source)) or '""'
    name = getattr(source, "filename" if isinstance(source, Image.Image) else "name", None)
    return printable(os.fsdecode(name)) if name and isinstance(name, str | os.PathLike) else "picture"
