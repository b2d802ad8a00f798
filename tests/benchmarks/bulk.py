"""`captioner bulk` on a cluster of two nodes of this machine: what it costs, and what is left when a node and the command die."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from captioner.caption import Captioner
from tests.benchmarks.sample_photos import folder_of
from tests.benchmarks.timing import asked
from tests.helpers.paths import ROOT

_PHOTOS, _PART = 5000, 100


def measure(data: Path, model: Path | None) -> dict:
    """5,000 photos: in one go, and with a node killed, then the command killed and begun again."""
    from ray.cluster_utils import Cluster

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos = folder / "photos"
        photos.mkdir()
        _fill(photos, data)
        (photos / "broken.jpg").write_bytes(b"no picture")
        paths = sorted(path for path in photos.iterdir() if path.suffix == ".jpg")
        captioner = Captioner.load(model)
        began = time.perf_counter()
        said = [
            found[0].text
            for found in captioner.caption([path for path in paths if path.name != "broken.jpg"])
        ]
        seconds = time.perf_counter() - began
        truth = dict(zip([path.name for path in paths if path.name != "broken.jpg"], said, strict=True))
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        node = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        try:
            whole, start = _timed(photos, folder / "whole", cluster.address, model)
            # A node dies, then the command; what is begun again does the rest.
            process = _begun(photos, folder / "killed", cluster.address, model)
            _until(folder / "killed", 8, process)
            cluster.remove_node(node, allow_graceful=False)
            _until(folder / "killed", 14, process)
            process.send_signal(signal.SIGKILL)
            process.wait()
            done = len(list((folder / "killed").glob("part-*")))
            cluster.add_node(num_cpus=1)
            status = _begun(photos, folder / "killed", cluster.address, model).wait()
        finally:
            cluster.shutdown()
        rows = {kind: _rows(folder / kind) for kind in ("whole", "killed")}
        right = {
            kind: sum(truth[row["id"]] == row["captions"][0]["text"] for row in found if "captions" in row)
            for kind, found in rows.items()
        }
        return {
            "photos": len(paths),
            "one machine, photos a second": len(truth) / seconds,
            "two nodes, photos a second, Ray's start included": len(paths) / whole,
            "seconds until the first part": start,
            "two nodes, photos a second, of the work": (len(paths) - _PART) / (whole - start),
            "of one machine's": asked(
                (len(paths) - _PART) / (whole - start) * seconds / len(truth), ">= 0.9"
            ),
            "killed: parts done before the command died": done,
            "killed: exit status at the end (1: a photo failed)": status,
            "killed: rows, ids": f"{len(rows['killed'])}, {len({row['id'] for row in rows['killed']})}",
            "killed: captions as the command line's": asked(right["killed"] / len(truth), "1"),
            "whole: captions as the command line's": asked(right["whole"] / len(truth), "1"),
            "failures listed": (folder / "killed" / "failures.jsonl").read_text().strip(),
        }


def _fill(photos: Path, data: Path) -> None:
    listed = data / "Flickr_8k.trainImages.txt"
    if not listed.exists():
        return folder_of(_PHOTOS, photos)
    for name in listed.read_text().split()[:_PHOTOS]:
        (photos / name).symlink_to((data / "Images" / name).resolve())


def _begun(photos: Path, out: Path, address: str, model: Path | None) -> subprocess.Popen:
    command = [sys.executable, "-m", "captioner", "bulk", str(photos), str(out), "--part", str(_PART)]
    command += ["--address", address, *(["--model", str(model)] if model else [])]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _timed(photos: Path, out: Path, address: str, model: Path | None) -> tuple[float, float]:
    """Seconds of a run, and until its first part."""
    began = time.perf_counter()
    process = _begun(photos, out, address, model)
    _until(out, 1, process)
    start = time.perf_counter() - began
    process.wait()
    return time.perf_counter() - began, start


def _until(out: Path, parts: int, process: subprocess.Popen) -> None:
    while len(list(out.glob("part-*"))) < parts:
        if process.poll() is not None:
            raise RuntimeError(f"ended with status {process.returncode} before {parts} parts were done")
        time.sleep(0.05)


def _rows(out: Path) -> list[dict]:
    return [
        json.loads(line)
        for path in sorted(out.glob("part-*.jsonl"))
        for line in path.read_text().split("\n")
        if line
    ]
