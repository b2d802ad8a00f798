"""Names are shown as they were typed, and web addresses are told from files."""

from pathlib import Path

import pytest

from textgen.storage.typed import ADDRESS, is_address, missing, shown, typed_path, why_unreadable


@pytest.mark.parametrize(
    "typed", ["photos//a.jpg", "./a.jpg", "a/./b/../c", "folder/", "https://example.org/a.jpg", "."]
)
def test_a_path_shows_what_was_typed_and_is_the_usual_one(typed):
    path = typed_path(typed)
    assert f"{path}" == str(path) == typed
    assert path == Path(typed) and Path(typed) == path and hash(path) == hash(Path(typed))
    assert path == typed_path(typed) and len({path, Path(typed)}) == 1
    assert path != Path("another") and path != typed
    assert str(path / "b") == str(Path(typed) / "b") and path.parent == Path(typed).parent
    assert typed_path(path) is path


def test_a_path_of_another_way_of_writing_is_the_same_one(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.txt").write_text("read")
    path = typed_path(f"{tmp_path}//a/./b.txt")
    assert path.read_text() == "read" and path == tmp_path / "a" / "b.txt" and path.resolve().exists()
    assert (
        path.with_suffix(".csv") == tmp_path / "a" / "b.csv"
        and str(path.with_suffix(".csv")).count("//") == 0
    )


@pytest.mark.parametrize(
    "name",
    [
        "https://example.org/cat.jpg",
        "HTTP://localhost/a.jpg?x=1",
        "https:/example.org/cat.jpg",
        "file:///photos/a.jpg",
        "s3://bucket/key",
        "data:image/png;base64,AAAA",
        "www.example.org/cat.jpg",
    ],
)
def test_addresses_are_told(name):
    assert is_address(name) and is_address(Path(name))
    assert missing(name, "no such file") == why_unreadable(name, FileNotFoundError(2, "none")) == ADDRESS


@pytest.mark.parametrize(
    "name",
    ["a.jpg", "photos//a.jpg", "C:/photos/a.jpg", "c:\\a.jpg", "http.jpg", "data.csv", "a: b/c", "", "data:"],
)
def test_files_are_no_addresses(name):
    assert not is_address(name)
    assert missing(name, "no such file") == "no such file"


def test_a_reason_is_never_nothing():
    for error in (OSError(5, "Input/output error"), OSError("odd"), OSError(), ValueError("closed")):
        assert why_unreadable("a", error) in ("Input/output error", "odd", "OSError", "closed")


def test_an_address_that_is_a_whole_picture_is_cut_in_a_message():
    long = "data:image/png;base64," + "A" * 100_000
    assert len(shown(long)) < 130 and shown(long).startswith("data:image/png;base64,AAA")
    assert shown("x" * 5000) == "x" * 5000
