"""The last step of a training: ONNX graphs, the decoder computed and stored in 8 bits where that costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from operator import methodcaller
from pathlib import Path

from textgen.errors import UserError
from textgen.storage.bundle import HEADER, WEIGHTS
from textgen.storage.files import atomic_write
from textgen.storage.graphs import PRECISIONS
from textgen.training.runs import say

GRAPHS = ("auto", *PRECISIONS, "none")


def export_trained(
    folder: Path,
    wanted: str,
    export: Callable[[str, bool], None],
    score: Callable[[], float],
    best: float,
    tolerance: float,
) -> None:
    """Calls `export` with the precision `wanted`, one of `GRAPHS`, and whether to store the weights so, too.

    `auto` is int8, unless the `score` of the exported model, higher being better, is more than `tolerance` below the
    `best` of the trained one. A model without graphs is still a model: what hinders an export is said, not raised.
    """
    if wanted == "none":
        return
    before = {name: (folder / name).read_bytes() for name in (WEIGHTS, HEADER)}
    try:
        export("float32" if wanted == "float32" else "int8", wanted != "float32")
        if wanted == "auto" and (lost := best - score()) > tolerance:
            say(f"8 bits would cost {lost:.3f}: weights are kept in float16, the graphs are in float32")
            for name, data in before.items():
                atomic_write(folder / name, methodcaller("write", data))
            export("float32", False)
    except UserError as error:
        say(f"no ONNX graphs: {error}")


def check_graphs(wanted: str) -> None:
    """Raises UserError for what is none of `GRAPHS`."""
    if wanted not in GRAPHS:
        raise UserError(f"graphs: unknown {wanted!r}; known: {', '.join(GRAPHS)}")
