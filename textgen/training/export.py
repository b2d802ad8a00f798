"""The last step of a training: ONNX graphs, with the decoder in 8 bits where that costs nothing."""

from __future__ import annotations

from collections.abc import Callable

from textgen.errors import UserError
from textgen.storage.graphs import PRECISIONS
from textgen.training.runs import say

GRAPHS = ("auto", *PRECISIONS, "none")


def export_trained(
    wanted: str, export: Callable[[str], None], score: Callable[[], float], best: float, tolerance: float
) -> None:
    """Calls `export` with the precision `wanted`, one of `GRAPHS`.

    `auto` is int8, unless the `score` of the exported model, higher being better, is more than `tolerance` below the
    `best` of the trained one. A model without graphs is still a model: what hinders an export is said, not raised.
    """
    if wanted == "none":
        return
    try:
        export("int8" if wanted == "auto" else wanted)
        if wanted == "auto" and (lost := best - score()) > tolerance:
            say(f"8 bits would cost {lost:.3f}: the graphs are in float32")
            export("float32")
    except UserError as error:
        say(f"no ONNX graphs: {error}")


def check_graphs(wanted: str) -> None:
    """Raises UserError for what is none of `GRAPHS`."""
    if wanted not in GRAPHS:
        raise UserError(f"graphs: unknown {wanted!r}; known: {', '.join(GRAPHS)}")
