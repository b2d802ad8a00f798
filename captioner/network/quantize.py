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
from onnx import numpy_helper

from textgen.engine.session import runtime
from textgen.storage.weights import SCALE

_FIRST = 2  # convolutions that stay in float32
_BATCH = 8  # pictures calibrated on at a time


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
    graph: onnx.ModelProto, pixels: np.ndarray
) -> tuple[onnx.ModelProto, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """`graph`, which holds its weights, in 8 bits; and those it now takes so, by name: whole numbers, and scales a row.

    `pixels` (B, S, S, 3), uint8, are what it is calibrated on. A weight W becomes the initializers W and W.scale.
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
    return found, _named_weights(found, graph)


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
