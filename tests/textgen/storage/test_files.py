"""An output is refused before any work where it could not be written, or would destroy what is read."""

import os

import pytest

from textgen.errors import UserError
from textgen.storage.files import check_output
from textgen.storage.typed import typed_path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "photo.png").write_bytes(b"pixels")
    (tmp_path / "inside").mkdir()
    os.symlink("photo.png", tmp_path / "link.png")
    os.symlink("link.png", tmp_path / "second.png")
    os.link(tmp_path / "photo.png", tmp_path / "hard.png")
    os.symlink("inside", tmp_path / "door")
    os.symlink(tmp_path / "photo.png", tmp_path / "inside" / "back.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "typed",
    [
        *("photo.png", "./photo.png", "inside/../photo.png", ".//photo.png", "{folder}/photo.png"),
        *("link.png", "second.png", "hard.png", "door/back.png"),
    ],
)
def test_the_file_that_is_read_is_refused_however_it_is_called(folder, typed):
    typed = typed.format(folder=folder)
    for one, other in ((typed, "photo.png"), ("photo.png", typed)):
        with pytest.raises(UserError) as caught:
            check_output(typed_path(one), "--plot", (".png",), ["elsewhere.png", typed_path(other)])
        told = str(caught.value)
        assert told.startswith(f"{one}: would be overwritten (--plot)") and told.isprintable()
        assert "this command reads" in told and other in told


def test_other_files_may_be_written(folder):
    (folder / "same bytes.png").write_bytes(b"pixels")
    for name in ("new.png", "same bytes.png", "NEW.PNG"):
        check_output(typed_path(name), "--plot", (".png",), ["photo.png", "elsewhere.png", "a\0b"])
    check_output(None, "--plot", (".png",), ["photo.png"])


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("new.jpg", "new.jpg: is to be a .png file (--plot)"),
        ("inside", "is to be a .png file"),
        ("none/new.png", "none/new.png: no such folder (--plot)"),
        ("https://example.org/new.png", "https://example.org/new.png: an address, not a file (--plot)"),
    ],
)
def test_what_is_no_place_for_an_output_is_named(folder, name, told):
    with pytest.raises(UserError) as caught:
        check_output(typed_path(name), "--plot", (".png",))
    assert told in str(caught.value)
