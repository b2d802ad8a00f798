"""A visitor's photos: each upload is taken once, whichever runs of the page read it."""

import io
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("streamlit", reason="streamlit is not installed")

from app.work import photos
from app.work.photos import Album
from tests.helpers.image_files import drawn


class Upload(io.BytesIO):
    """As Streamlit hands one to each run of a page: an object of its own, under one name."""

    def __init__(self, file_id, data):
        super().__init__(data)
        self.name, self.file_id = f"{file_id}.png", file_id


def test_an_upload_that_two_runs_of_the_page_read_is_one_photo():
    album = Album()
    for _ in range(2):
        list(album.take([Upload("a", drawn()), Upload("b", drawn())], 32))
    assert [photo.name for photo in album.photos] == ["a.png", "b.png"] and not album.refusals

    def run(_):
        list(album.take([Upload(str(number), drawn()) for number in range(20)], 32))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, range(2)))
    assert len(album.photos) == 22


def test_an_upload_whose_reading_failed_may_be_taken_by_the_next_run(monkeypatch):
    album = Album()
    with monkeypatch.context() as broken:
        broken.setattr(photos, "picture_pixels", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            list(album.take([Upload("a", drawn())], 32))
    list(album.take([Upload("a", drawn())], 32))
    assert len(album.photos) == 1
    list(album.take([Upload("b", b"<html>")], 32))
    assert len(album.refusals) == 1 and "b.png" in str(album.refusals[0])
