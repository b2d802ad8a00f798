"""The look-up table of layer 1: of weights in 8 bits as of the floats that they stand for."""

import numpy as np
import pytest

from textgen.engine.gate_table import GRAPH, rounded_table
from textgen.graphs.table import table_graph
from textgen.storage.weights import Weights, pack

TOKENS, FEATURES, GATES = 700, 24, 96  # of more tokens than are made at a time


@pytest.fixture(scope="module")
def packed():
    rng = np.random.default_rng(0)
    weights = {
        "embedding": rng.normal(size=(TOKENS, FEATURES)).astype(np.float32),
        "matrix": rng.normal(size=(GATES, FEATURES)).astype(np.float32),
    }
    weights["embedding"][3] = 0
    return Weights(pack(weights, {"embedding": 64, "matrix": 64}))


def test_the_packages_graph_is_the_one_that_is_made():
    assert GRAPH.read_bytes() == table_graph()


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_whole_numbers_give_the_table_of_their_floats(packed, offset):
    bias = np.full(GATES, offset, np.float32)
    wide = Weights({name: packed[name] for name in packed})
    steps, scales = rounded_table(packed, "embedding", "matrix", bias)
    expected, expected_scales = rounded_table(wide, "embedding", "matrix", bias)
    assert steps.dtype == np.int8 and steps.shape == (TOKENS, GATES) and scales.shape == (TOKENS, 1)
    some = np.arange(TOKENS) != 3
    assert np.allclose(scales[some], expected_scales[some], rtol=1e-5)
    differing = steps != expected
    assert differing.mean() < 1e-3 and np.abs(steps.astype(int) - expected).max() <= 1  # at a rounding's edge
    exact = packed["embedding"] @ packed["matrix"].T + bias
    assert np.allclose(steps * scales, exact, atol=np.abs(exact).max(axis=1).max() / 250)
    assert np.allclose(steps[3] * scales[3], offset)
