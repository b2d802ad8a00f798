"""A classifying model as it is stored: written, read, exported, and made ready to read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from textgen.classification.card import classifier_card, classifier_summary
from textgen.engine.choice import choose_engine
from textgen.errors import UserError
from textgen.sequences.config import EncoderConfig
from textgen.storage import bundle
from textgen.storage.box import Box
from textgen.storage.bundle import Header
from textgen.storage.graphs import Graphs, check_precision, has_graphs, read_graphs, write_graphs
from textgen.storage.weights import Weights
from textgen.text.subwords import SubwordTokenizer
from textgen.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from textgen.classification.model import ClassificationModel

KIND = "classifier"
BOX = Box(Path(__file__).resolve().parent.parent / "models", KIND, "authors", classifier_summary)
_ENCODER, _EMBEDDING = "encoder.", "embedding.weight"

Encode = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Ids (B, L) and lengths (B,) to encoded tokens (B, L, D), 0 beyond the lengths."""


class Output(NamedTuple):
    """From pooled features to logits."""

    weight: np.ndarray  # (C, 2D)
    bias: np.ndarray  # (C,)


class Loaded(NamedTuple):
    """What a `Classifier` is made of."""

    encode: Encode
    output: Output
    tokenizer: SubwordTokenizer
    header: Header
    hash: str
    """sha256 of the weights' file."""


def model_header(
    model: ClassificationModel,
    tokenizer: Tokenizer,
    classes: Sequence[str],
    max_length: int,
    provenance: Header,
    notes: str = "",
    temperature: float | None = None,
) -> Header:
    """What `model.json` says of a `ClassificationModel`; `notes` is Markdown for its card."""
    return {
        "kind": KIND,
        "config": {
            "classes": list(classes),
            "encoder": asdict(model.encoder.config),
            "vocab_size": len(tokenizer),
            "max_length": max_length,
            "temperature": temperature,
        },
        "provenance": provenance,
        "notes": notes,
        "vocabulary": tokenizer.to_json(),
    }


def write_model(folder: Path, model: ClassificationModel, header: Header) -> None:
    """Writes a `ClassificationModel` with its card, atomically."""
    bundle.write(folder, header, bundle.weights_of(model), classifier_card(header))


def load_model(folder: Path, engine: str = "auto") -> Loaded:
    """A stored model ready to read, its tokeniser, header and hash, all checked."""
    stored, tokenizer, config = _read(folder)
    output = Output(stored.weights["output.weight"], stored.weights["output.bias"])
    if choose_engine(engine, has_graphs(stored.header), folder) == "onnx":
        from textgen.sequences.onnx_encoder import OnnxEncoder

        graph = read_graphs(stored, f"textgen export {folder}", ("encoder",)).files["encoder"]
        with bundle.describing(folder / bundle.WEIGHTS):
            encode: Encode = OnnxEncoder(config, _encoder_weights(stored.weights), graph)
    else:
        import torch

        from textgen.sequences.torch_encoder import TorchEncoder

        encode = TorchEncoder(_model(stored, config), torch.device("cpu"))
    return Loaded(encode, output, tokenizer, stored.header, stored.hash)


def export_model(folder: Path, precision: str, pack: bool = False) -> None:
    """Adds an ONNX graph to a stored model; with `pack` its weights are stored in 8 bits from then on.

    It computes in float32, whichever `precision` is asked for: a text is read once, not a token at a time.
    """
    check_precision(precision)
    from textgen.sequences.encoder_graph import encoder_graph
    from textgen.sequences.onnx_encoder import STEPS, stored_steps

    stored, _, config = _read(folder)
    if pack:
        steps = {f"{_ENCODER}{name}": count for name, count in stored_steps(config).items()}
        stored = bundle.pack_weights(stored, {**steps, _EMBEDDING: STEPS})
    graph = encoder_graph(config, _encoder_weights(stored.weights))
    write_graphs(stored, Graphs("float32", {"encoder": graph}))


def _encoder_weights(weights: Weights) -> dict[str, np.ndarray]:
    return {**weights.part(_ENCODER), _EMBEDDING: weights[_EMBEDDING]}


def _read(folder: Path) -> tuple[bundle.Bundle, SubwordTokenizer, EncoderConfig]:
    stored = bundle.read(folder, KIND)
    path, told = folder / bundle.HEADER, stored.header["config"]
    with bundle.describing(path):
        tokenizer = Tokenizer.from_json(stored.header["vocabulary"])
        if not isinstance(tokenizer, SubwordTokenizer):
            raise UserError(f"vocabulary: of kind {tokenizer.kind!r}; a classifier has subwords")
        config, classes = EncoderConfig(**told["encoder"]), told["classes"]
        if (
            len(set(classes)) < 2
            or len(set(classes)) < len(classes)
            or not all(isinstance(c, str) for c in classes)
        ):
            raise UserError("config: classes must be two or more names")
        if not (told["max_length"] >= 1 and (told["temperature"] is None or told["temperature"] > 0)):
            raise UserError("config: max_length and temperature must be above 0")
        vocab_size = told["vocab_size"]
    bundle.check_vocabulary(path, len(tokenizer), vocab_size)
    shapes: dict[str, tuple[int, ...]] = {_EMBEDDING: (len(tokenizer), config.embedding_size)}
    shapes |= {"output.weight": (len(classes), 2 * config.output_size), "output.bias": (len(classes),)}
    for name, shape in shapes.items():
        if name not in stored.weights or stored.weights[name].shape != shape:
            raise UserError(f"{folder / bundle.WEIGHTS}: {name} is not {shape}, as {bundle.HEADER} says")
    return stored, tokenizer, config


def _model(stored: bundle.Bundle, config: EncoderConfig) -> ClassificationModel:
    import torch

    from textgen.classification.model import ClassificationModel
    from textgen.sequences.encoder import RecurrentEncoder

    told = stored.header["config"]
    with bundle.describing(stored.folder / bundle.HEADER), torch.device("meta"):
        model = ClassificationModel(RecurrentEncoder(config), told["vocab_size"], len(told["classes"]))
    bundle.load_weights(stored, model, empty=[model])
    return model
