"""The last step of a training: ONNX graphs, the decoder computed and stored in 8 bits where that costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    exports: Mapping[str, Callable[[], None]],
    score: Callable[[], float],
    best: float,
    tolerance: float,
) -> None:
    """Calls one of `exports`, which are named by what they do, the narrowest first, float32 last.

    With `wanted` auto it is the first after which the `score` of the exported model, higher being better, is at most
    `tolerance` below the `best` of the trained one; int8 is the first, float32 the last, none is none. A model without
    graphs is still a model: what hinders an export is said, not raised.
    """
    if wanted == "none":
        return
    names = list(exports) if wanted == "auto" else [list(exports)[0 if wanted == "int8" else -1]]
    before = {name: (folder / name).read_bytes() for name in (WEIGHTS, HEADER)}
    try:
        for place, name in enumerate(names):
            exports[name]()
            if place + 1 == len(names):
                return
            if (lost := best - score()) <= tolerance:
                return
            say(f"{name} would cost {lost:.3f}; trying {names[place + 1]}")
            for file, data in before.items():
                atomic_write(folder / file, methodcaller("write", data))
    except UserError as error:
        say(f"no ONNX graphs: {error}")


def check_graphs(wanted: str) -> None:
    """Raises UserError for what is none of `GRAPHS`."""
    if wanted not in GRAPHS:
        raise UserError(f"graphs: unknown {wanted!r}; known: {', '.join(GRAPHS)}")
