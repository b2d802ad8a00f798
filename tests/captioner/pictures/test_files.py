"""What is named on a command line becomes picture files, in order and once; finding none is an error."""

import os
from pathlib import Path

import pytest

from captioner.pictures.files import find_pictures, is_picture_name, told_apart
from textgen.errors import UserError


def test_a_picture_is_known_by_the_end_of_its_name(tmp_path):
    for name in ("a.jpg", "A.JPEG", "b.PnG", tmp_path / "c.heic", "d.e.webp"):
        assert is_picture_name(name)
    for name in ("a.txt", "jpg", ".jpg", "a.jpg.part", "b.svg", ""):
        assert not is_picture_name(name)


def test_files_folders_and_globs_are_expanded_in_order_and_once(tmp_path, monkeypatch):
    for name in ("b.jpg", "a.PNG", ".hidden.jpg", "notes.txt", "x[1].jpg", "x1.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "folder.jpg" / "deep.gif").touch()
    monkeypatch.chdir(tmp_path)

    def names(*patterns):
        return [str(path) for path in find_pictures(patterns)]

    assert names("b.jpg", "missing.jpg", "notes.txt") == ["b.jpg", "missing.jpg", "notes.txt"]
    assert names(".") == ["a.PNG", "b.jpg", "x1.jpg", "x[1].jpg"]
    assert names("b.jpg", tmp_path / "b.jpg", ".", "b.jpg")[:3] == ["b.jpg", str(tmp_path / "b.jpg"), "a.PNG"]
    assert names("*.jpg") == ["b.jpg", "x1.jpg", "x[1].jpg"]
    assert names("x[1].jpg") == ["x[1].jpg"]
    assert names("**/*.gif") == [os.path.join("folder.jpg", "deep.gif")]
    assert names() == []


def test_nothing_found_is_an_error_that_names_the_place(tmp_path):
    (tmp_path / "notes.txt").touch()
    for pattern in (tmp_path, tmp_path / "*.jpg", ""):
        with pytest.raises(UserError) as caught:
            find_pictures([pattern])
        assert str(pattern) in str(caught.value) and str(caught.value).isprintable()


def test_paths_are_told_apart_by_as_many_folders_as_it_takes():
    paths = [Path("/a/x/said.csv"), Path("/b/x/said.csv"), Path("/c/other.csv")]
    assert told_apart(paths) == ["a/x/said.csv", "b/x/said.csv", "other.csv"]
    assert told_apart(paths[1:]) == ["said.csv", "other.csv"] and told_apart([]) == []
    assert told_apart([Path("/said.csv"), Path("/a/said.csv")]) == ["/said.csv", "a/said.csv"]
