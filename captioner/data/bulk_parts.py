"""What a bulk run leaves in its folder: parts, each so many photos with their captions, as JSONL or Parquet; read again to know
what is done."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from captioner.data.remote import Place, first_line, listing, read_bytes
from textgen.errors import UserError

PLAN, FAILURES, SUMMARY = "plan.json", "failures.jsonl", "summary.json"
Row = dict[str, Any]
"""`id`, and `captions` or `error`."""
_READERS = 16  # parts that are read side by side: a store of objects takes its time over each
_UNFINISHED = re.compile(  # what `atomic_write` writes before it renames
    r"\.(plan\.json|failures\.jsonl|summary\.json|part-\d+\.(jsonl|parquet))\.[a-z0-9_]{8}"
)


def part_name(number: int, kind: str) -> str:
    return f"part-{number:06d}.{kind}"


def encoded(rows: Sequence[Row], kind: str) -> bytes:
    """The file of a part."""
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


def decoded(data: bytes, kind: str) -> list[Row]:
    """The rows of a part's file."""
    if kind == "jsonl":
        # Not splitlines(): names and captions may hold other ends of lines than this one.
        *lines, rest = data.decode().split("\n")
        if rest:
            raise ValueError("its last line has no end")
        return [json.loads(line) for line in lines]
    import pyarrow.parquet

    return [
        {
            "id": row["id"],
            **({"error": row["error"]} if row["error"] else {"captions": json.loads(row["captions"])}),
        }
        for row in pyarrow.parquet.read_table(io.BytesIO(data)).to_pylist()
    ]


def failures_of(place: Place, parts: Sequence[tuple[str, Sequence[str]]]) -> list[list[Row] | None]:
    """Of each part, by its name and its ids, the rows that have failed; None where it is not there, or not whole."""
    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(lambda part: _failures(place.joined(part[0]), part[1]), parts))


def _failures(part: Place, ids: Sequence[str]) -> list[Row] | None:
    try:
        data = read_bytes(part)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{part.address}: cannot be read: {first_line(error)}") from error
    try:
        rows = decoded(data, part.address.rpartition(".")[2])
        whole = [row["id"] for row in rows] == list(ids)
        return [row for row in rows if "error" in row] if whole else None
    except Exception:  # damaged, it raises nearly anything
        return None


def unfinished(place: Place) -> list[Place]:
    """Files that a run was writing when it was killed."""
    names = [name for name, _ in listing(place, recursive=False)]
    return [place.joined(name) for name in names if _UNFINISHED.fullmatch(name)]


def is_empty(place: Place) -> bool:
    """Whether nothing but such files is in a folder."""
    return len(listing(place, recursive=False)) == len(unfinished(place))


def tidy(place: Place) -> None:
    """Removes them: at the end of a run, when nobody writes any more."""
    for file in () if place.is_remote else unfinished(place):
        with contextlib.suppress(OSError):  # it harms nobody
            os.unlink(file.address)
