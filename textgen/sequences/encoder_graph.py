"""A recurrent encoder as an ONNX graph without weights, computing what `textgen.sequences.encoder` computes.

The runtime's own recurrent operators read whole sentences, each to its length; their results beyond it are 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import TensorProto

from textgen.graphs.nodes import FLOAT, INT, Nodes, Value, serialised
from textgen.sequences.config import EncoderConfig
from textgen.sequences.onnx_encoder import encoder_arrays

_OPERATORS = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}


def encoder_graph(config: EncoderConfig, weights: Mapping[str, np.ndarray]) -> bytes:
    """The graph of an encoder with `weights`, as `encoder_arrays` takes them, serialised.

    Inputs: `ids` (B, L) and `lengths` (B,). Output: `context` (B, L, D), 0 beyond the lengths.
    """
    on = Nodes(encoder_arrays(config, weights))
    lengths = on("Cast", "lengths", to=TensorProto.INT32)
    ids = on("Transpose", "ids", perm=[1, 0])
    x = on("Gather", on.weight("embedding"), ids)  # (L, B, E)
    direction = "bidirectional" if config.bidirectional else "forward"
    as_torch: dict[str, Any] = {"linear_before_reset": 1} if config.cell == "gru" else {}
    for layer in range(config.num_layers):
        arrays = [on.weight(f"{kind}{layer}") for kind in ("input", "recurrent", "bias")]
        read = on(
            _OPERATORS[config.cell],
            x,
            *arrays,
            lengths,
            hidden_size=config.hidden_size,
            direction=direction,
            **as_torch,
        )  # (L, directions, B, H)
        # Of the last layer the sentences come first, as a context has them.
        last = layer + 1 == config.num_layers
        x = on("Transpose", read, perm=[2, 0, 1, 3] if last else [0, 2, 1, 3])
        shape = on.constant(0, 0, config.output_size)
        x = on("Reshape", x, shape, output="context" if last else "")
    inputs: dict[str, Value] = {"ids": (INT, ["B", "L"]), "lengths": (INT, ["B"])}
    return serialised(on, inputs, {"context": (FLOAT, ["B", "L", config.output_size])}, "encoder")
