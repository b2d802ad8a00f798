"""A stored captioning model gets its ONNX graphs: encoder and bridge as torch exports them, the decoder as we write it."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Container, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from captioner.data.examples import Example
from captioner.network.model import CaptionModel
from captioner.network.quantize import BRIDGE_STEPS, quantized
from captioner.network.stored import BRIDGE, DECODER, ENCODER, ENCODER_INT8, KIND, read_model
from captioner.pictures.load import picture_pixels
from captioner.pictures.refusals import ImageError
from textgen.decoder.config import DecoderConfig
from textgen.engine.onnx_weights import stored_steps
from textgen.errors import UserError
from textgen.graphs.decoder import decoder_graphs
from textgen.storage import bundle
from textgen.storage.graphs import Graphs, check_precision, read_graphs, write_graphs
from textgen.storage.weights import SCALE, Rounding

_OPSET = 20
_PREFIX = "model."  # of the weights' names in an exported graph


class _Eyes(nn.Module):
    """What a graph is to be made of."""

    def __init__(self, model: CaptionModel):
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        return self.model.context(pixels)


def export_model(
    folder: Path, precision: str, pack: bool = False, calibration: np.ndarray | None = None
) -> None:
    """Adds ONNX graphs to a stored model. Raises UserError naming what is wrong with it.

    `precision` is the decoder's; the encoder computes in float32, or in 8 bits where there are pixels to calibrate it
    on, (B, S, S, 3), uint8. With `pack` the weights are stored from then on as they are computed, in 8 bits.
    """
    check_precision(precision)
    model, _, size, *_ = read_model(folder)
    stored = bundle.read(folder, KIND)
    graph = _exported(model, size)
    rows: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    if calibration is not None:
        graph, rows = quantized(graph, calibration, _PREFIX + BRIDGE)
    if pack or rows:
        steps: dict[str, Rounding] = {BRIDGE: BRIDGE_STEPS}
        steps |= {f"{DECODER}{name}": count for name, count in stored_steps(model.decoder.config).items()}
        steps |= {name.removeprefix(_PREFIX): how for name, how in rows.items()}
        stored = bundle.pack_weights(stored, steps)
    graphs = decoder_graphs(model.decoder.config, stored.weights.part(DECODER), precision)
    graphs[ENCODER_INT8 if rows else ENCODER] = _without_weights(graph, stored.weights)
    write_graphs(stored, Graphs(precision, graphs))


def export_upon(folder: Path, other: Path) -> None:
    """Adds graphs in 8 bits to a stored model, whose encoder and bridge are those of the model in `other`: stored and computed as
    there, where rounding them anew would be another rounding. Raises UserError where that has no such encoder."""
    stored, theirs = bundle.read(folder, KIND), bundle.read(other, KIND)
    encoder = encoder_in_8_bits(theirs)
    config = DecoderConfig(**stored.header["config"]["decoder"])
    steps: dict[str, Rounding] = {f"{DECODER}{name}": count for name, count in stored_steps(config).items()}
    for name in theirs.weights:
        if not name.startswith(DECODER) and (rows := theirs.weights.rows(name)):
            steps[name] = rows
    stored = bundle.pack_weights(stored, steps)
    graphs = decoder_graphs(config, stored.weights.part(DECODER), "int8")
    write_graphs(stored, Graphs("int8", {**graphs, ENCODER_INT8: encoder}))


def encoder_in_8_bits(stored: bundle.Bundle) -> bytes:
    """The graph of a stored model's encoder in 8 bits. Raises UserError where it has none."""
    again = f"captioner export {stored.folder} --pictures DATA"
    files = read_graphs(stored, again).files
    if ENCODER_INT8 not in files:
        raise UserError(f"{stored.folder}: its encoder is not in 8 bits; make it so: {again}")
    return files[ENCODER_INT8]


def calibration_pixels(examples: Sequence[Example], size: int, count: int = 64) -> np.ndarray:
    """`count` pictures from all over `examples`, (B, S, S, 3), uint8; unreadable ones are passed over."""
    chosen = examples[:: max(1, len(examples) // count)][:count]
    found = []
    for example in chosen:
        with contextlib.suppress(ImageError):
            found.append(picture_pixels(example.path, size))
    if not found:
        raise UserError(f"{chosen[0].path}: none of the pictures to calibrate on can be read")
    return np.stack(found)


def _exported(model: CaptionModel, size: int) -> onnx.ModelProto:
    """Encoder and bridge with their weights, `pixels` (B, S, S, 3) uint8 to `context` (B, L, D)."""
    pixels = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of deprecations inside the exporter
        exported = torch.onnx.export(
            _Eyes(model.eval()),
            (pixels,),
            dynamo=True,
            dynamic_shapes={"pixels": {0: torch.export.Dim("B", min=1, max=4096)}},
            input_names=["pixels"],
            output_names=["context"],
            opset_version=_OPSET,
            optimize=False,  # folding would rename the weights; the runtime does it while it loads
            verbose=False,
        )
    assert exported is not None, "with dynamo, and no file, it is a program"
    graph = exported.model_proto
    _fix_bounds(graph)
    _fold_padding(graph)
    return graph


def _without_weights(graph: onnx.ModelProto, stored: Container[str]) -> bytes:
    """`graph`, serialised; `stored` weights, and the scales of their rows, are left out."""
    kept = []
    for tensor in graph.graph.initializer:
        name = tensor.name.removeprefix(_PREFIX)
        array = numpy_helper.to_array(tensor)
        if name not in stored and name.removesuffix(SCALE) not in stored:  # a constant of the preprocessing
            kept.append(tensor)
            continue
        _rename(graph, tensor.name, name)
        holder = TensorProto(
            name=name, dims=array.shape, data_type=helper.np_dtype_to_tensor_dtype(array.dtype)
        )
        holder.data_location = TensorProto.EXTERNAL
        holder.external_data.add(key="location", value=bundle.WEIGHTS)
        kept.append(holder)
    del graph.graph.initializer[:]
    graph.graph.initializer.extend(kept)
    del graph.graph.value_info[:]
    for node in graph.graph.node:
        del node.metadata_props[:]  # where in the exporter's source it came from
    return graph.SerializeToString()


def _fix_bounds(graph: onnx.ModelProto) -> None:
    """Bounds of activations as plain constants: cast to the type of what they bound, they keep ReLU6 out of its convolution.

    A fifth of the encoder's time, bit for bit the same result: all activations are float32.
    """
    constants = {node.output[0]: node for node in graph.graph.node if node.op_type == "Constant"}
    for index, node in enumerate(graph.graph.node):
        if node.op_type == "CastLike" and node.input[0] in constants:
            value = helper.get_attribute_value(constants[node.input[0]].attribute[0])
            value = numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.array(value)
            constant = helper.make_node(
                "Constant", [], list(node.output), value=numpy_helper.from_array(value.astype(np.float32))
            )
            graph.graph.node[index].CopyFrom(constant)


def _fold_padding(graph: onnx.ModelProto) -> None:
    """Zeros around what a convolution sees become its own padding: a node of its own costs as much as a convolution."""
    constants = {
        node.output[0]: numpy_helper.to_array(node.attribute[0].t)
        for node in graph.graph.node
        if node.op_type == "Constant" and node.attribute[0].name == "value"
    }
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for node in [node for node in graph.graph.node if node.op_type == "Pad"]:
        pads = constants.get(node.input[1])
        zero = len(node.input) < 3 or not node.input[2] or not constants.get(node.input[2], np.ones(1)).any()
        mode = [helper.get_attribute_value(a) for a in node.attribute if a.name == "mode"]
        after = readers.get(node.output[0], [])
        if (
            pads is None
            or not zero
            or mode not in ([], [b"constant"])
            or [n.op_type for n in after] != ["Conv"]
        ):
            continue
        around = pads.reshape(2, -1)  # before and behind, of each axis
        if len(node.input) > 3 or around[:, :2].any() or (around < 0).any():
            continue
        (conv,) = after
        (own,) = [a for a in conv.attribute if a.name == "pads"]
        own.ints[:] = (np.array(own.ints) + around[:, 2:].ravel()).tolist()
        conv.input[0] = node.input[0]
        graph.graph.node.remove(node)


def _rename(graph: onnx.ModelProto, old: str, new: str) -> None:
    for node in graph.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
