"""A decoder as ONNX graphs without weights: those stay in the model's one file, and the engine hands them in.

Graphs of the same arrays: `step` for one token a row, `read` for whole prompts, a time step after the other; with a
context `start`, which comes before them. They compute what `textgen.decoder.rnn.RNNDecoder` computes; shapes have the letters of that module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from textgen.decoder.config import CELL_SIZES, DecoderConfig
from textgen.engine.onnx_weights import decoder_arrays

_OPSETS = {"": 21, "com.microsoft": 1}
_IR_VERSION = 10
_FLOAT, _INT = TensorProto.FLOAT, TensorProto.INT64
_BYTE: dict[str, np.ndarray] = {
    "step": np.array(1 / 127, np.float32),
    "zero": np.array(128, np.uint8),
}  # numbers from -1 to 1 as a byte

Attribute = int | float | str | Sequence[int] | onnx.GraphProto
Shape = Sequence[int | str]
"""Sizes; those that only a call decides by the name of their letter."""
Value = tuple[int, Shape]
"""What goes into a graph, or comes out: the type of its numbers, and its shape."""


class _Nodes:
    """Nodes one after the other, each named by its place; weights and constants are noted as they are used."""

    def __init__(self, arrays: Mapping[str, np.ndarray], prefix: str = "v"):
        self.arrays, self.prefix = arrays, prefix
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.weights: dict[str, None] = {}

    def __call__(
        self, kind: str, *inputs: str, output: str = "", domain: str = "", **attributes: Attribute
    ) -> str:
        """A node with one output, whose name is returned: `output`, or one of its own."""
        output = output or self._names(1)[0]
        self.nodes.append(helper.make_node(kind, inputs, [output], None, None, domain, None, **attributes))
        return output

    def several(self, kind: str, *inputs: str, count: int, **attributes: Attribute) -> list[str]:
        """A node with `count` outputs, whose names are returned."""
        outputs = self._names(count)
        self.nodes.append(helper.make_node(kind, inputs, outputs, None, None, None, None, **attributes))
        return outputs

    def _names(self, count: int) -> list[str]:
        return [f"{self.prefix}{len(self.nodes)}_{index}" for index in range(count)]

    def inside(self) -> _Nodes:
        """The nodes of a loop's body, which share weights and constants with those outside."""
        body = _Nodes(self.arrays, f"{self.prefix}{len(self.nodes)}_")
        body.constants, body.weights = self.constants, self.weights
        return body

    def constant(self, *values: float) -> str:
        name = "constant_" + "_".join(map(str, values))
        kind = np.int64 if all(isinstance(value, int) for value in values) else np.float32
        self.constants[name] = np.array(values, dtype=kind)
        return name

    def weight(self, name: str) -> str:
        self.weights[name] = None
        return name

    def product(self, name: str, x: str, bounded: bool = True) -> str:
        """`x` (..., K) times the matrix `name`, with its bias: (..., N); `bounded` if x has numbers from -1 to 1 only.

        In int8 x is rounded, too: each row in itself, so that no text depends on those beside it.
        """
        matrix, bias = self.weight(name), self.weight(f"{name}.bias")
        if f"{name}.scale" not in self.arrays:
            return self("Add", self("MatMul", x, matrix), bias)
        self.constants |= _BYTE
        largest = ""
        if not bounded:
            largest = self("ReduceMax", self("Abs", x), self.constant(-1))
            largest = self("Max", largest, self.constant(1e-30))  # a row of zeros stays one
            x = self("Div", x, largest)
        x = self("QuantizeLinear", x, "step", "zero")
        inputs = [x, matrix, "step", self.weight(f"{name}.scale"), "zero", "", bias if bounded else ""]
        y = self("MatMulIntegerToFloat", *inputs, domain="com.microsoft")
        return y if bounded else self("Add", self("Mul", y, largest), bias)


def _lstm(on: _Nodes, gates_x: str, gates_h: str, states: Sequence[str]) -> list[str]:
    i, f, g, o = on.several("Split", on("Add", gates_x, gates_h), count=4, axis=-1, num_outputs=4)
    kept = on("Mul", on("Sigmoid", f), states[1])
    cell = on("Add", kept, on("Mul", on("Sigmoid", i), on("Tanh", g)))
    return [on("Mul", on("Sigmoid", o), on("Tanh", cell)), cell]


def _gru(on: _Nodes, gates_x: str, gates_h: str, states: Sequence[str]) -> list[str]:
    reset_x, update_x, new_x = on.several("Split", gates_x, count=3, axis=-1, num_outputs=3)
    reset_h, update_h, new_h = on.several("Split", gates_h, count=3, axis=-1, num_outputs=3)
    update = on("Sigmoid", on("Add", update_x, update_h))
    reset = on("Sigmoid", on("Add", reset_x, reset_h))
    new = on("Tanh", on("Add", new_x, on("Mul", reset, new_h)))
    return [on("Add", new, on("Mul", update, on("Sub", states[0], new)))]


def _rnn(on: _Nodes, gates_x: str, gates_h: str, states: Sequence[str]) -> list[str]:
    return [on("Tanh", on("Add", gates_x, gates_h))]


_CELLS = {"lstm": _lstm, "gru": _gru, "rnn": _rnn}


def decoder_graphs(
    config: DecoderConfig, weights: Mapping[str, np.ndarray], precision: str
) -> dict[str, bytes]:
    """All graphs of a decoder with `weights`, its state dict. Raises UserError for an unknown precision."""
    arrays = decoder_arrays(config, weights, precision)
    graphs = {name: decoder_graph(config, arrays, whole=name == "read") for name in ("step", "read")}
    return graphs | ({"start": start_graph(config, arrays)} if config.context_size else {})


def start_graph(config: DecoderConfig, arrays: Mapping[str, np.ndarray]) -> bytes:
    """What a decoder makes of a context (B, L, D) before the first token, serialised.

    Inputs: `context` and its `mean` (B, D), which the runtime adds up in another order for one picture than for two.
    Outputs: `memory` (B, layers x states x H), `keys` and `values` (B, heads, L, H / heads).
    """
    on = _Nodes(arrays)
    heads, size = config.attention_heads, config.context_size
    width = config.hidden_size // heads
    on("Tanh", on.product("initial", "mean", bounded=False), output="memory")
    for name in ("key", "value"):
        grouped = on("Reshape", on.product(name, "context", bounded=False), on.constant(0, 0, heads, width))
        on("Transpose", grouped, output=f"{name}s", perm=[0, 2, 1, 3])
    seen: Value = (_FLOAT, ["B", heads, "L", width])
    outputs: dict[str, Value] = {"memory": (_FLOAT, ["B", config.memory_size]), "keys": seen, "values": seen}
    inputs: dict[str, Value] = {"context": (_FLOAT, ["B", "L", size]), "mean": (_FLOAT, ["B", size])}
    return _model(on, inputs, outputs)


def decoder_graph(config: DecoderConfig, arrays: Mapping[str, np.ndarray], whole: bool) -> bytes:
    """The graph of a decoder whose `arrays` are those of `textgen.engine.onnx_weights`, serialised.

    Inputs: `ids` (N,), or with `whole` (T, N) and `places` (K,), the time steps whose logits are wanted; `memory`
    (N, layers x states x H), the layers' states side by side; with a context `keys` and `values` (B, heads, L, H / heads).
    Outputs: `logits` (N, V) or (K, N, V); `memory_after`; with a context `attention` (B, heads, rows of B x T, L).
    """
    on = _Nodes(arrays)
    states, context = CELL_SIZES[config.cell].states, bool(config.context_size)
    inputs: dict[str, Value] = {
        "ids": (_INT, ["T", "N"] if whole else ["N"]),
        "memory": (_FLOAT, ["N", config.memory_size]),
    }
    outputs: dict[str, Value] = {
        "logits": (_FLOAT, [*(["K"] if whole else []), "N", config.vocab_size]),
        "memory_after": (_FLOAT, ["N", config.memory_size]),
    }
    if whole:
        inputs["places"] = (_INT, ["K"])
    if context:
        shape: Shape = ["B", config.attention_heads, "L", config.hidden_size // config.attention_heads]
        inputs |= dict.fromkeys(("keys", "values"), (_FLOAT, shape))
        outputs["attention"] = (_FLOAT, ["B", config.attention_heads, "rows", "L"])
    count = config.num_layers * states
    before = ["memory"]
    if count > 1:
        before = on.several("Split", "memory", count=count, axis=-1, num_outputs=count)

    x, attended, after = "", "", []
    for layer in range(config.num_layers):
        if layer == 0 and "table" in arrays:
            gates_x = on("Gather", on.weight("table"), "ids")
            if "table.scale" in arrays:
                scale = on("Gather", on.weight("table.scale"), "ids")
                gates_x = on("Mul", on("Cast", gates_x, to=_FLOAT), scale)
        else:
            x = x or on("Gather", on.weight("embedding"), "ids")
            gates_x = on.product(f"input{layer}", x, bounded=not attended)
        carried = before[layer * states : (layer + 1) * states]
        x, following = _recurrent(on, config, layer, gates_x, carried, whole)
        after += following
        if layer == 0 and context:
            attended = _attend(on, config, x, whole)
            x = on("Concat", x, attended, axis=-1) if config.num_layers > 1 else x
    on("Concat", *after, output="memory_after", axis=-1)
    if context:
        x = on("Concat", x, attended, axis=-1)
    if whole:
        x = on("Gather", x, "places", axis=0)
    if "project" in arrays:
        x = on.product("project", x, bounded=not context)
    logits = on.product("output", x, bounded=not context and "project" not in arrays)
    on("Identity", logits, output="logits")
    return _model(on, inputs, outputs)


def _recurrent(
    on: _Nodes, config: DecoderConfig, layer: int, gates_x: str, states: list[str], whole: bool
) -> tuple[str, list[str]]:
    """A layer's outputs, and its states after them."""
    cell = _CELLS[config.cell]

    def step(nodes: _Nodes, gates: str, carried: Sequence[str]) -> list[str]:
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
        [*(value(name, _FLOAT, shape) for name in before), value(gates, _FLOAT, wide)],
        [value(name, _FLOAT, shape) for name in (*found, out)],
    )
    *after, outputs = on.several(
        "Scan", *states, gates_x, count=len(states) + 1, body=graph, num_scan_inputs=1
    )
    return outputs, after


def _attend(on: _Nodes, config: DecoderConfig, x: str, whole: bool) -> str:
    """Multi-head attention of `x` (N, H) or (T, N, H) over the context: as `x`; its weights are called `attention`."""
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
    on("Softmax", scores, output="attention", axis=-1)  # (B, heads, rows x T, L)
    attended = on("Transpose", on("MatMul", "attention", "values"), perm=[0, 2, 1, 3])
    if not whole:
        return on("Reshape", attended, on.constant(-1, hidden))
    rows, steps = on("Shape", x, start=1, end=2), on("Shape", x, start=0, end=1)
    attended = on("Reshape", attended, on("Concat", rows, steps, on.constant(hidden), axis=0))
    return on("Transpose", attended, perm=[1, 0, 2])


def _model(on: _Nodes, inputs: Mapping[str, Value], outputs: Mapping[str, Value]) -> bytes:
    """Serialised, with a place holder for each weight: external data that the engine hands in."""
    place_holders = []
    for name in on.weights:
        array = on.arrays[name]
        tensor = TensorProto(
            name=name, dims=array.shape, data_type=helper.np_dtype_to_tensor_dtype(array.dtype)
        )
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="model.safetensors")
        place_holders.append(tensor)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        on.nodes,
        "decoder",
        [value(name, *kind) for name, kind in inputs.items()],
        [value(name, *kind) for name, kind in outputs.items()],
        [*(numpy_helper.from_array(array, name) for name, array in on.constants.items()), *place_holders],
    )
    opsets = [helper.make_opsetid(*opset) for opset in _OPSETS.items()]
    return helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION).SerializeToString()
