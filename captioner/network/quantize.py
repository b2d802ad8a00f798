"""An encoder's graph in 8 bits: static quantisation by ONNX Runtime, calibrated on pictures (Jacob et al. 2018).

Weights are rounded a channel, activations to the range that the pictures gave. The first convolutions stay in float32:
they have few weights, see every pixel, and cost most of what rounding loses.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from textgen.engine.session import runtime
from textgen.storage.weights import SCALE, rounded

_FIRST = 2  # convolutions that stay in float32
_BATCH = 8  # pictures calibrated on at a time
BRIDGE_STEPS = 127


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """It recommends, on the root logger, what has been done."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


class _Pictures:
    """What ONNX Runtime calls a calibration data reader."""

    def __init__(self, pixels: np.ndarray):
        self._batches: Iterator[np.ndarray] = iter(
            pixels[start : start + _BATCH] for start in range(0, len(pixels), _BATCH)
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        pixels = next(self._batches, None)
        return None if pixels is None else {"pixels": pixels}


def quantized(
    graph: onnx.ModelProto, pixels: np.ndarray, bridge: str
) -> tuple[onnx.ModelProto, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """`graph`, which holds its weights, in 8 bits; and those it now takes so, by name: whole numbers, and scales a row.

    `pixels` (B, S, S, 3), uint8, are what it is calibrated on. A weight W becomes the initializers W and W.scale; `bridge`
    is that of the product which the encoder's features go into.
    """
    # Its own sessions would warn of every initializer that they fold.
    runtime().set_default_logger_severity(3)
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    graph = _with_initializers(graph)
    constant = {tensor.name for tensor in graph.graph.initializer}
    convolutions = [node.name for node in graph.graph.node if node.op_type == "Conv"]
    biases = [node.name for node in graph.graph.node if node.op_type == "Add" and constant & set(node.input)]
    with tempfile.TemporaryDirectory() as folder, _quietly():
        source, target = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        onnx.save(onnx.shape_inference.infer_shapes(graph), source)
        quantize_static(
            source,
            target,
            _Pictures(pixels),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            # ReLU6 among them, or each stands between a convolution and the next, in float32.
            op_types_to_quantize=["Conv", "Add", "Clip", "Relu"],
            nodes_to_exclude=[*convolutions[:_FIRST], *biases],
        )
        found = onnx.load(target)
    rows = _named_weights(found, graph)
    return found, rows | _whole_bridge(found, bridge)


def _with_initializers(graph: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose constants are initializers: bounds that come from a node keep ReLU6 out of its convolution."""
    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    kept = []
    for node in copy.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensor = node.attribute[0].t
            tensor.name = node.output[0]
            copy.graph.initializer.append(tensor)
        else:
            kept.append(node)
    del copy.graph.node[:]
    copy.graph.node.extend(kept)
    return copy


def _named_weights(
    graph: onnx.ModelProto, source: onnx.ModelProto
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Renames the rounded weights and their scales after the weights; both by their names."""
    wide = {tensor.name for tensor in source.graph.initializer}
    kept = {tensor.name: tensor for tensor in graph.graph.initializer}
    rows: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for node in graph.graph.node:
        name = node.input[0].removesuffix("_quantized") if node.input else ""
        if node.op_type != "DequantizeLinear" or name not in wide:
            continue
        tensors = [kept[label] for label in node.input[:2]]
        if tensors[0].data_type != onnx.TensorProto.INT8:
            continue  # a bias, in 32 bits, stays in the graph
        for place, (tensor, label) in enumerate(zip(tensors, (name, name + SCALE), strict=True)):
            tensor.name = node.input[place] = label
        whole, scale = map(numpy_helper.to_array, tensors)
        rows[name] = whole, scale
    return rows


def _whole_bridge(graph: onnx.ModelProto, name: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Lets the product with the weight `name` (N, K) take the features as the bytes that they are, where they are: its weight's
    row of `quantized`'s, or none.

    A tenth of the encoder's time, and the same result: those bytes were made numbers for it.
    """
    made = {output: node for node in graph.graph.node for output in node.output}

    def before(node: onnx.NodeProto | None, kind: str, place: int = 0) -> onnx.NodeProto | None:
        found = made.get(node.input[place]) if node else None
        return found if found and found.op_type == kind else None

    products = [node for node in graph.graph.node if node.op_type == "MatMul"]
    product = next((node for node in products if name in (before(node, "Transpose", 1) or node).input), None)
    turned = before(product, "Transpose")  # (B, L, K) from (B, K, L), and that from (B, K, rows, columns)
    flat = before(turned, "Reshape")
    wide = before(flat, "DequantizeLinear")
    if product is None or turned is None or flat is None or wide is None:
        return {}
    (tensor,) = [tensor for tensor in graph.graph.initializer if tensor.name == name]
    whole, scale = rounded(numpy_helper.to_array(tensor), BRIDGE_STEPS)
    shape = f"{name}.shape"
    tensor.CopyFrom(numpy_helper.from_array(whole, name))
    graph.graph.initializer.append(numpy_helper.from_array(scale, name + SCALE))
    graph.graph.initializer.append(numpy_helper.from_array(np.array([0, -1, whole.shape[1]]), shape))
    # Turned before they are laid side by side, as the runtime's convolutions have them already.
    flat.CopyFrom(helper.make_node("Transpose", [wide.input[0]], list(flat.output), perm=[0, 2, 3, 1]))
    turned.CopyFrom(helper.make_node("Reshape", [flat.output[0], shape], list(turned.output)))
    inputs = [turned.output[0], product.input[1], wide.input[1], name + SCALE, wide.input[2]]
    product.CopyFrom(
        helper.make_node("MatMulIntegerToFloat", inputs, list(product.output), domain="com.microsoft")
    )
    graph.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    del graph.graph.value_info[:]  # they say what was in float32
    return {name: (whole, scale)}
