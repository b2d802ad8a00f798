"""Decoders of random weights on both engines, and stored models that have graphs."""

import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from textgen.decoder.config import CELL_SIZES, DecoderConfig
from textgen.decoder.rnn import RNNDecoder
from textgen.engine.onnx import OnnxEngine
from textgen.engine.torch import TorchEngine
from textgen.graphs.decoder import decoder_graphs
from textgen.storage.bundle import weights_of

V, D = 11, 5
CONFIG = DecoderConfig(vocab_size=V, embedding_size=6, hidden_size=8, attention_heads=2)
OUTPUTS = {
    "tied": {},
    "untied": {"tie_embeddings": False},
    "one hot": {"tie_embeddings": False, "one_hot": True, "embedding_size": V},
}
GRID = {
    f"{cell}{layers}-{'attention' if context else 'plain'}-{output}": replace(
        CONFIG, cell=cell, num_layers=layers, context_size=context, **OUTPUTS[output]
    )
    for cell, layers, context, output in product(CELL_SIZES, (1, 2, 3), (0, D), OUTPUTS)
}
# Where the tied sizes agree there is no product between the last layer and the embedding.
GRID |= {
    f"tied-{size}-without-a-projection": replace(CONFIG, embedding_size=size, context_size=context)
    for size, context in ((8, 0), (16, D))
}
CELLS_AND_CONTEXT = {name: config for name, config in GRID.items() if name.endswith("-tied") and "2" in name}
# Rows wider than what a processor multiplies at once, the last part of them narrower.
WIDE = {
    f"{cell}-{'attention' if context else 'plain'}": DecoderConfig(
        vocab_size=40,
        cell=cell,
        embedding_size=150,
        hidden_size=300,
        context_size=context,
        attention_heads=4,
        tie_embeddings=context == 0,
    )
    for cell, context in product(CELL_SIZES, (0, 24))
}

INDICES = [
    [5, 4, 3, 2, 1, 0],
    [0, 0, 0, 2, 2, 2, 4, 4, 4],  # one to many
    [1, 1, 3, 2, 5, 5],  # beams: shuffled within a context
    [2, 3],  # contexts dropped
    [0, 1, 2, 4, 5, 5, 5],  # uneven shares
    [0, 2, 0, 2],  # rows of one context apart
]


def each(configs):
    return pytest.mark.parametrize("config", configs.values(), ids=configs)


def decoder(config: DecoderConfig, seed: int = 0) -> RNNDecoder:
    """Random weights, larger than the usual start: every part shows in the logits."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        made = RNNDecoder(config).eval()
        for parameter in made.parameters():
            if parameter.requires_grad:  # a one-hot embedding stays what it is
                parameter.copy_(torch.randn(parameter.shape) * 0.85 * config.hidden_size**-0.5)
    return made.requires_grad_(False)


def onnx_engine(made: RNNDecoder, precision: str = "float32") -> OnnxEngine:
    weights = weights_of(made)
    return OnnxEngine(made.config, weights, decoder_graphs(made.config, weights, precision), precision)


def engines(config: DecoderConfig) -> tuple[TorchEngine, OnnxEngine]:
    """The same decoder, stepped by torch and by ONNX Runtime."""
    made = decoder(config)
    return TorchEngine(made), onnx_engine(made)


def random_ids(rows: int, steps: int, size: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, size, (rows, steps))


def random_context(config: DecoderConfig, batch: int, cells: int = 49, seed: int = 2) -> np.ndarray | None:
    if not config.context_size:
        return None
    return np.random.default_rng(seed).normal(size=(batch, cells, config.context_size)).astype(np.float32)


def copied(model: Path, folder: Path) -> Path:
    """A copy of a stored model, to be exported or damaged; what training keeps beside it is left out."""
    return shutil.copytree(model, folder, ignore=shutil.ignore_patterns("training"), dirs_exist_ok=True)


def assert_close(found, expected, atol=1e-5):
    assert found.shape == expected.shape and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=atol, rtol=0)
