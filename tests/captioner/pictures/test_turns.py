"""One picture or open file in several hands at once: each gets its pixels, or a refusal, never another's."""

import io
import os
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from captioner.pictures import turns
from captioner.pictures.load import load_image
from captioner.pictures.refusals import ImageError
from tests.helpers.image_files import drawn, encoded, refusal

# Damaged files make Pillow warn; `captioner.pictures.load` silences that, pytest shows it again.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")

HANDS = 4
LARGE = (1200, 900)  # whose reading takes so long that threads meet in it


def pixels(source):
    return np.asarray(load_image(source))


def together(sources):
    """What each thread gets of its source; all begin at once."""
    gate = threading.Barrier(len(sources))

    def one(source):
        gate.wait()
        return pixels(source)

    with ThreadPoolExecutor(len(sources)) as pool:
        return list(pool.map(one, sources))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "TIFF", "BMP"])
def test_a_picture_that_is_not_yet_read_is_right_in_every_thread(format):
    data = drawn(format, LARGE)
    right = pixels(Image.open(io.BytesIO(data)))
    for _ in range(5):
        assert all(np.array_equal(found, right) for found in together([Image.open(io.BytesIO(data))] * HANDS))


@pytest.mark.parametrize("make", [lambda path: io.BytesIO(path.read_bytes()), lambda path: path.open("rb")])
def test_an_open_file_is_right_in_every_thread(make, tmp_path):
    path = tmp_path / "large.bmp"
    path.write_bytes(drawn("BMP", LARGE))
    right = pixels(path)
    for _ in range(5):
        with make(path) as file:
            assert all(np.array_equal(found, right) for found in together([file] * HANDS))


def test_pictures_and_members_that_read_one_file_take_turns(tmp_path):
    names = [f"{number}.png" for number in range(HANDS)]
    right = {}
    with tarfile.open(tmp_path / "all.tar", "w") as archive:
        for number, name in enumerate(names):
            data = encoded(
                Image.fromarray(np.random.default_rng(number).integers(0, 256, (600, 800), np.uint8))
            )
            right[name] = pixels(data)
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    for opened in (lambda file: file, Image.open):
        with tarfile.open(tmp_path / "all.tar") as archive:
            found = together([opened(archive.extractfile(name)) for name in names])
        assert all(np.array_equal(found, right[name]) for name, found in zip(names, found, strict=True))


def test_nobody_waits_for_another_picture():
    entered = threading.Event()

    def beside():
        with turns.alone_with_picture(Image.new("L", (1, 1))), turns.alone_with_file(io.BytesIO()):
            entered.set()

    with turns.alone_with_picture(Image.new("L", (1, 1))), turns.alone_with_file(io.BytesIO()):
        threading.Thread(target=beside).start()
        assert entered.wait(10)


def test_no_lock_is_kept_of_what_nobody_has_in_hand():
    together([Image.open(io.BytesIO(drawn("PNG", LARGE)))] * HANDS)
    with pytest.raises(ImageError):
        pixels(io.BytesIO(b"no picture"))
    assert not turns._turns._locks


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_a_thread_that_it_has_not():
    file = io.BytesIO(drawn())
    with turns.alone_with_file(file):
        child = os.fork()
        if not child:
            os._exit(pixels(file).shape != (32, 48, 3))
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "TIFF", "BMP"])
def test_a_damaged_picture_is_refused_every_time(format):
    data = bytearray(drawn(format, (200, 150)))
    for cut in (bytes(data[: len(data) // 2]), bytes(data[: len(data) // 2]) + b"\xff" * (len(data) // 2)):
        try:
            image = Image.open(io.BytesIO(cut))
            pixels(image)
        except (ImageError, OSError):
            assert "picture is" in refusal(image)


def test_a_picture_whose_missing_pixels_would_be_given_as_grey_is_refused_again(monkeypatch):
    image = Image.open(io.BytesIO(drawn("PNG")))

    def once(self):
        self.tile = []
        monkeypatch.undo()
        raise OSError("broken data stream when reading image file")

    monkeypatch.setattr(type(image), "load", once)
    assert refusal(image) == refusal(image) == "picture: picture is damaged or incomplete"


def test_a_picture_whose_file_was_closed_is_told_so(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(drawn())
    with path.open("rb") as file:
        image = Image.open(file)
    assert "was closed before it was read" in refusal(image)
    closed = Image.open(path)
    closed.close()
    assert "was closed before it was read" in refusal(closed)


def test_a_stream_that_was_read_to_its_end_is_not_called_an_empty_file():
    class Stream(io.BytesIO):
        def seekable(self):
            return False

    stream = Stream(drawn())
    assert pixels(stream).shape == (32, 48, 3)
    assert refusal(stream) == "picture: empty file, or a stream that was read before"
