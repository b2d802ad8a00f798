"""An ONNX graph put together node by node, without its weights: those stay in the model's one file, and the engine hands
them in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_OPSETS = {"": 21, "com.microsoft": 1}
_IR_VERSION = 10
FLOAT, DOUBLE, INT, BOOL = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.BOOL
_BYTE: dict[str, np.ndarray] = {
    "step": np.array(1 / 127, np.float32),
    "zero": np.array(128, np.uint8),
}  # numbers from -1 to 1 as a byte

Attribute = int | float | str | Sequence[int] | Sequence[str] | onnx.GraphProto
Shape = Sequence[int | str | None]
"""Sizes; those that only a call decides by the name of their letter, those that change in a loop None."""
Value = tuple[int, Shape]
"""What goes into a graph, or comes out: the type of its numbers, and its shape."""


class Nodes:
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

    def inside(self) -> Nodes:
        """The nodes of a loop's body, which share weights and constants with those outside."""
        body = Nodes(self.arrays, f"{self.prefix}{len(self.nodes)}_")
        body.constants, body.weights = self.constants, self.weights
        return body

    def constant(self, *values: float) -> str:
        name = "constant_" + "_".join(map(str, values))
        kind = np.int64 if all(isinstance(value, int) for value in values) else np.float32
        self.constants[name] = np.array(values, dtype=kind)
        return name

    def scalar(self, value: int) -> str:
        name = f"scalar_{value}"
        self.constants[name] = np.array(value, dtype=np.int64)
        return name

    def double(self, value: float) -> str:
        name = f"double_{value}"
        self.constants[name] = np.array(value, dtype=np.float64)
        return name

    def loop(
        self,
        steps: str,
        carried: Mapping[str, Value],
        step: Callable[[Nodes, str, Sequence[str]], tuple[str, list[str], list[str]]],
        found: Sequence[Value],
    ) -> tuple[list[str], list[str]]:
        """`step` up to `steps` times: the names of what is carried at the end, and of what it found, one step after the other
        along a new first axis.

        It is given the place of the step and what is carried, and returns whether another is wanted, what it carries on, and
        what it found, of these types; `found` has the types of all its steps together.
        """
        body = self.inside()
        value = helper.make_tensor_value_info
        place, going = f"{body.prefix}place", f"{body.prefix}going"
        before = [f"{body.prefix}before{index}" for index in range(len(carried))]
        wanted, after, results = step(body, place, before)
        # A body's outputs are its own: none of them may be an input, or stand there twice.
        outputs = [body("Identity", name) for name in (wanted, *after, *results)]
        kinds = [(BOOL, []), *carried.values(), *((kind, shape[1:]) for kind, shape in found)]
        graph = helper.make_graph(
            body.nodes,
            f"{body.prefix}loop",
            [value(place, INT, []), value(going, BOOL, [])]
            + [value(name, *kind) for name, kind in zip(before, carried.values(), strict=True)],
            [value(name, *kind) for name, kind in zip(outputs, kinds, strict=True)],
        )
        ended = self.several("Loop", steps, "", *carried, count=len(carried) + len(found), body=graph)
        return ended[: len(carried)], ended[len(carried) :]

    def either(
        self, condition: str, yes: Callable[[Nodes], str], no: Callable[[Nodes], str], kind: Value
    ) -> str:
        """What the nodes of one of two branches give, of this type."""
        graphs = []
        for side, branch in (("yes", yes), ("no", no)):
            inside = Nodes(self.arrays, f"{self.prefix}{len(self.nodes)}_{side}")
            inside.constants, inside.weights = self.constants, self.weights
            value = helper.make_tensor_value_info(inside("Identity", branch(inside)), *kind)
            graphs.append(helper.make_graph(inside.nodes, inside.prefix, [], [value]))
        return self("If", condition, then_branch=graphs[0], else_branch=graphs[1])

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


def serialised(
    on: Nodes, inputs: Mapping[str, Value], outputs: Mapping[str, Value], name: str = "decoder"
) -> bytes:
    """The graph of these nodes, with a place holder for each weight: external data that the engine hands in."""
    place_holders = []
    for weight in on.weights:
        array = on.arrays[weight]
        tensor = TensorProto(
            name=weight, dims=array.shape, data_type=helper.np_dtype_to_tensor_dtype(array.dtype)
        )
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="model.safetensors")
        place_holders.append(tensor)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        on.nodes,
        name,
        [value(key, *kind) for key, kind in inputs.items()],
        [value(key, *kind) for key, kind in outputs.items()],
        [*(numpy_helper.from_array(array, key) for key, array in on.constants.items()), *place_holders],
    )
    opsets = [helper.make_opsetid(*opset) for opset in _OPSETS.items()]
    return helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION).SerializeToString()
