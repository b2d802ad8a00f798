"""A stored model's ONNX graphs, which hold no weights: `model.json` says which files and which weights belong together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from operator import methodcaller
from pathlib import Path

from textgen.errors import UserError
from textgen.storage.bundle import HEADER, WEIGHTS, Bundle, Header, forget_graphs, write_header
from textgen.storage.files import atomic_write
from textgen.storage.typed import why_unreadable

FORMAT = 2
PRECISIONS = ("float32", "int8")  # of a decoder's products


@dataclass(frozen=True)
class Graphs:
    """A model's ONNX graphs."""

    precision: str
    """Of the decoder's products: one of `PRECISIONS`."""
    files: dict[str, bytes]
    """Name, as `step`, of `step.onnx`, to what it holds."""


def check_precision(precision: str) -> None:
    """Raises UserError for what is none of `PRECISIONS`: before anything is written."""
    if precision not in PRECISIONS:
        raise UserError(f"precision: unknown {precision!r}; known: {', '.join(PRECISIONS)}")


def has_graphs(header: Header) -> bool:
    """Whether a model of this program's own was exported."""
    return bool(header.get("graphs"))


def write_graphs(stored: Bundle, graphs: Graphs) -> None:
    """Adds graphs to a stored model, or replaces them; `model.json` is written last."""
    forget_graphs(stored.folder)
    for name, data in graphs.files.items():
        atomic_write(stored.folder / f"{name}.onnx", methodcaller("write", data))
    said = {
        "format": FORMAT,
        "precision": graphs.precision,
        "weights": stored.hash,
        "config": _config_hash(stored.header),
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in graphs.files.items()},
    }
    write_header(stored.folder, {**stored.header, "graphs": said})


def read_graphs(stored: Bundle, again: str, names: Iterable[str] = ()) -> Graphs:
    """The graphs of a stored model, those of `names` among them, checked.

    Raises UserError naming the file; `again` is what makes them anew.
    """
    path, said = stored.folder / HEADER, stored.header.get("graphs")
    if not said:
        raise UserError(f"{stored.folder}: has no ONNX graphs; make them: {again}")
    made = said.get("format") if isinstance(said, dict) else None
    if not isinstance(made, int) or made < 1:
        raise UserError(f"{path}: graphs is damaged; make them anew: {again}")
    if made > FORMAT:
        newer = f"graphs of format {made} are newer than this program knows ({FORMAT})"
        raise UserError(f"{path}: {newer}; update it, or make them anew: {again}")
    if made < FORMAT:
        older = f"graphs of format {made} are older than this program reads ({FORMAT})"
        raise UserError(f"{path}: {older}; make them anew: {again}")
    if said.get("weights") != stored.hash:
        raise UserError(
            f"{stored.folder / WEIGHTS}: not the weights that the graphs are of; make them anew: {again}"
        )
    if said.get("config") != _config_hash(stored.header):
        raise UserError(f"{path}: not the config that the graphs are of; make them anew: {again}")
    if said.get("precision") not in PRECISIONS:
        known = ", ".join(PRECISIONS)
        raise UserError(
            f"{path}: graphs: precision: unknown {said.get('precision')!r}; known: {known}; make them anew: {again}"
        )
    digests = said.get("files")
    if not isinstance(digests, dict) or not set(names) <= set(digests) or "\0" in "".join(digests):
        raise UserError(f"{path}: graphs is damaged: not all are among its files; make them anew: {again}")
    files = {}
    for name, digest in digests.items():
        file = stored.folder / f"{Path(name).name}.onnx"
        try:
            files[name] = file.read_bytes()
        except OSError as error:
            raise UserError(
                f"{file} cannot be read: {why_unreadable(file, error)}; make it anew: {again}"
            ) from error
        if hashlib.sha256(files[name]).hexdigest() != digest:
            raise UserError(f"{file} is truncated, or of another model; make it anew: {again}")
    return Graphs(said["precision"], files)


def _config_hash(header: Header) -> str:
    """Of what decides a graph, besides the weights."""
    deciding = [header["config"], header.get("preprocessing")]
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()
