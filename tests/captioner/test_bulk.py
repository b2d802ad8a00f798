"""Photos by the thousand: every id once, whatever was killed, with the captions of the command line."""

import io
import json
import shutil
import signal
import subprocess
import sys
import tarfile
import time

import pytest

pytest.importorskip("ray", reason="ray is not installed")
import pyarrow
import pyarrow.parquet

from captioner import Captioner
from captioner.bulk import bulk
from captioner.bulk_config import BulkConfig
from captioner.data.photo_sources import read_photo, references
from tests.helpers.paths import EXAMPLES, ROOT
from textgen.errors import UserError

NAMES = ("astronaut", "cat", "coffee", "rocket")


def photo(name):
    return (EXAMPLES / f"{name}.jpg").read_bytes()


@pytest.fixture
def folder(tmp_path):
    """Twelve photos in two folders, one that is none, and a file of another kind."""
    photos = tmp_path / "photos"
    for place in range(12):
        path = photos / ("a" if place % 2 else "b") / f"{place:02d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo(NAMES[place % 4]))
    (photos / "broken.png").write_bytes(b"no picture")
    (photos / "notes.txt").write_text("nothing")
    return photos


def rows(out):
    return [
        json.loads(line)
        for path in sorted(out.glob("part-*.jsonl"))
        for line in path.read_text().splitlines()
    ]


# --- what is listed


def test_a_folder_and_a_pattern_are_listed_by_their_paths(folder):
    found = references(str(folder))
    assert [one.id for one in found][:2] == ["a/01.jpg", "a/03.jpg"] and len(found) == 13
    assert all(read_photo(one) for one in found)
    assert [one.id for one in references(f"{folder}/a/*1.jpg")] == ["01.jpg", "11.jpg"]
    assert references(f"file://{folder}")[0].id == "a/01.jpg"
    with pytest.raises(UserError, match="no photo there"):
        references(str(folder / "nowhere"))


def test_a_tar_is_read_where_it_lies(tmp_path):
    path = tmp_path / "shard.tar"
    with tarfile.open(path, "w") as tar:
        for name in NAMES:
            for suffix, data in ((".jpg", photo(name)), (".txt", b"text")):
                member = tarfile.TarInfo(f"{name}{suffix}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    found = references(str(path))
    assert [one.id for one in found] == [f"{name}.jpg" for name in NAMES]
    assert [read_photo(one) for one in found] == [photo(name) for name in NAMES]
    assert references(str(tmp_path))[0].id == "shard.tar/astronaut.jpg"
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
    pyarrow.parquet.write_table(pyarrow.table({"id": list("wxyz"), column: cells}), path, row_group_size=3)
    found = references(str(path))
    assert [one.id for one in found] == list("wxyz")
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


# --- what is done


@pytest.mark.slow
@pytest.mark.alone
def test_every_photo_has_its_caption_once_whatever_is_lost(folder, tmp_path):
    out, said = tmp_path / "out", []
    config = BulkConfig(part=5, workers=2)
    summary = bulk(str(folder), str(out), config=config, said=said.append)
    found = rows(out)
    captioner = Captioner.load()
    expected = {name: captioner.caption(EXAMPLES / f"{name}.jpg")[0].text for name in NAMES}
    assert [row["id"] for row in found] == [one.id for one in references(str(folder))]
    for row in found[:-1]:
        assert row["captions"][0]["text"] == expected[NAMES[int(row["id"][2:4]) % 4]]
    (failure,) = [json.loads(line) for line in (out / "failures.jsonl").read_text().splitlines()]
    assert failure["id"] == "broken.png" and "picture" in failure["error"]
    assert (summary["photos"], summary["failed"], summary["parts"]) == (13, 1, 3)

    # Begun again, nothing is done; of what is lost, that alone.
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    assert bulk(str(folder), str(out), config=config, said=said.append)["captioned_now"] == 0
    (out / "part-000001.jsonl").unlink()
    assert bulk(str(folder), str(out), config=config, said=said.append)["captioned_now"] == 5
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    assert {name for name in after if after[name] != before[name]} == {"part-000001.jsonl"} and rows(
        out
    ) == found

    with pytest.raises(UserError, match="holds another run, with other settings"):
        bulk(str(folder), str(out), config=BulkConfig(part=5, beam=1), said=said.append)
    with pytest.raises(UserError, match="is not empty"):
        bulk(str(folder), str(folder), config=config, said=said.append)


@pytest.mark.slow
@pytest.mark.alone
def test_killed_in_the_middle_it_goes_on_and_a_table_comes_out(folder, tmp_path):
    for place in range(60):
        shutil.copy(EXAMPLES / f"{NAMES[place % 4]}.jpg", folder / f"more{place:02d}.jpg")
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "captioner",
        "bulk",
        str(folder),
        str(out),
        "--part",
        "6",
        "--workers",
        "1",
    ]
    command += ["--format", "parquet"]
    process = subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while len(list(out.glob("part-*.parquet"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run(["pkill", "-9", "-s", str(process.pid)], check=False)  # Ray's, of this session alone
    done = len(list(out.glob("part-*.parquet")))
    assert 2 <= done < 13 and not (out / "summary.json").exists()
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 1, found.stderr  # one photo is broken
    assert json.loads(found.stdout)["photos"] == 73
    table = pyarrow.concat_tables(
        [pyarrow.parquet.read_table(path) for path in sorted(out.glob("part-*.parquet"))]
    )
    ids = table["id"].to_pylist()
    assert len(ids) == len(set(ids)) == 73 and table["error"].null_count == 72


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"format": "csv"}, "format: unknown 'csv'; known: jsonl, parquet"),
        ({"part": 0}, "part: 0 is outside"),
        ({"workers": 0}, "workers: 0 must be 1 or more"),
        ({"beam": 0}, "beam: 0 is outside"),
    ],
)
def test_wrong_settings_are_named(wrong, message):
    with pytest.raises(UserError, match=message):
        BulkConfig(**wrong)


@pytest.mark.slow
@pytest.mark.alone
def test_a_machine_of_the_cluster_dies_and_the_others_do_its_part(folder, tmp_path):
    from ray.cluster_utils import Cluster

    for place in range(100):
        shutil.copy(EXAMPLES / f"{NAMES[place % 4]}.jpg", folder / f"more{place:03d}.jpg")
    noticed = {
        "health_check_initial_delay_ms": 1000,
        "health_check_period_ms": 500,
        "health_check_failure_threshold": 3,
    }
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "_system_config": noticed})
    try:
        machine = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        out = tmp_path / "out"
        command = [sys.executable, "-m", "captioner", "bulk", str(folder), str(out), "--part", "4"]
        process = subprocess.Popen(
            [*command, "--address", cluster.address],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        deadline = time.monotonic() + 120
        while len(list(out.glob("part-*"))) < 4 and time.monotonic() < deadline:
            time.sleep(0.02)
        cluster.remove_node(machine, allow_graceful=False)
        done = len(list(out.glob("part-*")))
        said = process.communicate(timeout=180)[1]
    finally:
        cluster.shutdown()
    assert 4 <= done < 29, "it was killed in the middle"
    assert process.returncode == 1, said  # one photo is broken
    found = rows(out)
    assert [row["id"] for row in found] == [one.id for one in references(str(folder))]
    captioner = Captioner.load()
    expected = {name: captioner.caption(EXAMPLES / f"{name}.jpg")[0].text for name in NAMES}
    assert all(
        row["captions"][0]["text"] == expected[NAMES[int(row["id"][4:7]) % 4]]
        for row in found
        if row["id"].startswith("more")
    )
