"""A decoder as ONNX graphs without weights: those stay in the model's one file, and the engine hands them in.

Graphs of the same arrays: `step` for one token a row, `read` for whole prompts, a time step after the other, and its two
halves in `textgen.graphs.halves`; with a context `start`, which comes before them; `textgen.graphs.decoder` has all of them.
They compute what `textgen.decoder.rnn.RNNDecoder` computes; shapes have the letters of that module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from onnx import helper

from textgen.decoder.config import CELL_SIZES, DecoderConfig
from textgen.graphs.nodes import FLOAT, INT, Nodes, Shape, Value, serialised


def _lstm(on: Nodes, gates_x: str, gates_h: str, states: Sequence[str]) -> list[str]:
    i, f, g, o = on.several("Split", on("Add", gates_x, gates_h), count=4, axis=-1, num_outputs=4)
    kept = on("Mul", on("Sigmoid", f), states[1])
    cell = on("Add", kept, on("Mul", on("Sigmoid", i), on("Tanh", g)))
    return [on("Mul", on("Sigmoid", o), on("Tanh", cell)), cell]


def _gru(on: Nodes, gates_x: str, gates_h: str, states: Sequence[str]) -> list[str]:
    reset_x, update_x, new_x = on.several("Split", gates_x, count=3, axis=-1, num_outputs=3)
    reset_h, update_h, new_h = on.several("Split", gates_h, count=3, axis=-1, num_outputs=3)
    update = on("Sigmoid", on("Add", update_x, update_h))
    reset = on("Sigmoid", on("Add", reset_x, reset_h))
    new = on("Tanh", on("Add", new_x, on("Mul", reset, new_h)))
    return [on("Add", new, on("Mul", update, on("Sub", states[0], new)))]


def _rnn(on: Nodes, gates_x: str, gates_h: str, states: Sequence[str]) -> list[str]:
    return [on("Tanh", on("Add", gates_x, gates_h))]


_CELLS = {"lstm": _lstm, "gru": _gru, "rnn": _rnn}


def start_graph(config: DecoderConfig, arrays: Mapping[str, np.ndarray]) -> bytes:
    """What a decoder makes of a context (B, L, D) before the first token, serialised.

    Inputs: `context` and its `mean` (B, D), which the runtime adds up in another order for one picture than for two.
    Outputs: `memory` (B, layers x states x H), `keys` and `values` (B, heads, L, H / heads).
    """
    on = Nodes(arrays)
    heads, size = config.attention_heads, config.context_size
    width = config.hidden_size // heads
    mean = on.product("summary", "mean", bounded=False) if config.summary_size else "mean"
    on("Tanh", on.product("initial", mean, bounded=False), output="memory")
    for name in ("key", "value"):
        grouped = on("Reshape", on.product(name, "context", bounded=False), on.constant(0, 0, heads, width))
        on("Transpose", grouped, output=f"{name}s", perm=[0, 2, 1, 3])
    seen: Value = (FLOAT, ["B", heads, "L", width])
    outputs: dict[str, Value] = {"memory": (FLOAT, ["B", config.memory_size]), "keys": seen, "values": seen}
    inputs: dict[str, Value] = {"context": (FLOAT, ["B", "L", size]), "mean": (FLOAT, ["B", size])}
    return serialised(on, inputs, outputs)


def decoder_graph(config: DecoderConfig, arrays: Mapping[str, np.ndarray], whole: bool) -> bytes:
    """The graph of a decoder whose `arrays` are those of `textgen.engine.onnx_weights`, serialised.

    Inputs: `ids` (N,), or with `whole` (T, N) and `places` (K,), the time steps whose logits are wanted; `memory`
    (N, layers x states x H), the layers' states side by side; with a context `keys` and `values` (B, heads, L, H / heads),
    and, where contexts have lengths, `mask` (B, 1, 1, L), 0 or -inf.
    Outputs: `logits` (N, V) or (K, N, V); `memory_after`; with a context `attention` (B, heads, rows of B x T, L).
    """
    on = Nodes(arrays)
    inputs: dict[str, Value] = {
        "ids": (INT, ["T", "N"] if whole else ["N"]),
        "memory": (FLOAT, ["N", config.memory_size]),
    }
    outputs: dict[str, Value] = {
        "logits": (FLOAT, [*(["K"] if whole else []), "N", config.vocab_size]),
        "memory_after": (FLOAT, ["N", config.memory_size]),
    }
    if whole:
        inputs["places"] = (INT, ["K"])
    inputs |= context_inputs(config)
    if config.context_size:
        outputs["attention"] = (FLOAT, ["B", config.attention_heads, "rows", "L"])
    logits, after = decoder_nodes(on, config, "ids", "memory", "places" if whole else "", "attention")
    on("Identity", logits, output="logits")
    on("Identity", after, output="memory_after")
    return serialised(on, inputs, outputs)


def context_inputs(config: DecoderConfig) -> dict[str, Value]:
    """What a graph is given of a context, where the decoder has one."""
    if not config.context_size:
        return {}
    shape: Shape = ["B", config.attention_heads, "L", config.hidden_size // config.attention_heads]
    found: dict[str, Value] = dict.fromkeys(("keys", "values"), (FLOAT, shape))
    return found | ({"mask": (FLOAT, ["B", 1, 1, "L"])} if config.context_lengths else {})


def decoder_nodes(
    on: Nodes, config: DecoderConfig, ids: str, memory: str, places: str = "", attention: str = ""
) -> tuple[str, str]:
    """The names of a step's logits and memory after `ids` and `memory`; with `places` of a whole prompt's.

    `keys`, `values` and `mask` are what the graph, or the one around it, calls so; `attention` names its weights.
    """
    whole = bool(places)
    states, context = CELL_SIZES[config.cell].states, bool(config.context_size)
    count = config.num_layers * states
    before = [memory]
    if count > 1:
        before = on.several("Split", memory, count=count, axis=-1, num_outputs=count)

    x, attended, after = "", "", []
    for layer in range(config.num_layers):
        gates_x = on.product(f"input{layer}", x, bounded=not attended) if layer else token_gates(on, ids)
        carried = before[layer * states : (layer + 1) * states]
        x, following = recurrent(on, config, layer, gates_x, carried, whole)
        after += following
        if layer == 0 and context:
            attended = _attend(on, config, x, whole, attention)
            x = on("Concat", x, attended, axis=-1) if config.num_layers > 1 else x
    memory = on("Concat", *after, axis=-1)
    if context:
        x = on("Concat", x, attended, axis=-1)
    if whole:
        x = on("Gather", x, places, axis=0)
    return logits_of(on, x, bounded=not context), memory


def token_gates(on: Nodes, ids: str) -> str:
    """The first layer's gates of `ids` (..., ), their share of them: (..., G)."""
    if "table" not in on.arrays:
        return on.product("input0", on("Gather", on.weight("embedding"), ids))
    gates = on("Gather", on.weight("table"), ids)
    if "table.scale" not in on.arrays:
        return gates
    scale = on("Gather", on.weight("table.scale"), ids)
    return on("Mul", on("Cast", gates, to=FLOAT), scale)


def logits_of(on: Nodes, x: str, bounded: bool = True) -> str:
    """Logits (..., V) of what the last layer gave, `bounded` if from -1 to 1."""
    if "project" not in on.arrays:
        return on.product("output", x, bounded)
    return on.product("output", on.product("project", x, bounded), bounded=False)


def recurrent(
    on: Nodes, config: DecoderConfig, layer: int, gates_x: str, states: list[str], whole: bool
) -> tuple[str, list[str]]:
    """A layer's outputs, and its states after them."""
    cell = _CELLS[config.cell]

    def step(nodes: Nodes, gates: str, carried: Sequence[str]) -> list[str]:
        return cell(nodes, gates, nodes.product(f"recurrent{layer}", carried[0]), carried)

    if not whole:
        after = step(on, gates_x, states)
        return after[0], after
    body = on.inside()
    before = [f"{body.prefix}state{index}" for index in range(len(states))]
    gates = f"{body.prefix}gates"
    found = step(body, gates, before)
    out = body("Identity", found[0])
    value = helper.make_tensor_value_info
    shape: Shape = ["N", config.hidden_size]
    wide: Shape = ["N", CELL_SIZES[config.cell].gates * config.hidden_size]
    graph = helper.make_graph(
        body.nodes,
        f"layer{layer}",
        [*(value(name, FLOAT, shape) for name in before), value(gates, FLOAT, wide)],
        [value(name, FLOAT, shape) for name in (*found, out)],
    )
    *after, outputs = on.several(
        "Scan", *states, gates_x, count=len(states) + 1, body=graph, num_scan_inputs=1
    )
    return outputs, after


def _attend(on: Nodes, config: DecoderConfig, x: str, whole: bool, name: str) -> str:
    """Multi-head attention of `x` (N, H) or (T, N, H) over the context: as `x`; its weights are called `name`."""
    hidden, heads = config.hidden_size, config.attention_heads
    width = hidden // heads
    query = on.product("query", x)
    # Rows of one context are one long query: the context is never repeated.
    query = on("Transpose", query, perm=[1, 0, 2]) if whole else query
    batch = on("Shape", "keys", start=0, end=1)
    grouped = on("Concat", batch, on.constant(-1, heads, width), axis=0)
    query = on("Transpose", on("Reshape", query, grouped), perm=[0, 2, 1, 3])
    keys = on("Transpose", "keys", perm=[0, 1, 3, 2])
    scores = on("Mul", on("MatMul", query, keys), on.constant(width**-0.5))
    if config.context_lengths:
        scores = on("Add", scores, "mask")
    weights = on("Softmax", scores, output=name, axis=-1)  # (B, heads, rows x T, L)
    attended = on("Transpose", on("MatMul", weights, "values"), perm=[0, 2, 1, 3])
    if not whole:
        return on("Reshape", attended, on.constant(-1, hidden))
    rows, steps = on("Shape", x, start=1, end=2), on("Shape", x, start=0, end=1)
    attended = on("Reshape", attended, on("Concat", rows, steps, on.constant(hidden), axis=0))
    return on("Transpose", attended, perm=[1, 0, 2])
