"""A recurrent encoder by ONNX Runtime, without torch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from textgen.decoder.config import CELL_SIZES
from textgen.engine.session import session
from textgen.sequences.config import EncoderConfig

EMBEDDING = "embedding.weight"
STEPS = 127  # of a rounded weight on either side of 0
# Where ONNX has the gates that torch has in the order i, f, g, o of an LSTM, and r, z, n of a GRU.
_GATES = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}


def encoder_arrays(config: EncoderConfig, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the graph of an encoder holds, by name, of its state dict with `embedding.weight` (V, E) beside it."""
    gates = CELL_SIZES[config.cell].gates

    def in_order(array: np.ndarray) -> np.ndarray:
        return np.concatenate([np.split(array, gates)[gate] for gate in _GATES[config.cell]])

    arrays = {"embedding": np.ascontiguousarray(weights[EMBEDDING])}
    for layer in range(config.num_layers):
        names = [f"layers.{direction}.{layer}." for direction in config.directions]
        arrays[f"input{layer}"] = np.stack([in_order(weights[name + "weight_ih_l0"]) for name in names])
        arrays[f"recurrent{layer}"] = np.stack([in_order(weights[name + "weight_hh_l0"]) for name in names])
        biases = [
            np.concatenate([in_order(weights[name + f"bias_{kind}_l0"]) for kind in ("ih", "hh")])
            for name in names
        ]
        arrays[f"bias{layer}"] = np.stack(biases)
    return arrays


def stored_steps(config: EncoderConfig) -> dict[str, int]:
    """The matrices of an encoder that may be stored in 8 bits, and in how many steps."""
    return {
        f"layers.{direction}.{layer}.weight_{kind}_l0": STEPS
        for direction in config.directions
        for layer in range(config.num_layers)
        for kind in ("ih", "hh")
    }


class OnnxEncoder:
    """An encoder's graph with its weights; safe to call from several threads."""

    def __init__(
        self, config: EncoderConfig, weights: Mapping[str, np.ndarray], graph: bytes, threads: int = 1
    ):
        """`weights` as `encoder_arrays` takes them."""
        self._session = session(graph, encoder_arrays(config, weights), threads)

    def __call__(self, ids: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Encoded tokens (B, L, D) of `ids` (B, L), of which the first `lengths` (B,) count; 0 beyond them."""
        feed = {"ids": np.ascontiguousarray(ids), "lengths": np.ascontiguousarray(lengths)}
        return self._session.run(None, feed)[0]
