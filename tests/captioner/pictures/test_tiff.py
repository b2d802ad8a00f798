"""The directories of a TIFF are read as far as they are whole, and odd pixels are named."""

import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from captioner.pictures.load import load_image
from captioner.pictures.tiff import directories, number
from tests.helpers.image_files import drawn, encoded, refusal


def rgb(bits, sample, order="<"):
    """A TIFF of three channels, 4 x 2 pixels, of `bits` each."""
    data = bytes(4 * 2 * 3 * bits // 8)
    rows = [
        (256, 4),
        (257, 2),
        (258, None),
        (259, 1),
        (262, 2),
        (273, 200),
        (277, 3),
        (278, 2),
        (279, len(data)),
    ]
    packed = b""
    for tag, value in sorted([*rows, (339, None)]):
        three = value is None
        where = {258: 180, 339: 190}.get(tag, value)
        packed += struct.pack(f"{order}HHII", tag, 3 if three else 4, 3 if three else 1, where)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, 10) + packed + bytes(4)
    head = head.ljust(180, b"\0") + struct.pack(f"{order}3H", bits, bits, bits)
    return head.ljust(190, b"\0") + struct.pack(f"{order}3H", *[sample] * 3) + b"\0" * 4 + data


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("bits", "sample", "told"),
    [
        (32, 3, "a TIFF of 32-bit floating point"),
        (16, 3, "a TIFF of 16-bit floating point"),
        (64, 3, "a TIFF of 64-bit floating point"),
        (32, 1, "a TIFF of 32 bits a channel"),
    ],
)
def test_pixels_that_are_no_usual_ones_are_named(bits, sample, told, order):
    assert refusal(rgb(bits, sample, order)) == (
        f"picture: {told}, which is not supported; save it with 8 or 16 bits a channel"
    )


def test_usual_ones_are_shown_grey_floating_point_too():
    assert load_image(rgb(8, 1)).size == (4, 2)
    assert load_image(encoded(Image.new("F", (3, 2), 0.5), "TIFF")).getpixel((0, 0)) == (128,) * 3


def test_the_directories_are_those_of_the_file():
    (found,) = directories(io.BytesIO(drawn("TIFF")))
    assert found[258] == (8, 8, 8) and number(found, 262) == 2 and number(found, 274, 7) == 7
    assert list(directories(io.BytesIO(drawn("PNG")))) == list(directories(io.BytesIO(b"II*\0"))) == []


@settings(max_examples=200, deadline=None, database=None)
@given(st.sampled_from([b"II*\0", b"MM\0*", b"II+\0", b"IIRO"]), st.binary(max_size=200), st.data())
def test_any_bytes_give_an_end(magic, rest, data):
    for found in directories(io.BytesIO(magic + rest)):
        assert all(isinstance(value, tuple | bytes) for value in found.values())
    torn = bytearray(drawn("TIFF", (12, 9)))
    for _ in range(4):
        torn[data.draw(st.integers(4, len(torn) - 1))] = data.draw(st.integers(0, 255))
    list(directories(io.BytesIO(bytes(torn))))
