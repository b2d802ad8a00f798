"""A decoder's weights as its ONNX graphs take them: products transposed, or rounded to 8 bits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from textgen.decoder.config import CELL_SIZES, DecoderConfig
from textgen.engine.gate_table import rounded_table
from textgen.storage.graphs import check_precision
from textgen.storage.weights import Weights

_START = ("initial", "key", "value", "summary")  # products of the context
# Steps of a rounded weight on either side of 0: with more, the sums of two products in a byte's width overflow on
# processors without VNNI (a state has 255 steps: 2 x 255 x 64 < 2^15).
STEPS = 64
_TABLE_BYTES = 8_000_000  # of a gate table; a larger one costs more memory than the product it saves
_ROUNDED_TABLE_BYTES = 32_000_000  # of one in int8, which takes as much as the embedding


def decoder_arrays(
    config: DecoderConfig, weights: Mapping[str, np.ndarray], precision: str
) -> dict[str, np.ndarray]:
    """What the graphs of a decoder with `weights` (its state dict, float32) hold, by name.

    A product has its matrix (K, N), in int8 with the `.scale` (N,) of its columns, and `.bias`. Layer 1's share of every
    token is the look-up `table` (V, G), in int8 with the `.scale` (V, 1) of its rows; or `embedding` (V, E), of numbers
    from -1 to 1, and the product `input0`.
    """
    check_precision(precision)
    arrays: dict[str, np.ndarray] = {}

    weights = weights if isinstance(weights, Weights) else Weights(weights)

    def product(name: str, of: str, bias: np.ndarray, times: float = 1) -> None:
        """y = x @ weight.T + bias, as torch has it: the weight `of` (N, K), each number so many `times`."""
        if precision == "int8":
            steps, scale = weights.rounded(of, STEPS)
            arrays[name], arrays[f"{name}.scale"] = steps.T, scale * np.float32(times)
        else:
            arrays[name] = weights[of].T * np.float32(times)
        arrays[f"{name}.bias"] = bias

    gates = CELL_SIZES[config.cell].gates * config.hidden_size
    for layer in range(config.num_layers):
        at = f"layers.{layer}."
        product(f"recurrent{layer}", at + "weight_hh_l0", weights[at + "bias_hh_l0"])
        size, bias = config.vocab_size * gates, weights[at + "bias_ih_l0"]
        if layer == 0 and (
            4 * size <= _TABLE_BYTES or (precision == "int8" and size <= _ROUNDED_TABLE_BYTES)
        ):
            table = ("embedding.weight", at + "weight_ih_l0")
            if 4 * size <= _TABLE_BYTES:
                arrays["table"] = weights[table[0]] @ weights[table[1]].T + bias
            else:
                arrays["table"], arrays["table.scale"] = rounded_table(weights, *table, bias)
            continue
        if layer == 0:
            largest = np.abs(weights["embedding.weight"]).max() or np.float32(1)
            arrays["embedding"] = weights["embedding.weight"] / largest
            product("input0", at + "weight_ih_l0", bias, times=float(largest))
            continue
        product(f"input{layer}", at + "weight_ih_l0", bias)
    if config.context_size:
        for name in ("query", "initial", "key", "value"):
            product(name, f"{name}.weight", weights[f"{name}.bias"])
        if config.summary_size:
            product("summary", "summary.weight", np.zeros(config.summary_size, np.float32))
    if config.tie_embeddings:
        if "project.weight" in weights:
            product("project", "project.weight", weights["project.bias"])
        product("output", "embedding.weight", weights["output_bias"])
    else:
        product("output", "project.weight", weights["project.bias"] + weights["output_bias"])
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def stored_steps(config: DecoderConfig) -> dict[str, int]:
    """The matrices of a decoder that may be stored in 8 bits, and in how many steps: as the graphs round them."""
    names = [
        f"layers.{layer}.weight_{kind}_l0" for layer in range(config.num_layers) for kind in ("ih", "hh")
    ]
    if config.context_size:
        names += [f"{name}.weight" for name in ("query", "initial", "key", "value")]
        names += ["summary.weight"] if config.summary_size else []
    width = config.embedding_size if config.tie_embeddings else config.vocab_size
    if not (config.tie_embeddings and config.features == width):
        names.append("project.weight")
    if not config.one_hot:
        names.append("embedding.weight")
    return dict.fromkeys(names, STEPS)


def arrays_of(graph: str, arrays: Mapping[str, np.ndarray], config: DecoderConfig) -> dict[str, np.ndarray]:
    """Those of a decoder's arrays that its graph of this name takes: the runtime wants no others."""
    start, halves = graph == "start", {"lower": True, "upper": False}

    def wanted(name: str) -> bool:
        if graph in halves:
            return _is_lower(name, config.cut) == halves[graph]
        return (name in _START) == start

    return {name: array for name, array in arrays.items() if wanted(name.split(".")[0])}


def _is_lower(name: str, cut: int) -> bool:
    """Whether what is called so is of the layers below `cut`: `table`, `input0`, not `output`."""
    digits = name.strip("abcdefghijklmnopqrstuvwxyz")
    return int(digits) < cut if digits else name in ("table", "embedding")
