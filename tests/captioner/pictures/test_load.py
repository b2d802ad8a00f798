"""Promise 1: any bytes given as a picture yield an upright RGB picture or an error of one line."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from captioner.pictures.load import load_image, to_square
from tests.helpers.image_files import FORMATS, ORIENTATION, colours, drawn, encoded, png

# Damaged files make Pillow warn; `captioner.pictures.load` silences that, pytest shows it again.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_becomes_rgb_from_path_bytes_file_and_pil_alike(format, tmp_path):
    data = drawn(format)
    path = tmp_path / "named.jpg"  # content decides, not the name
    path.write_bytes(data)
    opened = Image.open(io.BytesIO(data))
    expected = np.asarray(opened.convert("RGB"))
    with path.open("rb") as file:
        file.read(7)
        pictures = [load_image(source) for source in (path, str(path), data, bytearray(data), file, opened)]
        assert not file.closed
    for picture in pictures:
        assert (picture.mode, picture.size) == ("RGB", (48, 32))
        assert np.array_equal(np.asarray(picture), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", [name for name in FORMATS if name not in ("GIF", "BMP", "PPM")])
def test_a_picture_stands_upright_whatever_its_exif_orientation(format, orientation):
    # As stored -> upright: rows and columns as EXIF 2.3 names the corners, written without Pillow's table.
    upright = np.zeros((32, 64), np.uint8)
    upright[:16, :32] = 255
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)).convert("RGB"), format, exif=exif)
    for source in (data, Image.open(io.BytesIO(data))):
        shown = np.asarray(load_image(source).convert("L"))
        assert shown.shape == upright.shape
        assert np.array_equal(shown > 127, upright > 127)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0MM\0*\0\0\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"x" * 40]
)
def test_broken_exif_is_ignored(exif):
    assert load_image(encoded(Image.new("RGB", (8, 4)), "JPEG", exif=exif)).size == (8, 4)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_nothing_of_the_file_but_its_pixels_is_handed_on(format):
    exif = Image.Exif()
    exif[0x010F] = "maker"
    exif.get_ifd(0x8825)[1] = "N"
    data = encoded(Image.new("RGB", (8, 4)), format, exif=exif, dpi=(72, 72), icc_profile=b"profile")
    for source in (data, Image.open(io.BytesIO(data))):
        picture = load_image(source)
        assert picture.info == {}
        assert not dict(picture.getexif())
        assert b"maker" not in encoded(picture, format)


def test_transparency_is_shown_on_white():
    clear_red, half_black = (255, 0, 0, 0), (0, 0, 0, 128)
    rgba = Image.new("RGBA", (2, 1), clear_red)
    rgba.putpixel((1, 0), half_black)
    assert colours(load_image(rgba)) == [(255, 255, 255), (127, 127, 127)]
    assert colours(load_image(encoded(rgba, "WEBP", lossless=True))) == [(255, 255, 255), (127, 127, 127)]
    for mode in ("LA", "La", "RGBa"):
        assert colours(load_image(Image.new(mode, (1, 1)))) == [(255, 255, 255)]
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.putpixel((1, 0), 1)
    for data in (encoded(palette, "PNG", transparency=0), encoded(palette, "GIF", transparency=0)):
        assert colours(load_image(data)) == [(255, 255, 255), (0, 0, 255)]
    assert colours(load_image(png(2, 1, 8, 2, [bytes([9, 9, 9, 0, 0, 255])], extra=b"\0\x09" * 3))) == [
        (255, 255, 255),
        (0, 0, 255),
    ]
    assert colours(load_image(png(2, 1, 16, 0, [struct.pack(">2H", 7, 0)], extra=b"\0\x07"))) == [
        (255, 255, 255),
        (0, 0, 0),
    ]


@pytest.mark.parametrize(
    "values",
    [
        np.uint16([[0, 32768, 65535]]),
        np.array([[0, 32768, 65535]], ">u2"),
        np.int32([[0, 32768, 65535]]),
        np.int32([[0, 128, 255]]),
        np.int32([[-1000, 4, 1000]]),
        np.float32([[0, 0.502, 1]]),
        np.float32([[0, 128, 255]]),
        np.float32([[-3e38, 2e36, 3e38]]),
    ],
    ids=lambda values: f"{values.dtype}-{values[0, -1]:g}",
)
def test_deep_grey_is_scaled_and_not_clipped(values):
    grey = Image.fromarray(values)
    assert colours(load_image(grey)) == [(0,) * 3, (128,) * 3, (255,) * 3]
    if grey.mode != "I;16B":
        assert colours(load_image(encoded(grey, "TIFF"))) == [(0,) * 3, (128,) * 3, (255,) * 3]


def test_deep_grey_files_and_odd_numbers():
    assert colours(load_image(png(2, 1, 16, 0, [struct.pack(">2H", 257, 25700)]))) == [(1,) * 3, (100,) * 3]
    assert colours(load_image(b"P5 2 1 65535\n" + struct.pack(">2H", 257, 25700))) == [(1,) * 3, (100,) * 3]
    odd = np.float32([[np.nan, np.inf, -np.inf, 1]])
    assert load_image(Image.fromarray(odd)).mode == "RGB"
    assert load_image(Image.fromarray(np.full((2, 2), np.nan, np.float32))).mode == "RGB"


def test_other_colour_models_look_as_a_viewer_shows_them():
    red_ink = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    assert np.abs(np.subtract(load_image(encoded(red_ink, "JPEG")).getpixel((4, 4)), (255, 0, 0))).max() < 6
    one_bit = Image.new("1", (2, 1))
    one_bit.putpixel((1, 0), 1)
    assert colours(load_image(encoded(one_bit))) == [(0, 0, 0), (255, 255, 255)]
    for mode in ("L", "P", "PA", "HSV", "YCbCr", "RGBX"):
        assert load_image(Image.new(mode, (2, 1))).mode == "RGB"


@pytest.mark.parametrize("format", [name for name in FORMATS if name in ("GIF", "WEBP", "PNG", "AVIF")])
def test_an_animation_gives_its_first_frame_and_says_so(format):
    frames = [Image.new("RGB", (8, 4), colour) for colour in ("red", "blue", "lime")]
    picture = load_image(encoded(frames[0], format, save_all=True, append_images=frames[1:]))
    assert picture.info == {"note": "animated: first frame"}
    assert np.abs(np.subtract(picture.getpixel((0, 0)), (255, 0, 0))).max() < 6
    assert load_image(encoded(frames[0], format)).info == {}


def test_the_frames_of_an_animation_are_never_counted(monkeypatch):
    def counted(self):
        raise AssertionError("n_frames reads every frame")

    frames = [Image.new("RGB", (8, 4), colour) for colour in ("red", "blue")]
    monkeypatch.setattr("PIL.GifImagePlugin.GifImageFile.n_frames", property(counted))
    monkeypatch.setattr("PIL.TiffImagePlugin.TiffImageFile.n_frames", property(counted))
    for format in ("GIF", "TIFF"):
        data = encoded(frames[0], format)
        assert "note" not in load_image(data).info
    gif = b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff" + b",\0\0\0\0\1\0\1\0\0\2\2D\1\0" * 2 + b";"
    assert load_image(gif).info == {"note": "animated: first frame"}


def test_the_callers_pil_picture_stays_as_it_is():
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    mine = Image.open(io.BytesIO(encoded(Image.new("RGB", (8, 4), "red"), "PNG", exif=exif)))
    info = dict(mine.info)
    load_image(mine, size=(1, 1)).paste("blue", (0, 0, 4, 8))
    assert (mine.size, mine.getpixel((0, 0)), mine.getexif()[ORIENTATION]) == ((8, 4), (255, 0, 0), 6)
    assert info.items() <= mine.info.items()
    plain = Image.new("RGB", (2, 2))
    assert load_image(plain) is not plain


@pytest.mark.parametrize("wanted", [(1, 1), (100, 100), (100, 20), (224, 224), (399, 1), (4000, 4000)])
def test_a_jpeg_decoded_at_reduced_size_is_at_least_as_large_as_wanted(wanted):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    for options in ({}, {"exif": exif}):
        full = load_image(encoded(Image.new("RGB", (800, 400)), "JPEG", **options))
        reduced = load_image(encoded(Image.new("RGB", (800, 400)), "JPEG", **options), size=wanted)
        assert all(
            got >= min(want, whole) for got, want, whole in zip(reduced.size, wanted, full.size, strict=True)
        )
        assert abs(reduced.width / reduced.height - full.width / full.height) < 0.05
    assert load_image(encoded(Image.new("RGB", (800, 400)), "JPEG"), size=(50, 50)).size == (100, 50)


@pytest.mark.parametrize("width, height", [(1, 1), (1, 4000), (20_000, 10), (3, 2), (640, 480)])
def test_any_shape_becomes_a_square_of_the_whole_picture(width, height):
    picture = load_image(
        encoded(Image.new("RGB", (width, height), "teal"), "JPEG", quality=95), size=(32, 32)
    )
    square = to_square(picture, 32)
    assert (square.size, square.mode) == ((32, 32), "RGB")
    assert np.abs(np.asarray(square, int) - (0, 128, 128)).max() < 6


def test_a_square_holds_all_four_corners_antialiased():
    halves = Image.new("RGB", (400, 100), "white")
    halves.paste("black", (0, 0, 200, 100))
    square = np.asarray(to_square(halves, 10))
    assert square[:, :4].max() == 0 and square[:, 6:].min() == 255
    stripes = Image.fromarray(np.tile(np.uint8([0, 255]), (400, 200))).convert("RGB")
    assert np.abs(np.asarray(to_square(stripes, 50), int) - 127).max() < 20
