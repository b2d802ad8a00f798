"""A translating model as it is stored: written, read, exported, and made ready to read and speak."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from textgen.decoder.config import DecoderConfig
from textgen.decoder.narrow import narrowed
from textgen.engine.choice import choose_engine
from textgen.engine.protocol import StepModel
from textgen.errors import UserError
from textgen.sequences.config import EncoderConfig
from textgen.storage import bundle
from textgen.storage.box import Box
from textgen.storage.bundle import Header
from textgen.storage.graphs import Graphs, check_precision, has_graphs, read_graphs, write_graphs
from textgen.storage.weights import Weights
from textgen.text.subwords import SubwordTokenizer
from textgen.text.tokenizer import Tokenizer
from textgen.translation.card import translator_card, translator_summary
from textgen.translation.copying import packed_words, unpacked_words

if TYPE_CHECKING:
    from textgen.translation.model import TranslationModel

KIND = "translator"
BOX = Box(Path(__file__).resolve().parent.parent / "models", KIND, "english-german", translator_summary)
_NONE = packed_words(())
ENCODER, DECODER = "encoder.", "decoder."  # what the names of their weights begin with

Encode = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Ids (B, L) and lengths (B,) to a context (B, L, D)."""


class Sizes(NamedTuple):
    """What a translating model is made of."""

    encoder: EncoderConfig
    decoder: DecoderConfig


class Loaded(NamedTuple):
    """What a `Translator` is made of."""

    encode: Encode
    model: StepModel
    """The decoder."""
    tokenizer: SubwordTokenizer
    header: Header
    hash: str
    """sha256 of the weights' file."""


def model_header(
    model: TranslationModel,
    tokenizer: Tokenizer,
    languages: tuple[str, str],
    provenance: Header,
    notes: str = "",
    words: str = "",
    sentences: bool = False,
) -> Header:
    """What `model.json` says of a `TranslationModel`; `notes` is Markdown for its card, `words` what it has seen, as
    `copying.packed_words` has them, `sentences` whether all that was sentences, with capitals and end marks."""
    return {
        "kind": KIND,
        "config": {
            "languages": list(languages),
            "encoder": asdict(model.encoder.config),
            "decoder": asdict(model.decoder.config),
        },
        "provenance": provenance,
        "notes": notes,
        "words": words,
        "sentences": sentences,
        "vocabulary": tokenizer.to_json(),
    }


def write_model(folder: Path, model: TranslationModel, header: Header) -> None:
    """Writes a `TranslationModel` with its card, atomically."""
    bundle.write(folder, header, bundle.weights_of(model), translator_card(header))


def load_model(folder: Path, engine: str = "auto") -> Loaded:
    """A stored model ready to read and speak, its tokeniser, header and hash, all checked."""
    stored, tokenizer, sizes = _read(folder)
    if choose_engine(engine, has_graphs(stored.header), folder) == "onnx":
        from textgen.engine.onnx import OnnxEngine
        from textgen.sequences.onnx_encoder import OnnxEncoder

        again = f"textgen export {folder}"
        graph = read_graphs(stored, again, ("encoder",)).files["encoder"]
        with bundle.describing(folder / bundle.WEIGHTS):
            encode: Encode = OnnxEncoder(sizes.encoder, _encoder_weights(stored.weights), graph)
        model: StepModel = OnnxEngine.of(sizes.decoder, stored, again, DECODER)
        return Loaded(encode, model, tokenizer, stored.header, stored.hash)
    import torch

    from textgen.engine.torch import TorchEngine
    from textgen.sequences.torch_encoder import TorchEncoder

    whole = _model(stored, sizes)
    return Loaded(
        TorchEncoder(whole, torch.device("cpu")),
        TorchEngine(whole.decoder),
        tokenizer,
        stored.header,
        stored.hash,
    )


def read_network(folder: Path) -> tuple[TranslationModel, SubwordTokenizer, Header]:
    """A stored model's network to train on, its tokeniser and header, all checked."""
    stored, tokenizer, sizes = _read(folder)
    return _model(stored, sizes), tokenizer, stored.header


def narrow_model(folder: Path, size: int) -> None:
    """Stores a model anew, its decoder with a summary of this size; see `textgen.decoder.narrow`. Its graphs are gone."""
    stored, _, sizes = _read(folder)
    config, weights = narrowed(sizes.decoder, stored.weights.part(DECODER), size)
    header = {name: value for name, value in stored.header.items() if name != "graphs"}
    header["config"] = {**header["config"], "decoder": asdict(config)}
    header["provenance"] = {
        **header["provenance"],
        "narrowed": f"textgen export {folder.name} --summary {size}",
    }
    others = {name: array for name, array in stored.weights.items() if not name.startswith(DECODER)}
    whole = {**others, **{f"{DECODER}{name}": array for name, array in weights.items()}}
    bundle.write(folder, header, whole, translator_card(header))


def export_model(folder: Path, precision: str, pack: bool = False) -> None:
    """Adds ONNX graphs to a stored model; `pack` as `textgen.graphs.text_model.export_model` has it."""
    from textgen.engine.onnx_weights import stored_steps as decoder_steps
    from textgen.graphs.decoder import decoder_graphs
    from textgen.sequences.encoder_graph import encoder_graph
    from textgen.sequences.onnx_encoder import stored_steps as encoder_steps

    check_precision(precision)
    stored, _, sizes = _read(folder)
    if pack:
        steps = {f"{DECODER}{name}": count for name, count in decoder_steps(sizes.decoder).items()}
        steps |= {f"{ENCODER}{name}": count for name, count in encoder_steps(sizes.encoder).items()}
        stored = bundle.pack_weights(stored, steps)
    graphs = decoder_graphs(sizes.decoder, stored.weights.part(DECODER), precision)
    graphs["encoder"] = encoder_graph(sizes.encoder, _encoder_weights(stored.weights))
    write_graphs(stored, Graphs(precision, graphs))


def _encoder_weights(weights: Weights) -> Mapping[str, np.ndarray]:
    """The encoder's weights, with the embedding that it shares with the decoder."""
    return {**weights.part(ENCODER), "embedding.weight": weights[f"{DECODER}embedding.weight"]}


def _read(folder: Path) -> tuple[bundle.Bundle, SubwordTokenizer, Sizes]:
    stored = bundle.read(folder, KIND)
    path, config = folder / bundle.HEADER, stored.header["config"]
    with bundle.describing(path):
        tokenizer = Tokenizer.from_json(stored.header["vocabulary"])
        if not isinstance(tokenizer, SubwordTokenizer):
            raise UserError(f"vocabulary: of kind {tokenizer.kind!r}; a translator has subwords")
        sizes = Sizes(EncoderConfig(**config["encoder"]), DecoderConfig(**config["decoder"]))
        if sizes.decoder.context_size != sizes.encoder.output_size or not sizes.decoder.context_lengths:
            raise UserError("config: the decoder's context is not what the encoder gives")
        if sizes.decoder.embedding_size != sizes.encoder.embedding_size:
            raise UserError("config: encoder and decoder have embeddings of different sizes")
        unpacked_words(stored.header.get("words") or _NONE)
        languages = config["languages"]
        if len(languages) != 2 or not all(isinstance(name, str) for name in languages):
            raise UserError("config: languages must be two names")
    bundle.check_vocabulary(path, len(tokenizer), sizes.decoder.vocab_size)
    return stored, tokenizer, sizes


def _model(stored: bundle.Bundle, sizes: Sizes) -> TranslationModel:
    """The `TranslationModel` that a model stores."""
    import torch

    from textgen.decoder.rnn import RNNDecoder
    from textgen.sequences.encoder import RecurrentEncoder
    from textgen.translation.model import TranslationModel

    with bundle.describing(stored.folder / bundle.HEADER), torch.device("meta"):
        model = TranslationModel(RecurrentEncoder(sizes.encoder), RNNDecoder(sizes.decoder))
    bundle.load_weights(stored, model, empty=[model])
    return model
