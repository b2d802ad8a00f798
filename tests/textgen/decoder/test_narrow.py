"""A decoder is narrowed: of full rank nothing is lost, and both engines compute what is left."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.helpers.step_models import build
from textgen.decoder.config import DecoderConfig
from textgen.decoder.narrow import narrowed
from textgen.decoder.rnn import RNNDecoder
from textgen.engine.onnx import OnnxEngine
from textgen.engine.onnx_weights import stored_steps
from textgen.engine.torch import TorchEngine
from textgen.errors import UserError
from textgen.graphs.decoder import decoder_graphs
from textgen.storage.bundle import weights_of


def smaller(size, seed=0):
    whole = build(seed)
    config, weights = narrowed(whole.config, weights_of(whole), size)
    made = RNNDecoder(config)
    made.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return whole.eval(), made.eval(), weights


def context(decoder, rows=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, 4, decoder.config.context_size)).astype(np.float32)


def first(engine, seen):
    return engine.prefill(np.full((len(seen), 1), 1), engine.start(seen, len(seen)))[0]


def test_it_is_the_best_product_of_its_rank():
    whole, *_ = smaller(1)
    matrix = weights_of(whole)["initial.weight"]
    values = np.linalg.svd(matrix, compute_uv=False)
    for size in range(1, min(matrix.shape)):
        _, made, weights = smaller(size)
        product = weights["initial.weight"] @ weights["summary.weight"]
        assert np.linalg.norm(product - matrix) == pytest.approx(np.linalg.norm(values[size:]), rel=1e-4)
        assert made.config == replace(whole.config, summary_size=size)


def test_where_nothing_is_left_out_it_computes_the_same():
    whole = build()
    with torch.no_grad():
        left, right = whole.initial.weight[:, :2], whole.initial.weight[:2]
        whole.initial.weight.copy_(left @ right)  # of rank 2
    config, weights = narrowed(whole.config, weights_of(whole), 2)
    made = RNNDecoder(config)
    made.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    seen = context(whole)
    np.testing.assert_allclose(first(TorchEngine(made), seen), first(TorchEngine(whole), seen), atol=1e-4)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_both_engines_compute_it(precision):
    _, made, weights = smaller(3)
    graphs = decoder_graphs(made.config, weights, precision)
    engine = OnnxEngine(made.config, weights, graphs, precision)
    seen = context(made)
    expected, found = first(TorchEngine(made), seen), first(engine, seen)
    np.testing.assert_allclose(found, expected, atol=1e-5 if precision == "float32" else 0.2)
    assert "summary.weight" in stored_steps(made.config)


def test_what_cannot_be_narrowed_is_told():
    whole, made, _ = smaller(2)
    for config, size, message in (
        (whole.config, 0, "summary: 0 is outside 1 to"),
        (whole.config, 1000, "summary: 1000 is outside 1 to"),
        (made.config, 1, "without a summary"),
    ):
        with pytest.raises(UserError, match=message):
            narrowed(config, weights_of(whole), size)
    for wrong in ({"summary_size": -1, "context_size": 4}, {"summary_size": 3}):
        with pytest.raises(UserError, match="summary_size"):
            DecoderConfig(10, **wrong)
