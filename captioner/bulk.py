"""`captioner bulk`: millions of photos on one machine or a cluster, by Ray Data; every id once, whatever is killed.

The photos are cut into parts; a part is captioned by one actor and written whole, under a name that follows from its place. What
is there already is not done again, and what is done twice, as after a node was lost, replaces the same file by the same.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from captioner.bulk_config import BulkConfig
from captioner.bulk_worker import Worker
from captioner.caption import Captioner
from captioner.data.bulk_parts import FAILURES, PLAN, SUMMARY, Row, failures_of, is_empty, part_name, tidy
from captioner.data.photo_reference import Reference
from captioner.data.photo_sources import references
from captioner.data.remote import Place, first_line, listing, make_folder, read_bytes, write_bytes
from captioner.network.stored import BOX
from captioner.pictures.refusals import ImageLimits
from textgen.engine.choice import choose_engine
from textgen.errors import UserError
from textgen.storage.graphs import has_graphs

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_CAUSE = re.compile(r"[\w.]*(Error|Exception)\b")  # how the last line of a traceback begins


def bulk(
    source: str,
    out: str,
    model: str | None = None,
    engine: str = "auto",
    config: BulkConfig = BulkConfig(),
    said: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
) -> dict[str, Any]:
    """Captions all photos of `source` into parts in the folder `out`; returns the summary, which is written there, too.

    A run that was ended goes on where it was: parts that are there, and whole, stay. What lies in `out` is no photo of
    `source`. Raises UserError for a source without photos, and for an `out` that another run, of other photos, settings or
    another model, has written to.
    """
    if find_spec("ray") is None or find_spec("pyarrow") is None:
        raise UserError("bulk: needs ray, not installed here: pip install 'captioner[ray]'")
    for name, value in (("INPUT", source), ("OUTPUT", out)):
        if not value:
            raise UserError(f"{name}: is empty; name a folder, '.' for this one")
    ImageLimits.of_megapixels(config.max_megapixels)  # refused here, not by a worker
    folder, place = BOX.find(model).absolute(), Place.of(out)
    found = references(source, place)
    make_folder(place)
    photos = [found[start : start + config.part] for start in range(0, len(found), config.part)]
    plan = _plan(found, len(photos), folder, engine, config)
    is_new = _agree(place, plan)
    parts = [
        (part_name(number, config.format), [photo.id for photo in own]) for number, own in enumerate(photos)
    ]
    failures = _done(place, parts, said)
    left = [number for number, rows in enumerate(failures) if rows is None]
    said(f"{len(found):,} photos in {len(parts):,} parts, {len(parts) - len(left):,} of which are done")
    began, done = time.monotonic(), 0
    if left:
        with _ray(config.address):
            if is_new:
                write_bytes(place.joined(PLAN), json.dumps(plan, indent=1).encode())
            work = [{"name": parts[number][0], "photos": photos[number]} for number in left]
            for row in _captioned(work, config.workers, (place.address, plan, str(folder), engine, config)):
                done += row["photos"]
                rate = done / (time.monotonic() - began)
                said(
                    f"{row['name']}: {row['photos']:,} photos, {row['failed']:,} failed; {rate:.1f} a second"
                )
        for number, rows in zip(left, failures_of(place, [parts[number] for number in left]), strict=True):
            if rows is None:
                raise UserError(
                    f"{place.joined(parts[number][0]).address}: was written, and is lost; begin again"
                )
            failures[number] = rows
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for rows in failures for row in rows or ()]
    write_bytes(place.joined(FAILURES), "".join(lines).encode())
    summary = {
        **plan,
        "failed": len(lines),
        "seconds": round(time.monotonic() - began, 1),
        "captioned_now": done,
    }
    write_bytes(place.joined(SUMMARY), json.dumps(summary, indent=1).encode())
    tidy(place)
    return summary


def _done(
    place: Place, parts: Sequence[tuple[str, list[str]]], said: Callable[[str], None]
) -> list[list[Row] | None]:
    """Of each part the rows that have failed; None where it is to be made."""
    there = {name for name, _ in listing(place, recursive=False)}
    numbers = [number for number, (name, _) in enumerate(parts) if name in there]
    found: list[list[Row] | None] = [None] * len(parts)
    for number, rows in zip(numbers, failures_of(place, [parts[number] for number in numbers]), strict=True):
        found[number] = rows
        if rows is None:
            said(f"{parts[number][0]}: is damaged, or not whole; made anew")
    return found


def _plan(
    found: Sequence[Reference], parts: int, folder: Path, engine: str, config: BulkConfig
) -> dict[str, Any]:
    """All that a caption follows from, and where it stands."""
    captioner = Captioner.load(folder, engine)
    settings = {
        **asdict(config.decoding),
        "language": config.language,
        "part": config.part,
        "max_megapixels": config.max_megapixels,
        "engine": choose_engine(engine, has_graphs(captioner.header), folder),
    }
    return {
        "photos": len(found),
        "parts": parts,
        "format": config.format,
        "settings": settings,
        "model": captioner.hash,
        "ids": hashlib.sha256("\n".join(photo.id for photo in found).encode()).hexdigest(),
    }


def _agree(place: Place, plan: dict[str, Any]) -> bool:
    """Whether the run is a new one. Raises UserError when the folder has another."""
    try:
        before = json.loads(read_bytes(place.joined(PLAN)))
    except FileNotFoundError:
        if not is_empty(place):
            raise UserError(f"{place.address}: is not empty; give a new folder") from None
        return True
    except OSError as error:
        raise UserError(f"{place.joined(PLAN).address}: cannot be read: {first_line(error)}") from error
    except ValueError:
        before = None
    if not isinstance(before, dict):
        raise UserError(f"{place.address}: {PLAN} is damaged; give another folder")
    if before != plan:
        raise UserError(
            f"{place.address}: holds another run, with other {_differing(before, plan)}; give another folder, or the same "
            "photos and settings"
        )
    return False


def _differing(before: dict[str, Any], plan: dict[str, Any]) -> str:
    """What two plans differ in, the setting by its name."""
    name = next((name for name in plan if before.get(name) != plan[name]), "entries")
    was, now = before.get(name), plan.get(name)
    if name != "settings" or not isinstance(was, dict) or not isinstance(now, dict):
        return name
    each = (
        f"{one}: {was.get(one)}, now {now.get(one)}" for one in {**was, **now} if was.get(one) != now.get(one)
    )
    return f"{name} ({', '.join(each)})"


@contextmanager
def _ray(address: str | None) -> Iterator[None]:
    """Within it Ray runs: the cluster at `address`, or one of this machine."""
    import ray

    if ray.is_initialized():
        yield
        return
    try:
        # Not the cluster that some other program has started here, which is what Ray takes unless told.
        ray.init(
            address=address or "local",
            log_to_driver=False,
            include_dashboard=False,
            logging_level=logging.ERROR,
        )
    except Exception as error:  # of Ray and of what it connects by
        why = first_line(error).partition(". ")[0]
        if address is None:
            raise UserError(f"bulk: Ray cannot be started: {why}") from error
        raise UserError(
            f"--address {address}: no cluster is reached: {why}; begin one by ray start --head, or leave --address out"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _captioned(
    work: Sequence[dict[str, Any]], workers: int | None, arguments: tuple[Any, ...]
) -> Iterator[dict[str, Any]]:
    """A row a part as it is written."""
    import ray
    import ray.data

    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
        worker: Any = Worker  # a class, of which each actor makes one
        made = ray.data.from_items(list(work), override_num_blocks=len(work)).map(
            worker,
            fn_constructor_args=arguments,
            concurrency=min(workers or cores, len(work)),
            num_cpus=1,
        )
        for row in made.iter_rows():
            if row["error"]:
                raise UserError(f"bulk: {row['name']}: {row['error']}; begin again, what is done stays")
            yield row
    except ray.exceptions.RayError as error:
        raise UserError(f"bulk: Ray ended it: {_reason(error)}; begin again, what is done stays") from error


def _reason(error: Exception) -> str:
    """What a text of Ray's, which is a traceback or a few lines, says in one."""
    lines = [line.strip() for line in _COLOURS.sub("", str(error)).split("\n") if line.strip()]
    return next(filter(_CAUSE.match, lines), lines[0] if lines else type(error).__name__)
