"""The encoder is the same on both engines, and padding never changes a result."""

from itertools import product

import numpy as np
import pytest
import torch

from tests.helpers.onnx_models import assert_close
from textgen.decoder.config import CELL_SIZES
from textgen.errors import UserError
from textgen.sequences.config import EncoderConfig
from textgen.sequences.encoder import RecurrentEncoder
from textgen.sequences.encoder_graph import encoder_graph
from textgen.sequences.onnx_encoder import OnnxEncoder
from textgen.storage.bundle import weights_of

CONFIGS = [
    EncoderConfig(cell=cell, num_layers=layers, embedding_size=6, hidden_size=5, bidirectional=both)
    for cell, layers, both in product(CELL_SIZES, (1, 2, 3), (True, False))
]
IDS = np.random.default_rng(1).integers(0, 30, (5, 9))
LENGTHS = np.array([9, 3, 1, 5, 9])


def engines(config):
    """Ids and lengths to encoded tokens, by torch and by ONNX Runtime."""
    torch.manual_seed(0)
    encoder, embedding = RecurrentEncoder(config).eval(), torch.nn.Embedding(30, config.embedding_size)
    weights = {**weights_of(encoder), "embedding.weight": weights_of(embedding)["weight"]}

    def by_torch(ids, lengths):
        with torch.inference_mode():
            return encoder(embedding(torch.from_numpy(ids)), torch.from_numpy(lengths)).numpy()

    return by_torch, OnnxEncoder(config, weights, encoder_graph(config, weights))


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_both_engines_encode_alike(config):
    by_torch, by_onnx = engines(config)
    assert_close(by_onnx(IDS, LENGTHS), by_torch(IDS, LENGTHS))


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_padding_changes_nothing_and_is_0(config):
    for encode in engines(config):
        found = encode(IDS, LENGTHS)
        other = IDS.copy()
        for row, length in enumerate(LENGTHS):
            other[row, length:] = 7
            assert not found[row, length:].any()
            assert_close(
                found[row : row + 1, :length],
                encode(IDS[row : row + 1, :length], LENGTHS[row : row + 1]),
                1e-6,
            )
        assert (encode(other, LENGTHS) == found).all()


def test_the_second_direction_sees_what_comes():
    for both in (True, False):
        encode, _ = engines(EncoderConfig(embedding_size=6, hidden_size=5, bidirectional=both))
        other = IDS.copy()
        other[0, 8] = (other[0, 8] + 1) % 30
        changed = (encode(other, LENGTHS)[0] != encode(IDS, LENGTHS)[0]).any(axis=1)
        assert changed[8] and changed[:8].all() == both == changed[:8].any()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cell": "mlp"}, "cell: unknown 'mlp'"),
        ({"num_layers": 5}, "encoder_layers: 5 is outside 1 to 4"),
        ({"hidden_size": 0}, "hidden_size: 0 must be 1 or more"),
        ({"dropout": 1.0}, "dropout: 1.0 is outside 0 to 1"),
    ],
)
def test_wrong_sizes_are_named(wrong, message):
    with pytest.raises(UserError, match=message):
        EncoderConfig(**wrong)
