"""Any path, bytes, file or PIL picture -> an upright RGB picture, or one line that says why not.

This is the only place in the project that opens pictures, so its limits and formats hold everywhere.
"""

import contextlib
import os
import warnings
from io import BytesIO
from typing import BinaryIO

import numpy as np
from PIL import Image

from captioner.pictures.files import printable
from captioner.pictures.refusals import (
    UNREADABLE,
    ImageError,
    ImageLimits,
    is_heic,
    megapixels,
    why_undecoded,
    why_unopened,
)
from captioner.pictures.rgb import to_rgb

# Appended, so that it yields to any filter of the program's own: Pillow warns about odd metadata and huge
# sizes, which are handled here, and a library does not print.
warnings.filterwarnings("ignore", module=r"PIL\.", append=True)

# Pillow opens 43 formats, some through outside programs (EPS); MPO, the two-picture JPEG, opens as JPEG.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
ANIMATED, PAGES = "animated: first frame", "several pages: first page"
NOTES = {"GIF": ANIMATED, "WEBP": ANIMATED, "PNG": ANIMATED, "AVIF": ANIMATED, "TIFF": PAGES}
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


def load_image(
    source: Source,
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


def _load(source: Source, size: tuple[int, int] | None, limits: ImageLimits) -> Image.Image:
    given = isinstance(source, Image.Image)
    image = source if isinstance(source, Image.Image) else _open(_read(source, limits.max_bytes), limits)
    _check_pixels(image.width, image.height, limits)
    try:
        if size is not None and not given:
            # Square, because whether width and height swap is known only once the orientation is.
            image.draft(None, (max(size), max(size)))
        image.load()
        picture = to_rgb(image)
        # After load, because Pillow turns TIFF upright itself while loading.
        if (orientation := _orientation(image)) in UPRIGHT:
            picture = picture.transpose(UPRIGHT[orientation])
    # Damaged data raises nearly anything, from struct.error to ZeroDivisionError, depending on the format.
    except Exception as error:
        raise ImageError(why_undecoded(error, limits)) from error
    picture.info = {}
    if not given:
        # Last, because it may move a GIF to its second frame; n_frames would read all of them.
        with contextlib.suppress(Exception):
            if getattr(image, "is_animated", False) and image.format in NOTES:
                picture.info["note"] = NOTES[image.format]
    return picture


def _orientation(image: Image.Image) -> int | None:
    with contextlib.suppress(Exception):  # broken EXIF: shown as stored, as viewers do
        return image.getexif().get(0x0112)
    return None


def _read(source: str | os.PathLike[str] | bytes | BinaryIO, max_bytes: int) -> bytes:
    data: bytes | bytearray
    if isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
    elif isinstance(source, str | os.PathLike) or hasattr(source, "read"):
        data = bytearray()
        try:
            with _opened(source) as file:
                if file is source and file.seekable():
                    file.seek(0)
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


def _opened(source: str | os.PathLike[str] | BinaryIO) -> contextlib.AbstractContextManager[BinaryIO]:
    """A file to be closed at the end, or one that stays open."""
    return open(source, "rb") if isinstance(source, str | os.PathLike) else contextlib.nullcontext(source)


def _open(data: bytes, limits: ImageLimits) -> Image.Image:
    Image.init()  # so that a format which this Pillow lacks is left out rather than a KeyError
    formats = [name for name in FORMATS if name in Image.OPEN]
    if is_heic(data):
        try:
            import pillow_heif
        except ImportError:
            raise ImageError(HEIC_NEEDS) from None
        pillow_heif.register_heif_opener()
        formats = ["HEIF"]
    try:
        return Image.open(BytesIO(data), formats=formats)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(why_undecoded(error, limits)) from error
    except Exception as error:  # plugins raise nearly anything on damaged headers
        raise ImageError(why_unopened(data)) from error


def _check_pixels(width: int, height: int, limits: ImageLimits) -> None:
    if width < 1 or height < 1:
        raise ImageError(f"picture has no pixels ({width} x {height})")
    if width * height > limits.max_pixels:
        raise ImageError(f"{megapixels(width * height, limits)} ({width} x {height}); make it smaller")


def _name(source: Source) -> str:
    if isinstance(source, str | os.PathLike):
        return printable(os.fsdecode(source)) or '""'
    name = getattr(source, "filename" if isinstance(source, Image.Image) else "name", None)
    return printable(os.fsdecode(name)) if name and isinstance(name, str | os.PathLike) else "picture"


def picture_pixels(source: Source, size: int) -> np.ndarray:
    """The whole picture, upright, as a square of pixels (size, size, 3), uint8: in training as in use."""
    return np.asarray(to_square(load_image(source, size=(size, size)), size))
