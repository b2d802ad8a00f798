"""Picture files made by hand, whole and broken, for the tests of `captioner.pictures.load`."""

import io
import struct
import zlib
from functools import cache

import numpy as np
import pytest
from PIL import Image, features

from captioner.pictures.load import load_image
from captioner.pictures.refusals import ImageError

FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"] + ["AVIF"] * features.check("avif")
ORIENTATION = 0x0112


def encoded(image, format="PNG", **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@cache
def drawn(format="PNG", size=(48, 32)):
    """A noisy picture, so that half of the file is half of the pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels), format)


def png(width, height, depth, colour, rows=None, extra=b""):
    """A PNG written by hand: what its header says need not be true."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    pixels = b"" if rows is None else chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    extra = chunk(b"tRNS", extra) if extra else b""
    return b"\x89PNG\r\n\x1a\n" + header + extra + (pixels or chunk(b"IDAT", b"")) + chunk(b"IEND", b"")


def jpeg_header(width, height):
    frame = struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes([1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1])
    scan = struct.pack(">HB", 12, 3) + bytes([1, 0, 2, 0x11, 3, 0x11, 0, 63, 0])
    return b"\xff\xd8\xff\xc0" + frame + b"\xff\xda" + scan


def refusal(source, **options):
    with pytest.raises(ImageError) as caught:
        load_image(source, **options)
    assert str(caught.value).isprintable(), "one line"
    return str(caught.value)


def colours(image):
    return [image.getpixel((x, 0)) for x in range(image.width)]
