"""A Transformer as ONNX graphs without weights, computing what `textgen.transformer.network` computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from textgen.graphs.nodes import FLOAT, INT, Nodes, Value, serialised
from textgen.graphs.write import sampling_loop
from textgen.transformer.config import TransformerConfig
from textgen.transformer.engines import transformer_arrays


def transformer_graph(config: TransformerConfig, weights: Mapping[str, np.ndarray], precision: str) -> bytes:
    """The graph of a Transformer with `weights`, its state dict, serialised.

    Inputs: `ids` (N, T); `places` (K,), the tokens whose logits are wanted; `keys` and `values` (layers, N, heads, P, W);
    `cosines` and `sines` (N, 1, T, W / 2) of the tokens' positions; `mask` (N, 1, T, P + T). Outputs: `logits` (N, K, V),
    `keys_after` and `values_after` (layers, N, heads, P + T, W).
    """
    on = Nodes(transformer_arrays(config, weights, precision))
    before = _layers(on, "keys", config.num_layers), _layers(on, "values", config.num_layers)
    logits, keys, values = _nodes(on, config, "ids", "places", before, ("cosines", "sines"), "mask")
    outputs: dict[str, Value] = {
        "logits": (FLOAT, ["N", "K", config.vocab_size]),
        "keys_after": _cells(config, "P + T"),
        "values_after": _cells(config, "P + T"),
    }
    for name, found in zip(outputs, (logits, _all(on, keys), _all(on, values)), strict=True):
        on("Identity", found, output=name)
    angles: Value = (FLOAT, ["N", 1, "T", config.head_size // 2])
    inputs: dict[str, Value] = {
        "ids": (INT, ["N", "T"]),
        "places": (INT, ["K"]),
        "keys": _cells(config, "P"),
        "values": _cells(config, "P"),
        "cosines": angles,
        "sines": angles,
        "mask": (FLOAT, ["N", 1, "T", "P + T"]),
    }
    return serialised(on, inputs, outputs, "transformer")


def transformer_write_graph(
    config: TransformerConfig, weights: Mapping[str, np.ndarray], precision: str
) -> bytes:
    """Its loop, serialised: `textgen.graphs.write.sampling_loop` with `keys` and `values` (layers, N, heads, P, W) and the
    `mask` (N, 1, 1, P + 1) of the first step, and with `cosines` and `sines` (steps, N, 1, 1, W / 2) of all positions."""

    layers = config.num_layers

    def step(on: Nodes, place: str, ids: str, states: Sequence[str]) -> tuple[str, Sequence[str]]:
        keys, values, mask = states[:layers], states[layers:-1], states[-1]
        angles = on("Gather", "cosines", place), on("Gather", "sines", place)
        column = on("Unsqueeze", ids, on.constant(-1))
        logits, keys, values = _nodes(on, config, column, on.constant(0), (keys, values), angles, mask)
        # What was just read is seen by all that follows.
        own = on("Slice", mask, on.constant(-1), on.constant(2**31), on.constant(3))
        return on("Squeeze", logits, on.constant(1)), [*keys, *values, on("Concat", mask, own, axis=3)]

    def apart(on: Nodes) -> dict[str, Value]:
        # A layer's own, or every step would put all of them together and take them apart.
        cells: Value = (FLOAT, ["N", config.attention_heads, None, config.head_size])
        names = [*_layers(on, "keys", layers), *_layers(on, "values", layers)]
        return dict.fromkeys(names, cells) | {"mask": mask}

    def together(on: Nodes, after: Sequence[str]) -> list[str]:
        return [_all(on, after[:layers]), _all(on, after[layers:-1]), after[-1]]

    mask: Value = (FLOAT, ["N", 1, 1, None])
    angles: Value = (FLOAT, ["K", "N", 1, 1, config.head_size // 2])
    return sampling_loop(
        Nodes(transformer_arrays(config, weights, precision)),
        config.vocab_size,
        {"keys": _cells(config, None), "values": _cells(config, None), "mask": mask},
        {"cosines": angles, "sines": angles},
        step,
        (apart, together),
    )


def _cells(config: TransformerConfig, count: str | None) -> Value:
    return FLOAT, [config.num_layers, "N", config.attention_heads, count, config.head_size]


def _nodes(
    on: Nodes,
    config: TransformerConfig,
    ids: str,
    places: str,
    before: tuple[Sequence[str], Sequence[str]],
    angles: tuple[str, str],
    mask: str,
) -> tuple[str, list[str], list[str]]:
    """The names of logits (N, K, V), and of each layer's keys and values (N, heads, P, W), after `ids` (N, T) and those
    `before`."""
    heads, width, size = config.attention_heads, config.head_size, config.hidden_size
    x = on("Gather", on.weight("embedding"), ids)
    after: tuple[list[str], list[str]] = [], []
    for layer in range(config.num_layers):
        mixed = on.product(f"attention{layer}", _norm(on, f"before_attention{layer}", x), bounded=False)
        mixed = on("Reshape", mixed, on.constant(0, 0, 3 * heads, width))
        mixed = on("Transpose", mixed, perm=[0, 2, 1, 3])
        # Queries and keys are turned as one.
        both, value = on.several("Split", mixed, on.constant(2 * heads, heads), count=2, axis=1)
        query, key = on.several("Split", _turn(on, both, angles), count=2, axis=1, num_outputs=2)
        keys = on("Concat", before[0][layer], key, axis=2)
        values = on("Concat", before[1][layer], value, axis=2)
        for kept, new in zip(after, (keys, values), strict=True):
            kept.append(new)
        scores = on("MatMul", query, on("Transpose", keys, perm=[0, 1, 3, 2]))
        scores = on("Add", on("Mul", scores, on.constant(width**-0.5)), mask)
        seen = on("MatMul", on("Softmax", scores, axis=-1), values)
        seen = on("Reshape", on("Transpose", seen, perm=[0, 2, 1, 3]), on.constant(0, 0, size))
        x = on("Add", x, on.product(f"attended{layer}", seen, bounded=False))
        wide = on.product(f"widen{layer}", _norm(on, f"before_feed_forward{layer}", x), bounded=False)
        x = on("Add", x, on.product(f"narrow{layer}", on("Gelu", wide), bounded=False))
    x = on("Gather", x, places, axis=1)
    logits = on.product("output", _norm(on, "before_output", x), bounded=False)
    return logits, *after


def _layers(on: Nodes, name: str, count: int) -> list[str]:
    """What is remembered (layers, N, heads, P, W), of each layer."""
    parts = [name] if count == 1 else on.several("Split", name, count=count, axis=0, num_outputs=count)
    return [on("Squeeze", part, on.constant(0)) for part in parts]


def _all(on: Nodes, cells: Sequence[str]) -> str:
    """What is remembered of all layers, of each one's."""
    return on("Concat", *(on("Unsqueeze", own, on.constant(0)) for own in cells), axis=0)


def _norm(on: Nodes, name: str, x: str) -> str:
    return on("LayerNormalization", x, on.weight(name), on.weight(f"{name}.bias"), axis=-1, epsilon=1e-5)


def _turn(on: Nodes, x: str, angles: tuple[str, str]) -> str:
    """Each pair of features turned by the angle of its position."""
    first, second = on.several("Split", x, count=2, axis=-1, num_outputs=2)
    cosines, sines = angles
    turned = on("Sub", on("Mul", first, cosines), on("Mul", second, sines))
    other = on("Add", on("Mul", second, cosines), on("Mul", first, sines))
    return on("Concat", turned, other, axis=-1)
