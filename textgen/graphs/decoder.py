"""All ONNX graphs of a decoder."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from textgen.decoder.config import DecoderConfig
from textgen.engine.onnx_weights import decoder_arrays
from textgen.graphs.halves import half_graph
from textgen.graphs.search import search_graph
from textgen.graphs.step import decoder_graph, start_graph
from textgen.graphs.write import write_graph


def decoder_graphs(
    config: DecoderConfig, weights: Mapping[str, np.ndarray], precision: str
) -> dict[str, bytes]:
    """All graphs of a decoder with `weights`, its state dict, by name. Raises UserError for an unknown precision."""
    arrays = decoder_arrays(config, weights, precision)
    graphs = {name: decoder_graph(config, arrays, whole=name == "read") for name in ("step", "read")}
    graphs |= {"search": search_graph(config, arrays), "write": write_graph(config, arrays)}
    if config.cut:
        graphs |= {name: half_graph(config, arrays, upper=name == "upper") for name in ("lower", "upper")}
    return graphs | ({"start": start_graph(config, arrays)} if config.context_size else {})
