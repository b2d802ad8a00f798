"""What is no usable picture is refused in one line, before it costs memory or time."""

import io
import subprocess
import sys
import types

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from captioner.pictures.load import load_image
from captioner.pictures.refusals import ImageError, ImageLimits
from tests.helpers.image_files import FORMATS, drawn, encoded, jpeg_header, png, refusal
from tests.helpers.paths import ROOT

# Damaged files make Pillow warn; `captioner.pictures.load` silences that, pytest shows it again.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")


@pytest.mark.parametrize("width, height, size", [(10_000, 8_000, "80.0"), (65_535, 65_535, "4294.8")])
def test_too_many_pixels_are_refused_from_the_header(width, height, size):
    # There are no pixels behind these headers: whatever decoded first would call them incomplete.
    for data in (png(width, height, 8, 2), jpeg_header(width, height)):
        message = refusal(data)
        assert message.startswith(f"picture: {size} megapixels is more than the limit of 50 megapixels")


def test_the_limits_are_the_callers_to_set():
    data = drawn("PNG")
    at_limit = ImageLimits(max_bytes=len(data), max_pixels=48 * 32)
    assert load_image(data, limits=at_limit).size == (48, 32)
    assert "limit" in refusal(data, limits=ImageLimits(max_pixels=48 * 32 - 1))
    assert "limit" in refusal(Image.new("L", (48, 32)), limits=ImageLimits(max_pixels=48 * 32 - 1))
    for source in (data, io.BytesIO(data)):
        message = refusal(source, limits=ImageLimits(max_bytes=len(data) - 1))
        assert message == f"picture: more than the limit of {(len(data) - 1) / 1e6:g} MB"


def test_a_file_without_end_is_read_only_up_to_the_limit():
    class Endless(io.RawIOBase):
        def read(self, count=-1):
            assert 0 <= count <= 1001
            return b"x" * count

    assert "limit of 0.001 MB" in refusal(Endless(), limits=ImageLimits(max_bytes=1000))


@pytest.mark.parametrize(
    "data, told",
    [
        (b"", "empty file"),
        (b"<!DOCTYPE html><title>404</title>", "not a picture: looks like HTML"),
        (b"\xef\xbb\xbf \n<HTML>", "not a picture: looks like HTML"),
        (b"%PDF-1.7\n", "not a picture: looks like a PDF"),
        (b"PK\x03\x04\x14\0", "not a picture: looks like a ZIP archive"),
        (b"\x80\x04\x95\0", "not a picture: looks like a pickle"),
        (b"a plain letter", "not a picture: looks like text"),
        (b"P3 is where they met", "not a picture: looks like text"),
        ("h\u00e9".encode("utf-16"), "not a picture: looks like text"),
        (b"<?xml version='1.0'?><a/>", "not a picture: looks like XML"),
        (b"\0\0\0\x18ftypisom\0\0\0\0mp42", "not a picture: looks like a video"),
        (bytes(64), "not a picture: of no known format"),
        (
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            "SVG pictures are not supported; convert it to PNG or JPEG",
        ),
        (
            b"<?xml version='1.0'?>\n<!-- made by -->\n<svg/>",
            "SVG pictures are not supported; convert it to PNG or JPEG",
        ),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "EPS pictures are not supported; convert it to PNG or JPEG"),
        (b"\x89PNG\r\n\x1a\n", "picture is damaged or incomplete"),
    ],
)
def test_what_is_no_picture_is_named(data, told, tmp_path):
    path = tmp_path / "foo.jpg"
    path.write_bytes(data)
    assert refusal(data) == f"picture: {told}"
    assert refusal(path) == f"{path}: {told}"
    with path.open("rb") as file:
        assert refusal(file) == f"{path}: {told}"


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)


def test_heic_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert refusal(HEIC) == 'picture: HEIC needs the extra: pip install "captioner[heif]"'
    assert refusal(HEIC.replace(b"ftypheic", b"ftypmif1")).endswith('"captioner[heif]"')


def test_heic_is_opened_by_its_extra(monkeypatch):
    def register():
        monkeypatch.setitem(Image.OPEN, "HEIF", (lambda file, name: Image.new("RGB", (5, 3)), None))

    fake = types.SimpleNamespace(register_heif_opener=register)
    monkeypatch.setitem(sys.modules, "pillow_heif", fake)
    assert load_image(HEIC).size == (5, 3)


def test_a_path_that_cannot_be_read_is_one_line(tmp_path):
    assert refusal(tmp_path / "none.jpg") == f"{tmp_path / 'none.jpg'}: no such file"
    assert refusal(tmp_path) == f"{tmp_path}: a folder, not a picture"
    assert refusal("a\nb\udcff.jpg") == "a\ufffdb\ufffd.jpg: no such file"
    assert refusal("") == '"": no such file'
    assert refusal("a\0b").startswith("a\ufffdb: cannot be read")
    assert refusal("x" * 5000).startswith("xxx")
    closed = io.BytesIO(b"x")
    closed.close()
    assert refusal(closed).startswith("picture: cannot be read")


def test_a_file_without_permission_is_one_line(monkeypatch):
    def forbidden(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("captioner.pictures.load.open", forbidden, raising=False)  # root may read everything
    assert refusal("secret.png") == "secret.png: no permission to read it"


@pytest.mark.parametrize("source", [None, 7, ["a.jpg"], io.StringIO("text")])
def test_a_source_of_another_type_is_the_programs_mistake(source):
    with pytest.raises(TypeError):
        load_image(source)


def test_a_library_does_not_print(tmp_path):
    path = tmp_path / "broken.jpg"
    path.write_bytes(encoded(Image.new("RGB", (8, 4)), "JPEG", exif=b"Exif\0\0MM\0*\0\0\xff\xff"))
    code = "import sys; from captioner.pictures.load import load_image; load_image(sys.argv[1])"
    command, root = [sys.executable, "-c", code, path], ROOT
    ran = subprocess.run(command, capture_output=True, cwd=root, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")


def test_a_picture_without_pixels_is_refused():
    assert refusal(Image.new("RGB", (0, 3))) == "picture: picture has no pixels (0 x 3)"


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("size", [None, (8, 8)], ids=["whole", "reduced"])
def test_a_picture_cut_in_half_is_incomplete(format, size):
    data = drawn(format)
    assert "incomplete" in refusal(data[: len(data) // 2], size=size)
    if format != "AVIF":
        assert refusal(data[: len(data) // 2], size=size) == "picture: picture is incomplete"


def survives(data):
    """Any bytes: a picture with nothing attached, or one line."""
    try:
        picture = load_image(data, size=(16, 16), limits=ImageLimits(max_pixels=1_000_000))
    except ImageError as error:
        assert str(error).isprintable() and str(error).startswith("picture: ")
    else:
        assert picture.mode == "RGB" and min(picture.size) > 0 and picture.info.keys() <= {"note"}


START = st.sampled_from(
    [
        b"",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"BM",
        b"II*\0",
        b"MM\0*",
        b"P6 ",
        b"P",
        b"IIRO",
        b"IIU\0",
        b"\0\0\0\x18ftypcrx ",
    ]
)


@settings(max_examples=150, deadline=None, database=None)
@given(START, st.binary(max_size=300))
def test_any_bytes_give_a_picture_or_one_line(start, rest):
    survives(start + rest)


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=60, deadline=None, database=None)
@given(changes=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=6), kept=st.floats(0.05, 2))
def test_a_damaged_file_gives_a_picture_or_one_line(format, changes, kept):
    data = bytearray(drawn(format, (12, 9)))
    for place, flip in changes:
        data[int(place**3 * (len(data) - 1))] ^= flip  # cubed: headers are where damage matters
    survives(bytes(data[: int(len(data) * kept)]))
