"""A text model as it is stored: written, read, and made ready to be stepped."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from textgen.decoder.config import DecoderConfig
from textgen.engine.choice import choose_engine
from textgen.engine.protocol import StepModel
from textgen.errors import UserError
from textgen.storage import bundle
from textgen.storage.box import Box
from textgen.storage.bundle import Header
from textgen.storage.card import model_card, model_summary
from textgen.storage.graphs import has_graphs
from textgen.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from textgen.decoder.rnn import RNNDecoder

KIND = "textgen"
BOX = Box(Path(__file__).resolve().parent.parent / "models", KIND, "shakespeare", model_summary)


class Stored(NamedTuple):
    """A model as it was written, to be trained on or exported."""

    decoder: RNNDecoder
    tokenizer: Tokenizer
    header: Header
    hash: str
    """sha256 of the weights' file."""


class Loaded(NamedTuple):
    """A model ready to be stepped."""

    model: StepModel
    tokenizer: Tokenizer
    header: Header
    hash: str
    """sha256 of the weights' file."""


def model_header(
    decoder: RNNDecoder, tokenizer: Tokenizer, lines: bool, provenance: Header, notes: str = ""
) -> Header:
    """What `model.json` says of an `RNNDecoder`; `notes` is Markdown for its card."""
    return {
        "kind": KIND,
        "config": {"lines": lines, "decoder": asdict(decoder.config)},
        "provenance": provenance,
        "notes": notes,
        "vocabulary": tokenizer.to_json(),
    }


def write_model(folder: Path, decoder: RNNDecoder, header: Header) -> None:
    """Writes an `RNNDecoder` with its card, atomically."""
    bundle.write(folder, header, bundle.weights_of(decoder), model_card(header))


def read_model(folder: Path) -> Stored:
    """A stored `RNNDecoder` with its tokeniser, header and hash, all checked."""
    stored, tokenizer, config = read_stored(folder)
    return Stored(_decoder(stored, config), tokenizer, stored.header, stored.hash)


def load_model(folder: Path, engine: str = "auto") -> Loaded:
    """A stored model ready to be stepped, its tokeniser, header and hash, all checked."""
    stored, tokenizer, config = read_stored(folder)
    if choose_engine(engine, has_graphs(stored.header), folder) == "onnx":
        from textgen.engine.onnx import OnnxEngine

        model: StepModel = OnnxEngine.of(config, stored, f"textgen export {folder}")
    else:
        from textgen.engine.torch import TorchEngine

        model = TorchEngine(_decoder(stored, config))
    return Loaded(model, tokenizer, stored.header, stored.hash)


def read_stored(folder: Path) -> tuple[bundle.Bundle, Tokenizer, DecoderConfig]:
    """What a folder holds, its tokeniser and its decoder's sizes, checked."""
    stored = bundle.read(folder, KIND)
    path = folder / bundle.HEADER
    with bundle.describing(path):
        tokenizer = Tokenizer.from_json(stored.header["vocabulary"])
        config = DecoderConfig(**stored.header["config"]["decoder"])
        if not isinstance(stored.header["config"]["lines"], bool):
            raise UserError("config: lines must be true or false")
    bundle.check_vocabulary(path, len(tokenizer), config.vocab_size)
    return stored, tokenizer, config


def _decoder(stored: bundle.Bundle, config: DecoderConfig) -> RNNDecoder:
    """The `RNNDecoder` that a model stores."""
    import torch

    from textgen.decoder.rnn import RNNDecoder

    with bundle.describing(stored.folder / bundle.HEADER), torch.device("meta"):
        decoder = RNNDecoder(config)  # sizes that are wrong cost nothing until they are checked
    bundle.load_weights(stored, decoder, empty=[decoder])
    return decoder
