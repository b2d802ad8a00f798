"""A stored text model's graphs."""

from __future__ import annotations

from pathlib import Path

from textgen.engine.onnx_weights import stored_steps
from textgen.engine.text_model import read_stored
from textgen.storage.bundle import pack_weights
from textgen.storage.graphs import Graphs, check_precision, write_graphs


def export_model(folder: Path, precision: str, pack: bool = False) -> None:
    """Adds ONNX graphs to a stored model. Raises UserError naming what is wrong with it.

    With `pack` the weights are stored in 8 bits from then on, half as large; for `precision` int8 they are the same.
    """
    from textgen.graphs.decoder import decoder_graphs

    check_precision(precision)
    stored, _, config = read_stored(folder)
    if pack:
        stored = pack_weights(stored, stored_steps(config))
    write_graphs(stored, Graphs(precision, decoder_graphs(config, stored.weights, precision)))
