"""Any path, bytes, file or PIL picture -> an upright RGB picture, or one line that says why not.

This is the only place in the project that opens pictures, so its limits and formats hold everywhere.
"""

import contextlib
import io
import os
import warnings
from collections.abc import Sequence
from io import BytesIO
from typing import BinaryIO, NamedTuple, cast
from weakref import WeakValueDictionary

import numpy as np
from PIL import Image

from captioner.pictures import jpeg, raw
from captioner.pictures.files import printable
from captioner.pictures.refusals import (
    DAMAGED,
    ImageError,
    ImageLimits,
    TooLarge,
    is_heic,
    megapixels,
    why_undecoded,
    why_unopened,
    why_unread,
)
from captioner.pictures.rgb import to_rgb
from captioner.pictures.turns import alone_with_file, alone_with_picture
from textgen.storage.typed import shown

# Appended, so that it yields to any filter of the program's own: Pillow warns about odd metadata and huge
# sizes, which are handled here, and a library does not print.
warnings.filterwarnings("ignore", module=r"PIL\.", append=True)

_COMMON = b"\xff\xd8", b"\x89PNG"  # what JPEG and PNG begin with
# Pillow opens 43 formats, some through outside programs (EPS); MPO, the two-picture JPEG, opens as JPEG.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
ANIMATED, PAGES = "animated: first frame", "several pages: first page"
NOTES = {"GIF": ANIMATED, "WEBP": ANIMATED, "PNG": ANIMATED, "AVIF": ANIMATED, "TIFF": PAGES}
_MOST_PASSED = (
    20  # times the pixels that may be held may go by, as a JPEG is decoded in passing: seconds of work
)
_AS_TEXT = "the picture's file is open as text; open it with mode 'rb'"
HEIC_NEEDS = 'HEIC needs the extra: pip install "captioner[heif]"'
UPRIGHT = {  # EXIF orientation -> what undoes it
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
Source = str | os.PathLike[str] | bytes | BinaryIO | Image.Image
"""A path, the bytes of a file, a binary file or a PIL picture."""


class Content(NamedTuple):
    """The bytes of a picture's file, or of the preview in a RAW file."""

    data: bytes
    orientation: int | None = None
    """EXIF's, where the file has it elsewhere than in `data`."""
    note: str | None = None


class Copy(NamedTuple):
    """An open file that was read: what messages call it, and what was in it."""

    name: str
    content: Content


def load_image(
    source: Source | Copy,
    *,
    size: tuple[int, int] | None = None,
    limits: ImageLimits = ImageLimits(),
) -> Image.Image:
    """Load one picture as a viewer shows it: upright, RGB, on white, the first frame only.

    `source` is a path, the bytes of a file, a binary file (read from its start, left open) or a PIL picture
    (left as it is). `size` is the (width, height) in pixels that the caller is going to resize to: a JPEG
    is then decoded at 1/2, 1/4 or 1/8, still at least that large, which is many times faster, and what is held in memory
    counts for the limits, not what its header says. Of a RAW file it is the camera's own full preview.

    A PIL picture or an open file may be given by several threads at once: each has it in turn.
    `info` of the result has nothing of the file, no EXIF, only a "note" where frames or pages were left out, or it is a
    preview.
    Raises ImageError for everything that is no usable picture, TypeError for a source of another type.
    """
    name = _name(source)
    try:
        return _load(source, size, limits)
    except ImageError as error:
        raise type(error)(f"{name}: {error}") from error


def to_square(image: Image.Image, size: int) -> Image.Image:
    """The whole picture, nothing cropped, resized to size x size pixels (antialiased bilinear)."""
    # The gap first shrinks huge pictures by whole boxes; 3 is Pillow's value for "no visible difference".
    return image.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=3.0)


def own_copy(source: Source, limits: ImageLimits = ImageLimits(), passing: bool = False) -> Source | Copy:
    """`source` as it is now, for a thread that loads it later: an open file or a buffer, read into memory.

    Paths stay as they are, unless `passing`: then their files are read, too, for they may be overwritten. Bytes stay, and
    so do PIL pictures, which `load_image` reads in turns. Raises ImageError for what cannot be read.
    """
    path = isinstance(source, str | os.PathLike)
    if isinstance(source, bytes | Image.Image) or (path and not passing):
        return source
    if not path and not _is_file_or_buffer(source):
        return source
    name = _name(source)
    try:
        return Copy(name, _read(source, limits))
    except ImageError as error:
        raise type(error)(f"{name}: {error}") from error


# Pillow gives the pixels of a damaged picture, grey where they are missing, to whoever asks once more.
_spoilt: WeakValueDictionary[int, Image.Image] = WeakValueDictionary()


def _load(source: Source | Copy, size: tuple[int, int] | None, limits: ImageLimits) -> Image.Image:
    if isinstance(source, Image.Image):
        with alone_with_picture(source):
            return _given(source, limits)
    content = source.content if isinstance(source, Copy) else _read(source, limits)
    image = _open(content.data, limits)
    _make_small(image, content.data, size, limits)
    picture = _decoded(image, limits, content.orientation)
    # Last, because it may move a GIF to its second frame; n_frames would read all of them.
    with contextlib.suppress(Exception):
        if getattr(image, "is_animated", False) and image.format in NOTES:
            picture.info["note"] = NOTES[image.format]
    if content.note:
        picture.info["note"] = content.note
    return picture


def _given(image: Image.Image, limits: ImageLimits) -> Image.Image:
    """Of a picture that is the caller's, and stays as it is."""
    pixels = image.width * image.height
    _check_pixels(pixels, limits.max_pixels, image.width, image.height)
    if _spoilt.get(id(image)) is image:
        raise ImageError(DAMAGED)
    try:
        return _decoded(image, limits)
    except ImageError:
        if not getattr(image, "tile", True):
            _spoilt[id(image)] = image
        raise


def _decoded(image: Image.Image, limits: ImageLimits, orientation: int | None = None) -> Image.Image:
    """Upright and RGB; `orientation` is for a picture that has none of its own."""
    try:
        image.load()
        picture = to_rgb(image)
        # After load, because Pillow turns TIFF upright itself while loading.
        if (turned := _orientation(image) or orientation) in UPRIGHT:
            picture = picture.transpose(UPRIGHT[turned])
    # Damaged data raises nearly anything, from struct.error to ZeroDivisionError, depending on the format.
    except Exception as error:
        raise ImageError(why_undecoded(error, limits)) from error
    picture.info = {}
    return picture


def _make_small(image: Image.Image, data: bytes, size: tuple[int, int] | None, limits: ImageLimits) -> None:
    """Lets a JPEG be decoded at a reduced scale; raises ImageError where more must be held than the limits allow."""
    width, height = image.size
    held, most = width * height, limits.max_pixels
    if size is not None and image.format in ("JPEG", "MPO"):
        # Square, because whether width and height swap is known only once the orientation is.
        image.draft(None, (max(size), max(size)))
        head = jpeg.read_head(BytesIO(data))
        if head and not head.buffered:
            if held > _MOST_PASSED * most:
                most *= _MOST_PASSED
            else:
                held = image.width * image.height
    _check_pixels(held, most, width, height)


def _orientation(image: Image.Image) -> int | None:
    with contextlib.suppress(Exception):  # broken EXIF: shown as stored, as viewers do
        return image.getexif().get(0x0112)
    return None


def _is_file_or_buffer(source: object) -> bool:
    return isinstance(source, bytes | bytearray | memoryview) or hasattr(source, "read")


def _read(source: str | os.PathLike[str] | bytes | BinaryIO, limits: ImageLimits) -> Content:
    if not isinstance(source, str | os.PathLike) and not _is_file_or_buffer(source):
        raise TypeError(f"a picture is a path, bytes, binary file or PIL image, not {type(source).__name__}")
    if isinstance(source, io.TextIOBase):
        raise TypeError(_AS_TEXT)
    try:
        if isinstance(source, str | os.PathLike):
            with open(source, "rb") as file:
                return _content(file, limits)
        if isinstance(source, bytes | bytearray | memoryview):
            return _content(BytesIO(source), limits)
        with alone_with_file(source):
            return _content(source, limits)
    except UnicodeDecodeError as error:  # of a file of another class that decodes what it reads
        raise TypeError(_AS_TEXT) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name, a closed file
        raise ImageError(why_unread(source, error)) from error


def _content(file: BinaryIO, limits: ImageLimits) -> Content:
    """All of a file, from its beginning where it can go back to it; of a RAW file, which may be larger, its preview."""
    if isinstance(file.read(0), str):
        raise TypeError(_AS_TEXT)
    seekable = hasattr(file, "seekable") and file.seekable()
    if not seekable:
        data = _all_of(file, limits.max_bytes)
        if not data:
            raise ImageError("empty file, or a stream that was read before")
        file = BytesIO(data)
    if (kind := raw.raw_kind(file)) is not None:
        return Content(*raw.full_preview(file, kind, limits.max_bytes), raw.NOTE)
    file.seek(0)
    data = _all_of(file, limits.max_bytes)
    if not data:
        raise ImageError("empty file")
    if len(data) > limits.max_bytes:
        raise ImageError(f"more than the limit of {limits.max_bytes / 1e6:g} MB")
    return Content(data)


def _all_of(file: BinaryIO, max_bytes: int) -> bytes:
    """What is left of a file; of a larger one than `max_bytes` one byte more."""
    pieces: list[bytes] = []
    left = max_bytes + 1
    while left > 0 and (piece := file.read(left)):
        pieces.append(piece)
        left -= len(piece)
    return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)  # once in memory, not twice


def _open(data: bytes, limits: ImageLimits) -> Image.Image:
    # A format which this Pillow lacks is left out rather than a KeyError; most photos need not wait for rare ones.
    Image.preinit()
    if not data.startswith(_COMMON):
        Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]
    if is_heic(data):
        try:
            import pillow_heif
        except ImportError:
            raise ImageError(HEIC_NEEDS) from None
        pillow_heif.register_heif_opener()
        formats = ["HEIF"]
    try:
        try:
            return Image.open(BytesIO(data), formats=formats)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            # Pillow's limit is of the header alone, and the whole program's to set; ours comes next.
            return _opened_whatever_its_size(data, formats)
    except Exception as error:  # plugins raise nearly anything on damaged headers
        raise ImageError(why_unopened(data)) from error


def _opened_whatever_its_size(data: bytes, formats: Sequence[str]) -> Image.Image:
    for name in formats:
        opened, accepts = Image.OPEN[name]
        if accepts is None or accepts(data[:16]) is True:
            return cast(Image.Image, opened(BytesIO(data), ""))
    raise ImageError(DAMAGED)


def _check_pixels(held: int, most: int, width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise ImageError(f"picture has no pixels ({width} x {height})")
    if held > most:
        raise TooLarge(f"{megapixels(held, most)} ({width} x {height}); make it smaller")


def _name(source: Source | Copy) -> str:
    if isinstance(source, Copy):
        return source.name
    if isinstance(source, str | os.PathLike):
        return printable(shown(os.fsdecode(source))) or '""'
    name = getattr(source, "filename" if isinstance(source, Image.Image) else "name", None)
    return printable(os.fsdecode(name)) if name and isinstance(name, str | os.PathLike) else "picture"


def picture_pixels(source: Source | Copy, size: int, limits: ImageLimits = ImageLimits()) -> np.ndarray:
    """The whole picture, upright, as a square of pixels (size, size, 3), uint8: in training as in use."""
    return np.asarray(to_square(load_image(source, size=(size, size), limits=limits), size))
