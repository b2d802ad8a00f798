"""`captioner bulk`: millions of photos on one machine or a cluster, by Ray Data; every id once, whatever is killed.

The photos are cut into parts; a part is captioned by one actor and written whole, under a name that follows from its place. What
is there already is not done again, and what is done twice, as after a node was lost, replaces the same file by the same.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from captioner.bulk_config import BulkConfig
from captioner.caption import Captioner
from captioner.data.photo_sources import Reference, read_photo, references
from captioner.data.remote import Place, listing, read_bytes, write_bytes
from captioner.network.stored import BOX
from captioner.pictures.refusals import ImageError, ImageLimits
from captioner.report.exports import photo_entry
from textgen.errors import UserError

_PLAN, _FAILURES, _SUMMARY = "plan.json", "failures.jsonl", "summary.json"


def bulk(
    source: str,
    out: str,
    model: str | None = None,
    engine: str = "auto",
    config: BulkConfig = BulkConfig(),
    said: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
) -> dict[str, Any]:
    """Captions all photos of `source` into parts in the folder `out`; returns the summary, which is written there, too.

    A run that was ended goes on where it was: parts that are there stay. Raises UserError for a source without photos, and for
    an `out` that another run, of other photos, settings or another model, has written to.
    """
    if find_spec("ray") is None or find_spec("pyarrow") is None:
        raise UserError("bulk: needs ray, not installed here: pip install 'captioner[ray]'")
    folder = BOX.find(model)
    found = references(source)
    place = Place(out)
    parts = [found[start : start + config.part] for start in range(0, len(found), config.part)]
    plan = {
        "photos": len(found),
        "parts": len(parts),
        "format": config.format,
        "settings": {**asdict(config.decoding), "language": config.language, "part": config.part},
        "model": Captioner.load(folder, engine).hash,
        "ids": hashlib.sha256("\n".join(reference.id for reference in found).encode()).hexdigest(),
    }
    _agree(place, plan)
    names = [f"part-{number:06d}.{config.format}" for number in range(len(parts))]
    there = {path.rpartition("/")[2] for path, _ in listing(place, recursive=False)}
    left = [number for number, name in enumerate(names) if name not in there]
    said(f"{len(found):,} photos in {len(parts):,} parts, {len(parts) - len(left):,} of which are done")
    began, done = time.monotonic(), 0
    if left:
        work = [{"part": number, "name": names[number], "photos": parts[number]} for number in left]
        for row in _captioned(work, place, folder, engine, config):
            done += row["photos"]
            rate = done / (time.monotonic() - began)
            said(f"{row['name']}: {row['photos']:,} photos, {row['failed']:,} failed; {rate:.1f} a second")
    failures = [row for name in names for row in _rows(place, name) if "error" in row]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in failures)
    write_bytes(place.joined(_FAILURES), lines.encode())
    summary = {
        **plan,
        "failed": len(failures),
        "seconds": round(time.monotonic() - began, 1),
        "captioned_now": done,
    }
    write_bytes(place.joined(_SUMMARY), json.dumps(summary, indent=1).encode())
    return summary


def _agree(place: Place, plan: dict[str, Any]) -> None:
    """Keeps the plan of a new run. Raises UserError when the folder has another."""
    system, path = place.joined(_PLAN).resolved()
    try:
        before = json.loads(read_bytes(system, path))
    except FileNotFoundError:
        before = None
    except (OSError, ValueError) as error:
        raise UserError(f"{place.address}: {_PLAN} is damaged; give another folder") from error
    if before is not None and before != plan:
        differs = next(name for name in plan if before.get(name) != plan[name])
        raise UserError(
            f"{place.address}: holds another run, with other {differs}; give another folder, or the same photos and settings"
        )
    if before is None:
        if listing(place, recursive=False):
            raise UserError(f"{place.address}: is not empty; give a new folder")
        write_bytes(place.joined(_PLAN), json.dumps(plan, indent=1).encode())


def _captioned(
    work: Sequence[dict[str, Any]], place: Place, folder: Path, engine: str, config: BulkConfig
) -> Iterator[dict[str, Any]]:
    """A row a part as it is written."""
    import ray
    import ray.data

    own = not ray.is_initialized()
    if own:
        ray.init(
            address=config.address, log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR
        )
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
        workers = min(config.workers or cores, len(work))
        worker: Any = _Worker  # a class, of which each actor makes one
        made = ray.data.from_items(list(work), override_num_blocks=len(work)).map(
            worker,
            fn_constructor_args=(place.address, str(folder), engine, config),
            concurrency=workers,
            num_cpus=1,
        )
        yield from made.iter_rows()
    except ray.exceptions.RayError as error:
        raise UserError(
            f"bulk: Ray ended it: {str(error).splitlines()[0]}; begin again, what is done stays"
        ) from error
    finally:
        if own:
            ray.shutdown()


class _Worker:
    """An actor: a captioner of one thread, and a part at a time."""

    def __init__(self, out: str, folder: str, engine: str, config: BulkConfig):
        self._out, self._config = Place(out), config
        self._captioner = Captioner.load(folder, engine)
        self._captioner.workers = 1
        self._captioner.renew_after_fork()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        rows = list(self._entries(row["photos"]))
        write_bytes(self._out.joined(row["name"]), _encoded(rows, self._config.format))
        return {"name": row["name"], "photos": len(rows), "failed": sum("error" in one for one in rows)}

    def _entries(self, photos: Sequence[Reference]) -> Iterator[dict[str, Any]]:
        config, failed = self._config, dict[int, str]()

        def data() -> Iterator[bytes]:
            for place, reference in enumerate(photos):
                try:
                    yield read_photo(reference)
                except UserError as error:
                    failed[place] = str(error)
                    yield b""

        limits = ImageLimits.of_megapixels(config.max_megapixels)
        found = self._captioner.caption_each(data(), config.decoding, limits=limits, language=config.language)
        for place, (reference, captions) in enumerate(zip(photos, found, strict=True)):
            captions = ImageError(failed[place]) if place in failed else captions
            entry = photo_entry(reference.id, captions)
            yield {"id": entry.pop("photo"), **entry}


def _encoded(rows: Sequence[dict[str, Any]], kind: str) -> bytes:
    if kind == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    import pyarrow
    import pyarrow.parquet

    flat = [
        {
            "id": row["id"],
            "caption": row["captions"][0]["text"] if "captions" in row else None,
            "confidence": row["captions"][0]["confidence"] if "captions" in row else None,
            "captions": json.dumps(row["captions"], ensure_ascii=False) if "captions" in row else None,
            "error": row.get("error"),
        }
        for row in rows
    ]
    schema = pyarrow.schema(
        [
            ("id", pyarrow.string()),
            ("caption", pyarrow.string()),
            ("confidence", pyarrow.float64()),
            ("captions", pyarrow.string()),
            ("error", pyarrow.string()),
        ]
    )
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(flat, schema=schema), sink)
    return sink.getvalue()


def _rows(place: Place, name: str) -> Iterator[dict[str, Any]]:
    """The rows of a part."""
    system, path = place.joined(name).resolved()
    data = read_bytes(system, path)
    if name.endswith(".jsonl"):
        yield from (json.loads(line) for line in data.decode().splitlines())
        return
    import pyarrow.parquet

    for row in pyarrow.parquet.read_table(io.BytesIO(data)).to_pylist():
        yield {
            "id": row["id"],
            **({"error": row["error"]} if row["error"] else {"captions": json.loads(row["captions"])}),
        }
