"""The graph that makes a gate table of weights in 8 bits; of no model's sizes, so that it comes with the package.

`python -m textgen.graphs.table` writes it anew.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from textgen.engine.gate_table import GRAPH
from textgen.graphs.nodes import FLOAT, Nodes, Value, serialised
from textgen.storage.files import atomic_write


def table_graph() -> bytes:
    """From `rows` (N, E), uint8 around 128, and `columns` (E, G), int8, each with their scales, and `bias` (G,), to the rounded
    product (N, G), int8, and its scales (N, 1)."""
    on = Nodes({})
    on.constants |= {"one": np.array(1, np.float32), "middle": np.array(128, np.uint8)}
    product = on(
        *("MatMulIntegerToFloat", "rows", "columns", "one", "column_scales", "middle"), domain="com.microsoft"
    )
    product = on("Add", on("Mul", product, "row_scales"), "bias")
    largest = on("ReduceMax", on("Abs", product), on.constant(-1), keepdims=1)
    largest = on("Max", largest, on.constant(1e-30))  # a row of zeros stays one
    scales = on("Div", largest, on.constant(127.0), output="scales")
    on(
        *("QuantizeLinear", product, on("Squeeze", scales, on.constant(1))),
        axis=0,
        output_dtype=TensorProto.INT8,
        output="steps",
    )
    inputs: dict[str, Value] = {
        "rows": (TensorProto.UINT8, ["N", "E"]),
        "row_scales": (FLOAT, ["N", 1]),
        "columns": (TensorProto.INT8, ["E", "G"]),
        "column_scales": (FLOAT, ["G"]),
        "bias": (FLOAT, ["G"]),
    }
    outputs: dict[str, Value] = {"steps": (TensorProto.INT8, ["N", "G"]), "scales": (FLOAT, ["N", 1])}
    return serialised(on, inputs, outputs, name="gate_table")


if __name__ == "__main__":
    atomic_write(GRAPH, lambda file: file.write(table_graph()))
