"""Our side: captioners and decoders by ONNX Runtime, stored or of random weights, in either precision."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from captioner.caption import Captioner
from captioner.network.stored import DECODER, KIND
from tests.helpers.paths import MODEL_IN_THE_BOX
from textgen.decoder.config import DecoderConfig
from textgen.engine.onnx import OnnxEngine
from textgen.graphs.decoder import decoder_graphs
from textgen.storage import bundle


def stored(folder: Path | None) -> bundle.Bundle:
    """The captioner in `folder`, or the one in the box."""
    return bundle.read(folder or MODEL_IN_THE_BOX, KIND)


def stored_precision(folder: Path | None) -> str:
    """Of the decoder's products."""
    return stored(folder).header["graphs"]["precision"]


def captioner_engine(folder: Path | None, precision: str, threads: int = 1) -> OnnxEngine:
    """The decoder of the captioner in `folder`, or of the one in the box."""
    model = stored(folder)
    config, weights = DecoderConfig(**model.header["config"]["decoder"]), model.weights.part(DECODER)
    return OnnxEngine(config, weights, decoder_graphs(config, weights, precision), precision, threads)


def with_engine(ours: Captioner, engine) -> Captioner:
    """`ours`, stepped by another engine."""
    return Captioner(
        ours.encode, engine, ours.tokenizer, ours.size, ours.header, ours.hash, ours.workers, ours.confidence
    )


@cache
def random_weights(vocab_size: int, hidden: int, layers: int) -> tuple:
    """Config and weights of a text decoder whose embedding is as wide as its states, as in the lesson."""
    from textgen.decoder.rnn import RNNDecoder

    config = DecoderConfig(vocab_size, num_layers=layers, embedding_size=hidden, hidden_size=hidden)
    return config, bundle.weights_of(RNNDecoder(config))


def random_engine(vocab_size: int, precision: str, hidden: int = 512, layers: int = 2) -> OnnxEngine:
    config, weights = random_weights(vocab_size, hidden, layers)
    return OnnxEngine(config, weights, decoder_graphs(config, weights, precision), precision)
