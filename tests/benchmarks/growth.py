"""How cost grows with batch, beam, length, vocabulary and hidden size; ours, by ONNX Runtime."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from captioner.caption import Captioner
from captioner.network.decoding_config import DecodingConfig
from captioner.pictures.load import picture_pixels
from tests.benchmarks.our_models import random_engine
from tests.benchmarks.sample_photos import photos
from tests.benchmarks.text_steps import generating
from tests.benchmarks.timing import Contender, alternate, spread

_BATCHES = (1, 4, 8, 16, 32)
_BEAMS = (1, 3, 5, 10)
_LENGTHS = (100, 1000, 10_000)
_VOCABULARIES = (100, 1000, 10_000, 50_000)
_HIDDEN = (128, 256, 512, 1024)
_TOKENS = 100


def measure(model: Path | None, rounds: int) -> dict:
    """Milliseconds a picture, and microseconds a token of text (int8, LSTM 512 x 2, 65 characters unless said)."""
    ours = Captioner.load(model, engine="onnx")
    examples = photos()
    pixels = np.stack([picture_pixels(examples[i % len(examples)], ours.size) for i in range(max(_BATCHES))])
    context = ours.encode(pixels)
    pictures = {}
    for batch in _BATCHES:
        some, config = context[:batch], DecodingConfig()
        pictures[f"encoder, batch {batch}"] = Contender(partial(ours.encode, pixels[:batch]), 2, batch)
        pictures[f"beam 3, batch {batch}"] = Contender(partial(ours.decode, some, config), 2, batch)
    for beam in _BEAMS:
        config = DecodingConfig(beam=beam)
        pictures[f"beam {beam}, one at a time"] = Contender(
            partial(_one_by_one, ours, context[: len(examples)], config), 1, len(examples)
        )
    characters = random_engine(65, "int8")
    tokens = {
        f"text of {length:,}": Contender(generating(characters, length), 1, length) for length in _LENGTHS
    }
    for size in _VOCABULARIES:
        tokens[f"vocabulary {size:,}"] = Contender(
            generating(random_engine(size, "int8"), _TOKENS), 2, _TOKENS
        )
    for hidden in _HIDDEN:
        engine = random_engine(65, "int8", hidden)
        tokens[f"hidden {hidden}"] = Contender(generating(engine, _TOKENS), 2, _TOKENS)
    found = {f"{name}, ms a picture": spread(s, 1e3) for name, s in alternate(pictures, rounds).items()}
    return found | {f"{name}, us a token": spread(s, 1e6) for name, s in alternate(tokens, rounds).items()}


def _one_by_one(ours, contexts: np.ndarray, config: DecodingConfig) -> None:
    for row in range(len(contexts)):
        ours.decode(contexts[row : row + 1], config)
