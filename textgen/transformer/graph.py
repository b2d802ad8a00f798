"""A Transformer as an ONNX graph without weights, computing what `textgen.transformer.network` computes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from textgen.engine.onnx_nodes import FLOAT, INT, Nodes, Value, serialised
from textgen.transformer.config import TransformerConfig
from textgen.transformer.engines import transformer_arrays


def transformer_graph(config: TransformerConfig, weights: Mapping[str, np.ndarray], precision: str) -> bytes:
    """The graph of a Transformer with `weights`, its state dict, serialised.

    Inputs: `ids` (N, T); `places` (K,), the tokens whose logits are wanted; `keys` and `values` (layers, N, heads, P, W);
    `cosines` and `sines` (N, 1, T, W / 2) of the tokens' positions; `mask` (N, 1, T, P + T). Outputs: `logits` (N, K, V),
    `keys_after` and `values_after` (layers, N, heads, P + T, W).
    """
    on = Nodes(transformer_arrays(config, weights, precision))
    heads, width, size = config.attention_heads, config.head_size, config.hidden_size
    layers = config.num_layers
    split = {name: _layers(on, name, layers) for name in ("keys", "values")}
    x = on("Gather", on.weight("embedding"), "ids")
    after: dict[str, list[str]] = {"keys": [], "values": []}
    for layer in range(layers):
        mixed = on.product(f"attention{layer}", _norm(on, f"before_attention{layer}", x), bounded=False)
        parts = on.several("Split", mixed, count=3, axis=-1, num_outputs=3)
        query, key, value = (
            on("Transpose", on("Reshape", part, on.constant(0, 0, heads, width)), perm=[0, 2, 1, 3])
            for part in parts
        )
        query, key = _turn(on, query), _turn(on, key)
        keys = on("Concat", split["keys"][layer], key, axis=2)
        values = on("Concat", split["values"][layer], value, axis=2)
        after["keys"].append(on("Unsqueeze", keys, on.constant(0)))
        after["values"].append(on("Unsqueeze", values, on.constant(0)))
        scores = on("MatMul", query, on("Transpose", keys, perm=[0, 1, 3, 2]))
        scores = on("Add", on("Mul", scores, on.constant(width**-0.5)), "mask")
        seen = on("MatMul", on("Softmax", scores, axis=-1), values)
        seen = on("Reshape", on("Transpose", seen, perm=[0, 2, 1, 3]), on.constant(0, 0, size))
        x = on("Add", x, on.product(f"attended{layer}", seen, bounded=False))
        wide = on.product(f"widen{layer}", _norm(on, f"before_feed_forward{layer}", x), bounded=False)
        x = on("Add", x, on.product(f"narrow{layer}", on("Gelu", wide), bounded=False))
    x = on("Gather", x, "places", axis=1)
    on("Identity", on.product("output", _norm(on, "before_output", x), bounded=False), output="logits")
    for name, found in after.items():
        on("Concat", *found, output=f"{name}_after", axis=0)
    cells: Value = (FLOAT, [layers, "N", heads, "P", width])
    longer: Value = (FLOAT, [layers, "N", heads, "P + T", width])
    angles: Value = (FLOAT, ["N", 1, "T", width // 2])
    inputs: dict[str, Value] = {
        "ids": (INT, ["N", "T"]),
        "places": (INT, ["K"]),
        "keys": cells,
        "values": cells,
    }
    inputs |= {"cosines": angles, "sines": angles, "mask": (FLOAT, ["N", 1, "T", "P + T"])}
    outputs: dict[str, Value] = {"logits": (FLOAT, ["N", "K", config.vocab_size])}
    outputs |= {"keys_after": longer, "values_after": longer}
    return serialised(on, inputs, outputs, "transformer")


def _layers(on: Nodes, name: str, count: int) -> list[str]:
    """What is remembered (layers, N, heads, P, W), of each layer."""
    parts = [name] if count == 1 else on.several("Split", name, count=count, axis=0, num_outputs=count)
    return [on("Squeeze", part, on.constant(0)) for part in parts]


def _norm(on: Nodes, name: str, x: str) -> str:
    return on("LayerNormalization", x, on.weight(name), on.weight(f"{name}.bias"), axis=-1, epsilon=1e-5)


def _turn(on: Nodes, x: str) -> str:
    """Each pair of features turned by the angle of its position."""
    first, second = on.several("Split", x, count=2, axis=-1, num_outputs=2)
    turned = on("Sub", on("Mul", first, "cosines"), on("Mul", second, "sines"))
    other = on("Add", on("Mul", second, "cosines"), on("Mul", first, "sines"))
    return on("Concat", turned, other, axis=-1)
