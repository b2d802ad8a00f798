"""Photos by the thousand: every id once, whatever was killed, with the captions of the command line."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("ray", reason="ray is not installed")
import pyarrow
import pyarrow.parquet

from captioner import Captioner
from captioner.bulk import bulk
from captioner.bulk_config import BulkConfig
from captioner.data.photo_sources import references
from tests.helpers.paths import EXAMPLES, ROOT
from tests.helpers.photo_folders import NAMES, photo, photo_folder
from textgen.errors import UserError


@pytest.fixture
def folder(tmp_path):
    return photo_folder(tmp_path / "photos")


def rows(out):
    return [
        json.loads(line)
        for path in sorted(out.glob("part-*.jsonl"))
        for line in path.read_text().split("\n")[:-1]
    ]


@pytest.mark.slow
@pytest.mark.alone
def test_every_photo_has_its_caption_once_whatever_is_lost(folder, tmp_path, monkeypatch):
    # A name of odd signs, and none of UTF-8; a path that no file can have; an output among the photos.
    with open(os.fsencode(folder) + b"/a/z\xff\xe2\x80\xa8.jpg", "wb") as file:
        file.write(photo("cat"))
    table = pyarrow.table({"id": ["null"], "path": ["a\0b.jpg"]})
    pyarrow.parquet.write_table(table, folder / "odd.parquet")
    expected = [one.id for one in references(str(folder))]
    out, said = folder / "out", []
    out.mkdir()
    killed = [out / ".plan.json.a1b2c3d4", out / ".part-000001.jsonl.a1b2c3d4"]
    for path in killed:
        path.write_text("{")
    config = BulkConfig(part=5, workers=2)
    monkeypatch.chdir(tmp_path)
    summary = bulk("photos", "photos/out", config=config, said=said.append)
    found = rows(out)
    captioner = Captioner.load()
    texts = {name: captioner.caption(EXAMPLES / f"{name}.jpg")[0].text for name in NAMES}
    assert [row["id"] for row in found] == expected and expected[6] == "a/z\\xff\u2028.jpg"
    assert found[6]["captions"][0]["text"] == texts["cat"]
    for row in (*found[:6], *found[7:-2]):
        assert row["captions"][0]["text"] == texts[NAMES[int(row["id"][2:4]) % len(NAMES)]]
    broken, null = [json.loads(line) for line in (out / "failures.jsonl").read_text().splitlines()]
    assert broken["id"] == "broken.png" and "picture" in broken["error"]
    assert null == {"id": "null", "error": "picture: cannot be read: embedded null byte"}
    assert (summary["photos"], summary["failed"], summary["parts"]) == (15, 2, 3)
    assert not any(path.exists() for path in killed)

    # Begun again, nothing is done; of what is lost or damaged, that alone.
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    assert bulk(str(folder), str(out), config=config, said=said.append)["captioned_now"] == 0
    (out / "part-000001.jsonl").write_bytes(b"")
    assert bulk(str(folder), str(out), config=config, said=said.append)["captioned_now"] == 5
    assert "part-000001.jsonl: is damaged, or not whole; made anew" in said
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    assert {name for name in after if after[name] != before[name]} == {"part-000001.jsonl"}
    assert rows(out) == found

    for other, engine, message in (
        (BulkConfig(part=5, beam=1), "auto", r"\(beam: 3, now 1\)"),
        (BulkConfig(part=5, max_megapixels=20), "auto", r"\(max_megapixels: 50\.0, now 20\)"),
        (config, "torch", r"\(engine: onnx, now torch\)"),
    ):
        with pytest.raises(UserError, match=f"holds another run, with other settings {message}"):
            bulk(str(folder), str(out), engine=engine, config=other, said=said.append)


def test_an_output_that_will_not_do_is_told(folder, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for source, out, message in (
        (folder, folder, "is not empty; give a new folder"),
        (folder, file, "file: not a folder; name another folder"),
        (folder, "/proc/x", "/proc/x: cannot be made"),
        (folder, "", "OUTPUT: is empty"),
        ("", tmp_path / "out", "INPUT: is empty"),
    ):
        with pytest.raises(UserError, match=message):
            bulk(str(source), str(out))
    with pytest.raises(UserError, match="max_megapixels: nan is outside 0 to 10,000"):
        bulk(str(folder), str(tmp_path / "out"), config=BulkConfig(max_megapixels=float("nan")))
    (file.parent / "damaged").mkdir()
    (file.parent / "damaged" / "plan.json").write_text("null")
    with pytest.raises(UserError, match=r"damaged: plan\.json is damaged"):
        bulk(str(folder), str(file.parent / "damaged"))


def test_without_a_cluster_nothing_is_begun(folder, tmp_path, monkeypatch):
    import ray

    def missing(**settings):
        raise ConnectionError("Could not find any running Ray instance. Please specify\nmore")

    monkeypatch.setattr(ray, "init", missing)
    out = tmp_path / "out"
    with pytest.raises(
        UserError, match="--address auto: no cluster is reached: Could not find any running Ray"
    ):
        bulk(str(folder), str(out), config=BulkConfig(address="auto"))
    assert not list(out.iterdir())


@pytest.mark.slow
@pytest.mark.alone
def test_killed_in_the_middle_it_goes_on_and_a_table_comes_out(folder, tmp_path):
    for place in range(60):
        shutil.copy(EXAMPLES / f"{NAMES[place % len(NAMES)]}.jpg", folder / f"more{place:02d}.jpg")
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
        shutil.copy(EXAMPLES / f"{NAMES[place % len(NAMES)]}.jpg", folder / f"more{place:03d}.jpg")
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
        command = [sys.executable, "-m", "captioner", "bulk", folder.name, out.name, "--part", "4"]
        process = subprocess.Popen(  # in another folder than the cluster's machines
            [*command, "--address", cluster.address],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
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
        row["captions"][0]["text"] == expected[NAMES[int(row["id"][4:7]) % len(NAMES)]]
        for row in found
        if row["id"].startswith("more")
    )
