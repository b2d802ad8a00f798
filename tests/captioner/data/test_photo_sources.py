"""Photos in great numbers, listed and read: folders, patterns, tables, tars; one that is odd is told, and the others go on."""

import io
import os
import tarfile

import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed")
import pyarrow
import pyarrow.parquet

from captioner.data.photo_sources import read_photo, references
from captioner.data.remote import Place
from tests.helpers.paths import EXAMPLES
from tests.helpers.photo_folders import NAMES, photo, photo_folder
from textgen.errors import UserError


@pytest.fixture
def folder(tmp_path):
    return photo_folder(tmp_path / "photos")


def tar_of(path, names=NAMES):
    with tarfile.open(path, "w") as tar:
        for name in names:
            for suffix, data in ((".jpg", photo(name)), (".txt", b"text")):
                member = tarfile.TarInfo(f"{name}{suffix}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return path


def table_of(path, columns, **settings):
    path.parent.mkdir(exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table(columns), path, **settings)
    return path


def why(reference):
    with pytest.raises(UserError) as error:
        read_photo(reference)
    return str(error.value)


def test_a_folder_and_a_pattern_are_listed_by_their_paths(folder):
    found = references(str(folder))
    assert [one.id for one in found][:2] == ["a/01.jpg", "a/03.jpg"] and len(found) == 13
    assert all(read_photo(one) for one in found)
    assert [one.id for one in references(f"{folder}/a/*1.jpg")] == ["01.jpg", "11.jpg"]
    assert references(f"file://{folder}")[0].id == "a/01.jpg"
    with pytest.raises(UserError, match="no photo there"):
        references(str(folder / "nowhere"))


def test_a_tar_is_read_where_it_lies(tmp_path):
    path = tar_of(tmp_path / "shard.tar")
    found = references(str(path))
    assert [one.id for one in found] == [f"{name}.jpg" for name in NAMES]
    assert [read_photo(one) for one in found] == [photo(name) for name in NAMES]
    assert references(str(tmp_path))[0].id == "shard.tar/cat.jpg"
    path.write_bytes(b"no tar" * 200)
    with pytest.raises(UserError, match=r"shard\.tar: not a tar, or damaged"):
        references(str(path))


@pytest.mark.parametrize("kind", ["paths", "bytes", "structs"])
def test_a_table_has_paths_or_bytes(tmp_path, kind):
    path = tmp_path / "table.parquet"
    values = {
        "paths": ("path", [str(EXAMPLES / f"{name}.jpg") for name in NAMES]),
        "bytes": ("image", [photo(name) for name in NAMES]),
        "structs": ("image", [{"bytes": photo(name), "path": name} for name in NAMES]),
    }
    column, cells = values[kind]
    pyarrow.parquet.write_table(pyarrow.table({"id": list("xyz"), column: cells}), path, row_group_size=2)
    found = references(str(path))
    assert [one.id for one in found] == list("xyz")
    assert [read_photo(one) for one in found] == [photo(name) for name in NAMES]


def test_tables_that_will_not_do_are_told(tmp_path):
    path = tmp_path / "table.parquet"
    for table, message in (
        ({"x": [1]}, "has no column of paths or bytes"),
        ({"id": ["a", "a"], "path": ["x", "y"]}, "the id 'a' comes twice"),
    ):
        pyarrow.parquet.write_table(pyarrow.table(table), path)
        with pytest.raises(UserError, match=message):
            references(str(path))
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match="not a Parquet table"):
        references(str(path))


def test_an_address_that_cannot_be_reached_is_told(monkeypatch):
    def unreachable(place, recursive=True):
        raise OSError("When listing: NETWORK_CONNECTION\nmore")

    monkeypatch.setattr("captioner.data.photo_sources.listing", unreachable)
    with pytest.raises(UserError, match=r"cannot be read: When listing: NETWORK_CONNECTION$"):
        references("s3://bucket/photos")


def test_a_place_of_this_machine_means_the_same_elsewhere(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tar_of(tmp_path / "shard.tar")
    table_of(tmp_path / "paths.parquet", {"path": ["photos/a/01.jpg"]})
    table_of(tmp_path / "both.parquet", {"image": [{"bytes": None, "path": "photos/a/01.jpg"}]})
    found = [
        one
        for address in ("photos", "photos/a/*.jpg", "shard.tar", "paths.parquet", "both.parquet")
        for one in references(address)
    ]
    monkeypatch.chdir(os.sep)
    assert all(read_photo(one) for one in found)


def test_an_address_of_a_file_is_read_whatever_it_holds(folder, tmp_path):
    spaced = folder.rename(tmp_path / "my photos")
    tar_of(spaced / "shard.tar")
    table_of(spaced / "t.parquet", {"path": [f"file://{tmp_path}/my%20photos/a/01.jpg"]})
    found = references(f"file://{tmp_path}/my%20photos")
    assert len(found) == 13 + len(NAMES) + 1 and all(read_photo(one) for one in found)
    assert all(read_photo(one) for one in references(f"file://{spaced}/shard.tar"))
    with pytest.raises(UserError, match=r"file://photos/a: is not of this machine; write file:///FOLDER"):
        references("file://photos/a")
    with pytest.raises(UserError, match=r"https://x/y: an address of an unknown kind"):
        references("https://x/y")


def test_a_name_that_is_not_utf8_is_escaped_and_its_photo_read(tmp_path):
    for name in (b"\xff\xfe.jpg", "caf\xe9\u2028.jpg".encode()):
        with open(os.fsencode(tmp_path) + b"/" + name, "wb") as file:
            file.write(photo("cat"))
    found = references(str(tmp_path))
    assert [one.id for one in found] == ["caf\xe9\u2028.jpg", r"\xff\xfe.jpg"]
    assert [read_photo(one) for one in found] == [photo("cat")] * 2


def test_a_link_to_the_folder_that_it_is_in_is_not_followed_for_ever(folder):
    (folder / "a" / "again").symlink_to(folder)
    (folder / "other").symlink_to(folder / "b")
    found = [one.id for one in references(str(folder))]
    assert len(found) == 13 + 6 and "other/00.jpg" in found


def test_what_lies_in_the_output_is_no_photo(folder):
    before = references(str(folder))
    table_of(folder / "out" / "part-000000.parquet", {"id": ["x"], "caption": ["y"]})
    (folder / "out" / "more.jpg").write_bytes(photo("cat"))
    assert references(str(folder), Place(str(folder / "out"))) == before
    assert references(f"file://{folder}", Place(str(folder / "out"))) == before
    # A folder around the photos, or beside them, hides none.
    for out in (folder, folder.parent, folder / "ou"):
        assert len(references(str(folder), Place(str(out)))) == len(before) + 2


def test_patterns_take_tables_and_tars_and_their_last_part_alone_is_one(folder):
    table_of(folder / "train-0.parquet", {"image": [photo("cat")]})
    table_of(folder / "train-1.parquet", {"image": [photo("cat"), photo("coffee")]})
    tar_of(folder / "train-2.tar")
    names = [f"train-2.tar/{name}.jpg" for name in NAMES]
    tables = ["train-0.parquet:0", "train-1.parquet:0", "train-1.parquet:1"]
    assert [one.id for one in references(f"{folder}/train-*")] == names + tables
    with pytest.raises(UserError, match=r"\*\*/\*\.jpg: a pattern in a folder's name; only the last part"):
        references(f"{folder}/**/*.jpg")
    strange = folder.rename(folder.with_name("photos [2026]"))
    assert len(references(str(strange))) == 13 + 3 + len(NAMES) and len(references(f"{strange}/a/*.jpg")) == 6


def test_hidden_files_are_no_photos(folder):
    for name in ("._train.tar", "._t.parquet", "._x.jpg"):
        (folder / name).write_bytes(b"beside it")
    assert len(references(str(folder))) == 13


@pytest.mark.parametrize("kind", ["string", "dictionary", "absent bytes", "path and absent bytes"])
def test_paths_stand_where_other_people_have_them(tmp_path, kind):
    paths = [str(EXAMPLES / f"{name}.jpg") for name in NAMES]
    columns = {
        "string": {"image": paths},
        "dictionary": {"image": pyarrow.array(paths).dictionary_encode()},
        "absent bytes": {"image": [{"bytes": None, "path": path} for path in paths]},
        "path and absent bytes": {"path": paths, "bytes": pyarrow.nulls(len(NAMES), pyarrow.binary())},
    }
    found = references(str(table_of(tmp_path / "t.parquet", columns[kind])))
    assert [read_photo(one) for one in found] == [photo(name) for name in NAMES]
    made_up = kind == "absent bytes"
    assert [one.id for one in found] == (
        [f"t.parquet:{row}" for row in range(len(NAMES))] if made_up else paths
    )


def test_bytes_come_before_paths_which_are_then_names(tmp_path):
    table = table_of(tmp_path / "t.parquet", {"path": ["x/cat.jpg"], "bytes": [photo("cat")]})
    (found,) = references(str(table))
    assert (found.id, read_photo(found)) == ("x/cat.jpg", photo("cat"))


def test_empty_cells_are_failures_of_their_rows(tmp_path):
    cat = str(EXAMPLES / "cat.jpg")
    path = table_of(tmp_path / "t.parquet", {"id": ["a", None, None], "path": [cat, cat, None]})
    found = references(str(path))
    assert [one.id for one in found] == ["a", cat, "t.parquet:2"]
    assert why(found[2]) == "picture: the row has no path"
    table_of(path, {"id": [float("nan"), 2.0, None], "image": [photo("cat"), None, photo("cat")]})
    found = references(str(path))
    assert [one.id for one in found] == ["t.parquet:0", "2.0", "t.parquet:2"]
    assert why(found[1]) == "picture: the row has no bytes"


def test_tables_of_the_same_name_have_ids_of_their_own(tmp_path):
    for name in "ab":
        table_of(tmp_path / name / "train.parquet", {"image": [photo("cat")]})
    assert [one.id for one in references(str(tmp_path))] == ["a/train.parquet:0", "b/train.parquet:0"]


def test_odd_paths_of_a_table_are_failures_in_a_sentence(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    paths = ["a\0b.jpg", "nowhere.jpg", str(tmp_path), str(tmp_path / "pipe.jpg"), "https://x/y.jpg"]
    found = references(str(table_of(tmp_path / "t.parquet", {"path": paths})))
    told = [why(one) for one in found]
    assert told[:4] == [
        "picture: cannot be read: embedded null byte",
        "picture: no such file",
        "picture: not a file",
        "picture: not a file",
    ]
    assert told[4].startswith("picture: https://x/y.jpg: an address of an unknown kind")


def test_one_damaged_tar_or_table_of_many_is_a_failure_of_its_own(folder):
    whole = tar_of(folder / "whole.tar").read_bytes()
    (folder / "cut.tar").write_bytes(whole[: len(whole) // 2])
    (folder / "cut.parquet").write_bytes(b"PAR1")
    table_of(folder / "about.parquet", {"licence": ["CC0"]})
    found = {one.id: one for one in references(str(folder))}
    assert "a/01.jpg" in found and "whole.tar/photographer.jpg" in found and "cut.tar/cat.jpg" in found
    assert "cut.tar: not a tar, or damaged" in why(found["cut.tar"])
    assert "cut.parquet: not a Parquet table" in why(found["cut.parquet"])
    assert "about.parquet: has no column of paths or bytes" in why(found["about.parquet"])
