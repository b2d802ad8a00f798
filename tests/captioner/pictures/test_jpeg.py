"""A JPEG's head says how large it is, and whether its decoder must hold all of it."""

import io

import numpy as np
import pytest
from PIL import Image

from captioner.pictures.jpeg import read_head
from captioner.pictures.load import load_image
from captioner.pictures.refusals import ImageLimits, TooLarge
from tests.helpers.image_files import drawn, encoded, jpeg_header, refusal

# Large ones make Pillow warn; `captioner.pictures.load` silences that, pytest shows it again.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")

SIZE = (224, 224)


def head_of(data, start=0):
    return read_head(io.BytesIO(data), start)


@pytest.mark.parametrize(("options", "buffered"), [({}, False), ({"progressive": True}, True)])
def test_the_head_is_what_pillow_reads(options, buffered):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8))
    data = encoded(picture, "JPEG", exif=b"Exif\0\0II*\0", **options)
    head = head_of(data)
    assert head[:4] == (50, 30, buffered, False)
    assert data[head.pixels_at - 3 :][:1] in (b"\0", b"\1") and head_of(b"xx" + data, 2)[:2] == (50, 30)


def test_a_colour_at_a_time_must_be_held_and_what_is_none_has_no_head():
    one_colour = jpeg_header(64, 48).replace(b"\0\x0c\x03\1\0\2\x11\3\x11", b"\0\x08\x01\1\0")
    assert head_of(jpeg_header(64, 48)).buffered is False and head_of(one_colour).buffered is True
    assert head_of(jpeg_header(64, 48).replace(b"\xff\xc0", b"\xff\xc3")).lossless is True
    for data in (b"", b"\xff\xd8", drawn("PNG"), jpeg_header(64, 48)[:20], b"\xff\xd8" + b"\xff" * 3000):
        assert head_of(data) is None


@pytest.mark.parametrize(("width", "height"), [(8165, 6160), (12000, 9000), (16320, 12240)])
def test_the_photos_of_phones_are_not_refused_for_their_size(width, height):
    # There are no pixels behind these heads: what is said of them comes from the decoder.
    assert refusal(jpeg_header(width, height), size=SIZE) == "picture: picture is damaged or incomplete"


def test_what_must_be_held_at_once_is_refused_from_the_head():
    progressive = jpeg_header(8165, 6160).replace(b"\xff\xc0", b"\xff\xc2")
    assert "50.3 megapixels is more than the limit of 50 megapixels (8165 x 6160)" in refusal(
        progressive, size=SIZE
    )
    assert "limit of 1000 megapixels" in refusal(jpeg_header(65_535, 65_535), size=SIZE)
    assert "limit of 50 megapixels" in refusal(jpeg_header(8165, 6160))  # to be shown in full
    assert "limit of 50 megapixels" in refusal(jpeg_header(8165, 6160), size=(8165, 8165))
    with pytest.raises(TooLarge):
        load_image(progressive, size=SIZE)


def test_the_limit_is_the_callers_also_above_pillows():
    limits = ImageLimits.of_megapixels(300)
    for data in (jpeg_header(16320, 12240), jpeg_header(16320, 12240).replace(b"\xff\xc0", b"\xff\xc2")):
        assert "incomplete" in refusal(data, limits=limits)
    small = ImageLimits(max_pixels=1200)
    photo = encoded(Image.new("RGB", (160, 120), "teal"), "JPEG")
    assert load_image(photo, size=(20, 15), limits=small).size == (40, 30)
    assert "limit of 0.0012 megapixels" in refusal(photo, limits=small)
