"""RAW files are captioned from the full preview that their camera put in, or named as what they are."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from captioner.pictures.files import find_pictures
from captioner.pictures.load import load_image, own_copy
from captioner.pictures.refusals import ImageError, ImageLimits
from tests.helpers.image_files import ORIENTATION, drawn, encoded, refusal

# Damaged files make Pillow warn; `captioner.pictures.load` silences that, pytest shows it again.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")

JPEG, RGB, SENSOR, LINEAR = 6, 2, 32803, 34892
FULL = (600, 400)


def shades(size=FULL):
    """A photo whose left is dark and whose right is light."""
    return encoded(Image.linear_gradient("L").rotate(90).resize(size), "JPEG", quality=90)


def tiff(*directories, magic=b"II*\0", mark=b""):
    """A file of directories inside the first, each {tag: number, (numbers) or bytes}; bytes of STRIPS are data."""
    data, places = bytearray(magic + bytes(4) + mark), []
    for tags in reversed(directories):
        if tags is directories[0] and places:
            tags = {**tags, 330: tuple(places)}
        rows = []
        for tag, value in sorted(tags.items()):
            if isinstance(value, bytes) and tag in (273, 324, 513):
                value, at = len(data), value
                data += at
            values = value if isinstance(value, tuple) else (value,)
            kind, packed = (
                (2, value + b"\0")
                if isinstance(value, bytes)
                else (4, struct.pack(f"<{len(values)}I", *values))
            )
            if len(packed) > 4:
                packed, at = struct.pack("<I", len(data)), packed
                data += at
            count = len(values) if kind == 4 else len(value) + 1
            rows.append(struct.pack("<HHI4s", tag, kind, count, packed))
        places.insert(0, len(data))
        data += struct.pack("<H", len(rows)) + b"".join(rows) + bytes(4)
    data[4:8] = struct.pack("<I", places[0])
    return bytes(data)


def thumbnail(**tags):
    small = {254: 1, 256: 32, 257: 24, 258: (8, 8, 8), 259: 1, 262: RGB, 273: bytes(32 * 24 * 3), 277: 3}
    return {**small, 279: 32 * 24 * 3, **{int(tag[1:]): value for tag, value in tags.items()}}


def sensor(data=b"\x10\x01" * 3000, photometric=SENSOR, compression=1):
    return {
        254: 0,
        256: 64,
        257: 48,
        258: 16,
        259: compression,
        262: photometric,
        273: data,
        277: 1,
        279: len(data),
    }


def preview(data, photometric=JPEG):
    return {
        254: 1,
        256: FULL[0],
        257: FULL[1],
        258: 8,
        259: 7,
        262: photometric,
        273: data,
        277: 3,
        279: len(data),
    }


def cr3(data, orientation=1):
    box = struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"crx ", 1, b"crx ", b"isom")
    inner = tiff({ORIENTATION: orientation})
    return box + struct.pack(">I4s", 8 + len(inner), b"CMT1") + inner + struct.pack(">I4s", 8, b"mdat") + data


def raf(data):
    return (
        b"FUJIFILMCCD-RAW 0201FF389501X-T5".ljust(84, b"\0")
        + struct.pack(">II", 148, len(data)).ljust(64)
        + data
    )


KINDS = {
    "DNG": lambda data: tiff(thumbnail(_50706=0x00000401), sensor(), preview(data)),
    "CR2": lambda data: tiff(preview(data), sensor(), mark=b"CR\2\0"),
    "NEF": lambda data: tiff(
        thumbnail(_271=b"NIKON CORPORATION"), {254: 1, 513: data, 514: len(data)}, sensor()
    ),
    "ARW": lambda data: tiff(thumbnail(_271=b"SONY"), {254: 1, 513: data, 514: len(data)}, sensor()),
    "ORF": lambda data: tiff(thumbnail(), sensor(), preview(data), magic=b"IIRO"),
    "RW2": lambda data: tiff(thumbnail(), sensor(), preview(data), magic=b"IIU\0"),
    "CR3": cr3,
    "RAF": raf,
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_full_preview_is_what_is_seen(kind, tmp_path):
    data = KINDS[kind](shades())
    path = tmp_path / "photo.jpg"  # content decides, not the name
    path.write_bytes(data + bytes(100))
    right = np.asarray(load_image(shades()))
    with path.open("rb") as file:
        for source in (path, data, file, io.BytesIO(data), own_copy(io.BytesIO(data))):
            seen = load_image(source)
            assert np.array_equal(np.asarray(seen), right)
            assert seen.info == {"note": "RAW: its preview"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_thumbnail_is_never_taken_for_the_photo(kind):
    for small in (shades((160, 120)), shades((256, 171)), b"\xff\xd8\xff" + bytes(50)):
        message = refusal(KINDS[kind](small))
        assert message.startswith("picture: RAW") and message.endswith("develop it to JPEG, PNG or TIFF")
    # Cut short, a file may have lost what says that it is RAW.
    assert "RAW" in (told := refusal(KINDS[kind](shades())[:2000])) or "incomplete" in told


def test_the_kind_is_named():
    named = {kind: refusal(make(b"")).split()[2] for kind, make in KINDS.items() if kind != "CR2"}
    assert named == {kind: f"({kind})" for kind in named}
    assert refusal(tiff(thumbnail(), sensor())).startswith("picture: RAW without a preview")
    assert "160 x 120" in refusal(KINDS["DNG"](shades((160, 120))))


def test_the_sensors_own_jpegs_are_no_previews():
    tile = shades((900, 900))
    lossless = tile.replace(b"\xff\xc0", b"\xff\xc3", 1)
    right = np.asarray(load_image(shades()))
    for raw in (
        tiff(thumbnail(_50706=1), sensor(tile, LINEAR, 34892), preview(shades())),
        tiff(thumbnail(_50706=1), sensor(lossless, compression=7), preview(shades())),
        tiff(thumbnail(_50706=1), sensor(), preview(shades())) + lossless,
    ):
        assert np.array_equal(np.asarray(load_image(raw)), right)
    tiles = tiff(thumbnail(_50706=1), {**preview(shades()), 273: (8, 9)}, sensor(tile, LINEAR))
    assert "RAW (DNG) without a preview" in refusal(tiles)


@pytest.mark.parametrize(
    "make",
    [
        lambda turn, data: tiff(thumbnail(_50706=1, _274=turn), preview(data)),
        lambda turn, data: cr3(data, turn),
    ],
)
def test_a_preview_stands_upright(make):
    turned = load_image(make(6, shades()))
    assert turned.size == FULL[::-1]
    rows = np.asarray(turned.convert("L"), dtype=int).mean(axis=1)
    assert abs(rows[0] - rows[-1]) > 200  # what went from left to right goes from top to bottom
    exif = Image.Exif()
    exif[ORIENTATION] = 3
    own = encoded(Image.linear_gradient("L").resize(FULL), "JPEG", exif=exif)
    assert load_image(make(6, own)).size == FULL  # its own says more


def test_only_the_preview_counts_for_the_limits(tmp_path):
    path = tmp_path / "large.raf"
    path.write_bytes(raf(shades()) + bytes(3_000_000))
    assert load_image(path, limits=ImageLimits(max_bytes=100_000)).size == FULL
    assert "limit of 0.001 MB" in refusal(path, limits=ImageLimits(max_bytes=1000))


def test_a_preview_across_the_pieces_that_are_looked_through_is_found():
    for shift in (-2, -1, 0, 1):
        gap = (1 << 20) - 148 + shift
        assert load_image(raf(b"")[:148].ljust(148, b"\0") + bytes(gap) + shades()).size == FULL


def test_an_ordinary_tiff_is_no_raw():
    pages = [Image.new("RGB", (64, 48), colour) for colour in ("red", "blue")]
    assert load_image(encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])).size == (64, 48)
    assert load_image(drawn("TIFF")).size == (48, 32)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None, database=None)
@given(changes=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=8), kept=st.floats(0.05, 2))
def test_a_damaged_file_gives_a_picture_or_one_line(kind, changes, kept):
    data = bytearray(KINDS[kind](shades((480, 4))))
    for place, flip in changes:
        data[int(place * (len(data) - 1))] ^= flip
    try:
        assert load_image(bytes(data[: int(len(data) * kept)]), size=(16, 16)).mode == "RGB"
    except ImageError as error:
        assert str(error).isprintable() and str(error).startswith("picture: ")


def test_a_folder_of_raw_files_is_a_folder_of_pictures(tmp_path):
    names = [f"a.{ending}" for ending in ("ARW", "CR3", "RAF", "cr2", "dng", "nef", "orf", "rw2")]
    for name in names:
        (tmp_path / name).touch()
    assert [path.name for path in find_pictures([tmp_path])] == names
