"""Files of this machine: written whole or not at all, in folders that are folders."""

import os

import pytest

from captioner.data.remote import Place, escaped, listing, make_folder, read_bytes, write_bytes
from textgen.errors import UserError


def test_a_file_is_flushed_before_it_has_its_name(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (done.append("flushed"), fsync(file)))
    monkeypatch.setattr(os, "replace", lambda old, new: (done.append("named"), replace(old, new)))
    place = Place(str(tmp_path)).joined("in/file")
    write_bytes(place, b"whole")
    assert done == ["flushed", "named"] and read_bytes(place, 1, 3) == b"hol"
    assert [name for name, _ in listing(Place(str(tmp_path)))] == ["in/file"]


def test_a_folder_that_cannot_be_one_is_told(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for address, message in (
        (file, "file: not a folder; name another folder"),
        (file / "in", "in: cannot be made: Not a directory"),
        ("/proc/x", "/proc/x: cannot be made: No such file or directory"),
    ):
        with pytest.raises(UserError, match=message):
            make_folder(Place(str(address)))


def test_names_of_all_kinds_can_be_written():
    assert escaped("a\udcff.jpg") == r"a\xff.jpg" and escaped("caf\xe9\u2028") == "caf\xe9\u2028"
