"""Uploads on disk: nowhere but in a folder of their own, no more than the limits allow, and gone at the end."""

import io
import tempfile
import zipfile

import pytest

from textgen.errors import UserError

pytest.importorskip("streamlit", reason="streamlit is not installed")

from app.work.uploads import desk


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """The folder in which temporary folders are made; none is left."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert not list(tmp_path.glob("captioner-*"))


class Upload(io.BytesIO):
    def __init__(self, name, data):
        super().__init__(data)
        self.name, self.size = name, len(data)


def archive(*entries):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in entries:
            packed.writestr(name, text)
    return data.getvalue()


def test_no_name_leads_out_of_the_folder(tmp_path):
    outside = archive(("../../out.txt", "x"), ("/abs.txt", "y"), ("a\\..\\b.txt", "z"))
    with desk() as here:
        folder = here.put_folder("data", [Upload("../x.zip", outside), Upload("..\\up.txt", b"u")], 1, 10)
        found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        assert found == ["a/b.txt", "abs.txt", "out.txt", "up.txt"]
        assert here.put("predictions", Upload("../../said.csv", b"x"), 1).parent == here.root / "predictions"


def test_an_archive_is_weighed_before_it_is_unpacked():
    bomb = archive(("captions.csv", b"\0" * 3_000_000))
    assert len(bomb) < 10_000
    with pytest.raises(UserError, match="more than the limit of 2 MB together"), desk() as here:
        here.put_folder("data", [Upload("bomb.zip", bomb)], 2, 10)


def test_an_archive_that_lies_about_its_size_writes_no_more_than_it_said(tmp_path):
    lying = bytearray(archive(("captions.csv", b"\0" * 3_000_000)))
    true = (3_000_000).to_bytes(4, "little")
    lying = bytes(lying).replace(true, (1000).to_bytes(4, "little"))
    with pytest.raises(UserError, match="damaged"), desk() as here:
        here.put_folder("data", [Upload("lying.zip", lying)], 2, 10)


@pytest.mark.parametrize("packed", [True, False])
def test_files_are_counted_before_any_is_written(temporary, packed):
    names = [f"{number}.txt" for number in range(11)]
    files = [Upload(name, b"") for name in names]
    if packed:
        files = [Upload("many.zip", archive(*((name, "") for name in names)))]
    with desk() as here:
        with pytest.raises(UserError, match="11 files, more than the limit of 10; take fewer"):
            here.put_folder("data", files, 1, 10)
        assert not list((here.root / "data").iterdir())
        assert len(list(here.put_folder("enough", files, 1, 11).iterdir())) == 11


@pytest.mark.parametrize("files", [[("a.txt", b"1"), ("a.txt", b"2")], [("a", b"1"), ("a/b", b"2")]])
def test_two_files_of_one_name_are_refused(files):
    with pytest.raises(UserError, match="is there twice"), desk() as here:
        here.put_folder("data", [Upload(name, data) for name, data in files], 1, 10)


def test_a_desk_is_cleared_whatever_happens(temporary):
    with pytest.raises(ZeroDivisionError), desk() as here:
        here.put("predictions", Upload("a.txt", b"1"), 1)
        assert list(temporary.glob("captioner-*"))
        raise ZeroDivisionError
    assert not list(temporary.glob("captioner-*"))
