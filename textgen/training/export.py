"""The last step of a training: ONNX graphs, the decoder computed and stored in 8 bits where that costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import methodcaller
from pathlib import Path

from textgen.errors import UserError
from textgen.storage.bundle import HEADER, WEIGHTS, forget_graphs
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
    graphs is still a model: what hinders an export is said, not raised, and the next is tried.
    """
    if wanted == "none":
        return
    names = list(exports) if wanted == "auto" else [list(exports)[0 if wanted == "int8" else -1]]
    forget_graphs(folder)  # a finished run that is resumed has some
    before = {name: (folder / name).read_bytes() for name in (WEIGHTS, HEADER)}
    for place, name in enumerate(names):
        last = place + 1 == len(names)
        try:
            exports[name]()
            if last or (lost := best - score()) <= tolerance:
                return
            failed = f"{name} would cost {lost:.3f}"
        except UserError as error:
            failed = f"{name}: {error}"
        except (
            Exception
        ) as error:  # exporter, quantiser and runtime have each their own, of networks they do not know
            failed = f"{name}: {type(error).__name__}: {(str(error) or 'no reason given').splitlines()[0]}"
        say(f"no ONNX graphs: {failed}" if last else f"{failed}; trying {names[place + 1]}")
        # What an export leaves half done is no model.
        forget_graphs(folder)
        for file, data in before.items():
            atomic_write(folder / file, methodcaller("write", data))


def check_graphs(wanted: str) -> None:
    """Raises UserError for what is none of `GRAPHS`."""
    if wanted not in GRAPHS:
        raise UserError(f"graphs: unknown {wanted!r}; known: {', '.join(GRAPHS)}")
