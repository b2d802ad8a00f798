"""A captioning model as it is stored: written, read, and made ready to see and speak."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from captioner.network.card import model_card, model_summary
from captioner.network.confidence import Confidence
from captioner.network.eyes import Eyes, onnx_eyes, torch_eyes
from textgen.decoder.config import DecoderConfig
from textgen.engine.choice import choose_engine
from textgen.engine.cores import cores
from textgen.engine.protocol import StepModel
from textgen.errors import UserError
from textgen.storage import bundle
from textgen.storage.box import Box
from textgen.storage.bundle import Header
from textgen.storage.graphs import has_graphs, read_graphs
from textgen.storage.weights import SCALE, Weights
from textgen.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from captioner.network.model import CaptionModel

KIND = "captioner"
DECODER = "decoder."  # what the names of its weights begin with
BRIDGE = "bridge.1.weight"
ENCODER, ENCODER_INT8 = "encoder", "encoder8"  # graphs: in float32, or with convolutions in 8 bits
BOX = Box(Path(__file__).resolve().parent.parent / "models", KIND, "general", model_summary)


class Stored(NamedTuple):
    """A model as it was written, to be trained on or exported."""

    model: CaptionModel
    tokenizer: Tokenizer
    size: int
    """Pixels a side of the pictures it sees."""
    header: Header
    hash: str
    """sha256 of the weights' file."""


class Loaded(NamedTuple):
    """What a `Captioner` is made of."""

    see: Eyes
    model: StepModel
    """The decoder."""
    tokenizer: Tokenizer
    size: int
    """Pixels a side of the pictures it sees."""
    header: Header
    hash: str
    """sha256 of the weights' file."""
    workers: int
    """Pictures that are seen side by side."""
    confidence: Confidence | None
    """Where the model was calibrated."""


def model_header(
    model: CaptionModel, tokenizer: Tokenizer, size: int, provenance: Header, notes: str = ""
) -> Header:
    """What `model.json` says of a `CaptionModel`; `notes` is Markdown for its card."""
    return {
        "kind": KIND,
        "config": {"encoder": model.encoder.name, "decoder": asdict(model.decoder.config)},
        "preprocessing": {"size": size, "resize": "whole picture to a square, bilinear"},
        "provenance": provenance,
        "notes": notes,
        "vocabulary": tokenizer.to_json(),
    }


def write_model(folder: Path, model: CaptionModel, header: Header) -> None:
    """Writes a `CaptionModel` with its card, atomically."""
    bundle.write(folder, header, bundle.weights_of(model), model_card(header))


def read_model(folder: Path) -> Stored:
    """A stored `CaptionModel` with its tokeniser, picture size, header and hash, all checked."""
    stored, tokenizer, config, size = _read(folder)
    return Stored(_model(stored, config), tokenizer, size, stored.header, stored.hash)


def load_model(folder: Path, engine: str) -> Loaded:
    """What a `Captioner` is made of."""
    stored, tokenizer, config, size = _read(folder)
    workers = 1
    if choose_engine(engine, has_graphs(stored.header), folder) == "onnx":
        from textgen.engine.onnx import OnnxEngine

        again = f"captioner export {folder}"
        model: StepModel = OnnxEngine.of(config, stored, again, prefix=DECODER)
        see = stored_eyes(stored, again)
        workers = cores()
    else:
        from textgen.engine.torch import TorchEngine

        whole = _model(stored, config)
        see, model = torch_eyes(whole), TorchEngine(whole.decoder)
    with bundle.describing(folder / bundle.HEADER):
        confidence = Confidence.from_json(stored.header.get("confidence"), config.context_size)
    return Loaded(see, model, tokenizer, size, stored.header, stored.hash, workers, confidence)


def stored_eyes(stored: bundle.Bundle, again: str, threads: int = 0) -> Eyes:
    """Eyes by the graph of a stored model, of as many `threads` as `onnx_eyes` has it; `again` makes graphs anew."""
    name = ENCODER_INT8 if ENCODER_INT8 in read_graphs(stored, again).files else ENCODER
    graph = read_graphs(stored, again, [name]).files[name]
    with bundle.describing(stored.folder / bundle.WEIGHTS):
        return onnx_eyes(graph, _eyes_weights(stored.weights, name, graph), threads)


def _eyes_weights(weights: Weights, kind: str, graph: bytes) -> dict[str, np.ndarray]:
    """What the `graph` of encoder and bridge, of this `kind`, takes: float32, or whole numbers and scales where it computes in
    8 bits."""
    arrays: dict[str, np.ndarray] = {}
    wide = (
        [] if (BRIDGE + SCALE).encode() in graph else [BRIDGE]
    )  # of models exported before it was in 8 bits, too
    for name in weights:
        if name.startswith(DECODER):
            continue
        rows = weights.rows(name) if kind == ENCODER_INT8 and name not in wide else None
        if rows:
            arrays[name], arrays[name + SCALE] = rows
        else:
            arrays[name] = weights[name]
    # The bias of a convolution in 8 bits is in the graph, as a whole number of steps.
    for name in [name for name in arrays if name.endswith(".weight" + SCALE) and name != BRIDGE + SCALE]:
        arrays.pop(name.removesuffix("weight" + SCALE) + "bias", None)
    return arrays


def _read(folder: Path) -> tuple[bundle.Bundle, Tokenizer, DecoderConfig, int]:
    stored = bundle.read(folder, KIND)
    path = folder / bundle.HEADER
    with bundle.describing(path):
        tokenizer = Tokenizer.from_json(stored.header["vocabulary"])
        config = DecoderConfig(**stored.header["config"]["decoder"])
        size = stored.header["preprocessing"]["size"]
        if not isinstance(size, int) or not 32 <= size <= 1024:
            raise UserError(f"preprocessing: size {size!r} is no number of pixels from 32 to 1024")
    bundle.check_vocabulary(path, len(tokenizer), config.vocab_size)
    return stored, tokenizer, config, size


def _model(stored: bundle.Bundle, config: DecoderConfig) -> CaptionModel:
    """The `CaptionModel` that a model stores."""
    import torch

    from captioner.network.encoder import build_encoder
    from captioner.network.model import CaptionModel
    from textgen.decoder.rnn import RNNDecoder

    with bundle.describing(stored.folder / bundle.HEADER):
        encoder = build_encoder(stored.header["config"]["encoder"])
        with torch.device("meta"):  # sizes that are wrong cost nothing until they are checked
            model = CaptionModel(encoder, RNNDecoder(config))
    bundle.load_weights(stored, model, empty=[model.bridge, model.decoder])
    return model
