"""A part of a bulk run: whatever one photo does, the others have their captions, and a file is whole or made anew."""

import os

import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed")

from captioner import Captioner
from captioner.bulk import _reason
from captioner.bulk_config import BulkConfig
from captioner.bulk_worker import Worker
from captioner.data.bulk_parts import decoded, encoded, failures_of, is_empty, tidy
from captioner.data.photo_reference import Reference
from captioner.data.photo_sources import references
from captioner.data.remote import Place
from captioner.network.stored import BOX
from tests.helpers.paths import EXAMPLES

CAT = (EXAMPLES / "cat.jpg").read_bytes()
ENDS = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"  # what splitlines() takes for ends of lines


def worker(out, plan=None, config=BulkConfig(), name="general"):
    out.mkdir()
    (out / "plan.json").write_text('{"photos": 3}')
    return Worker(str(out), plan or {"photos": 3}, str(BOX.folder / name), "auto", config)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_names_of_all_kinds_come_back(tmp_path, kind):
    photos = tmp_path / "photos"
    photos.mkdir()
    for sign in ENDS:
        (photos / f"a{sign}b.jpg").write_bytes(b"no picture")
    with open(os.fsencode(photos) + b"/\xff.jpg", "wb") as file:
        file.write(CAT)
    found = [*references(str(photos)), Reference("gone", str(photos / "\udcfe.jpg"))]
    name = f"part-000000.{kind}"
    row = worker(tmp_path / "out", config=BulkConfig(format=kind))({"name": name, "photos": found})
    assert (row["photos"], row["failed"], row["error"]) == (len(ENDS) + 2, len(ENDS) + 1, "")
    rows = decoded((tmp_path / "out" / name).read_bytes(), kind)
    assert [row["id"] for row in rows] == [one.id for one in found]
    assert rows[-2]["id"] == r"\xff.jpg" and "cat" in rows[-2]["captions"][0]["text"]


def test_what_one_photo_raises_is_its_own_error(tmp_path, monkeypatch):
    caption_each = Captioner.caption_each

    def odd(self, pictures, *settings, **more):
        for data, found in zip(
            pictures := list(pictures), caption_each(self, pictures, *settings, **more), strict=True
        ):
            if data == b"odd":
                raise ZeroDivisionError("of nobody's making\nmore")
            yield found

    monkeypatch.setattr(Captioner, "caption_each", odd)
    for name, data in (("a", CAT), ("b", b"odd"), ("c", CAT)):
        (tmp_path / f"{name}.jpg").write_bytes(data)
    found = [*references(str(tmp_path)), Reference("null", "a\0b.jpg")]
    row = worker(tmp_path / "out")({"name": "part-000000.jsonl", "photos": found})
    assert (row["photos"], row["failed"], row["error"]) == (4, 2, "")
    rows = decoded((tmp_path / "out" / "part-000000.jsonl").read_bytes(), "jsonl")
    assert [row.get("error") for row in rows] == [
        None,
        "picture: cannot be captioned: ZeroDivisionError: of nobody's making",
        None,
        "picture: cannot be read: embedded null byte",
    ]


def test_what_a_worker_cannot_do_it_says(tmp_path):
    part = {"name": "part-000000.jsonl", "photos": [Reference("a", "a.jpg")]}
    row = worker(tmp_path / "one", plan={"photos": 4})(part)
    assert "has another folder there, or none; name an OUTPUT that all machines" in row["error"]
    assert not (tmp_path / "one" / "part-000000.jsonl").exists()
    assert "no such model or folder" in worker(tmp_path / "two", name="nobody")(part)["error"]
    (tmp_path / "three").mkdir()
    (tmp_path / "three" / "part-000000.jsonl").mkdir()
    full = worker(tmp_path / "three" / "out")
    row = full({"name": "../part-000000.jsonl", "photos": part["photos"]})
    assert "part-000000.jsonl: cannot be written: it is not a file" in row["error"]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_part_that_is_not_whole_is_known(tmp_path, kind):
    rows = [{"id": "a", "error": "x"}, {"id": "b", "captions": [{"text": "y", "confidence": None}]}]
    place, name = Place(str(tmp_path)), f"part-000000.{kind}"
    data = encoded(rows, kind)
    (tmp_path / name).write_bytes(data)
    assert failures_of(place, [(name, ["a", "b"]), ("part-000001.jsonl", ["c"])]) == [rows[:1], None]
    for cut in (b"", data[: len(data) // 2], data[:-1], encoded(rows[:1], kind), b"\xff"):
        (tmp_path / name).write_bytes(cut)
        assert failures_of(place, [(name, ["a", "b"])]) == [None]


def test_what_a_kill_leaves_is_nothing_and_goes_at_the_end(tmp_path):
    place = Place(str(tmp_path))
    left = [".plan.json.a1b2c3_d", ".part-000007.parquet.abcdefgh"]
    for name in left:
        (tmp_path / name).write_text("ha")
    assert is_empty(place)
    (tmp_path / ".plan.json.swp").write_text("somebody's")
    assert not is_empty(place)
    tidy(place)
    assert [path.name for path in tmp_path.iterdir()] == [".plan.json.swp"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            '\x1b[36mray::Map()\x1b[39m (pid=1)\n  File "x", line 1\nValueError: of a photo\n\nThe above\n',
            "ValueError: of a photo",
        ),
        ("The actor died unexpectedly.\n\tclass_name: Map", "The actor died unexpectedly."),
        ("", "RuntimeError"),
    ],
)
def test_what_ray_says_is_put_in_a_line(text, reason):
    assert _reason(RuntimeError(text)) == reason
