"""The Transformer: one forward pass equals a loop of cached steps, on both engines, and it is one more StepModel."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.helpers.step_models import assert_same, start_ids
from textgen.decoding.beam import beam_search
from textgen.decoding.generate import generate
from textgen.decoding.settings import Constraints, SamplingConfig
from textgen.errors import UserError
from textgen.storage.bundle import weights_of
from textgen.text.tokenizer import BOS, EOS, PAD, UNK
from textgen.transformer.config import TransformerConfig
from textgen.transformer.engines import OnnxTransformer, TorchTransformer
from textgen.transformer.graph import transformer_graph, transformer_write_graph
from textgen.transformer.network import TransformerDecoder

V = 11
CONFIG = TransformerConfig(
    V, num_layers=2, hidden_size=16, attention_heads=2, feed_forward_size=24, window=64
)
CONFIGS = [
    CONFIG,
    replace(CONFIG, num_layers=1),
    replace(CONFIG, num_layers=3, attention_heads=4),
    replace(CONFIG, window=3),
]


def decoder(config, seed=0):
    """Random weights, larger than the usual start: every part shows in the logits."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        made = TransformerDecoder(config).eval()
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape) * (0.4 if parameter.dim() > 1 else 0.7))
    return made.requires_grad_(False)


def engines(config, precision="float32"):
    made = decoder(config)
    weights = weights_of(made)
    graph = transformer_graph(config, weights, precision)
    loop = transformer_write_graph(config, weights, precision)
    return TorchTransformer(made), OnnxTransformer(config, weights, graph, precision, write_graph=loop)


def ids(rows, steps, seed=1):
    return np.random.default_rng(seed).integers(0, V, (rows, steps))


def assert_close(found, expected, atol=1e-5):
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=atol)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_forward_equals_a_loop_of_cached_steps(config):
    made, read = decoder(config), ids(3, 7)
    logits, _ = made(torch.from_numpy(read), made.start(None, 3))
    for engine in engines(config):
        state = engine.start(None, 3)
        for place in range(7):
            column, state = engine.step(read[:, place], state)
            assert_close(column, logits[:, place].numpy())


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize("middle", [1, 4, 6])
def test_a_prompt_in_parts_equals_one_call(config, middle):
    read = ids(2, 7)
    for engine in engines(config):
        whole, _ = engine.prefill(read, engine.start(None, 2))
        _, state = engine.prefill(read[:, :middle], engine.start(None, 2))
        assert_close(engine.prefill(read[:, middle:], state)[0], whole)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_both_engines_compute_the_same(config):
    by_torch, by_onnx = engines(config)
    read, more = ids(3, 5), ids(3, 4, seed=2)
    states = [engine.prefill(read, engine.start(None, 3)) for engine in (by_torch, by_onnx)]
    assert_close(states[0][0], states[1][0])
    found = [
        engine.score(more, read[:, :4], state)[0]
        for engine, (_, state) in zip((by_torch, by_onnx), states, strict=True)
    ]
    assert_close(*found)


@pytest.mark.parametrize("index", [[2, 1, 0], [0, 0, 2], [1], [0, 1, 2, 2, 2]], ids=str)
def test_rows_are_selected_with_what_they_remember(index):
    read, index = ids(3, 5), np.array(index)
    for engine in engines(CONFIG):
        state = engine.prefill(read, engine.start(None, 3))[1]
        found, _ = engine.step(read[index, 0], engine.select(state, index))
        for row, place in enumerate(index):
            one = engine.prefill(read[place : place + 1], engine.start(None, 1))[1]
            assert_close(found[row : row + 1], engine.step(read[place : place + 1, 0], one)[0])


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_rows_of_different_lengths_are_joined_and_go_on_alone(config):
    prompts = [ids(2, 1), ids(1, 6, seed=3), ids(2, 3, seed=4)]
    for engine in engines(config):
        states = [engine.prefill(prompt, engine.start(None, len(prompt)))[1] for prompt in prompts]
        state, alone = engine.join(states), states
        for token in (4, 7, 2):
            found, state = engine.step(np.full(5, token), state)
            stepped = [engine.step(np.full(len(p), token), s) for p, s in zip(prompts, alone, strict=True)]
            alone = [s for _, s in stepped]
            assert_close(found, np.concatenate([logits for logits, _ in stepped]))


def test_a_row_does_not_depend_on_those_beside_it():
    read = ids(4, 6)
    for engine in engines(CONFIG):
        together = engine.prefill(read, engine.start(None, 4))[0]
        for row in range(4):
            assert_close(
                together[row : row + 1], engine.prefill(read[row : row + 1], engine.start(None, 1))[0]
            )


def test_what_is_beyond_the_window_is_forgotten():
    config = replace(CONFIG, num_layers=1, window=4)
    read, other = ids(1, 9), ids(1, 9)
    other[:, :5] = (other[:, :5] + 1) % V
    for engine in engines(config):
        found, state = engine.prefill(read, engine.start(None, 1))
        assert_close(found, engine.prefill(other, engine.start(None, 1))[0])
        assert state.keys.shape[3] == 4


def test_in_8_bits_it_is_near():
    _, whole = engines(CONFIG)
    _, small = engines(CONFIG, "int8")
    read = ids(3, 6)
    exact, near = (engine.prefill(read, engine.start(None, 3))[0] for engine in (whole, small))
    assert 0 < np.abs(exact - near).max() < 0.25 * np.abs(exact).max()


def test_sampling_beams_and_constraints_work_as_with_any_model():
    by_torch, by_onnx = engines(CONFIG)
    rules = Constraints(banned=(PAD, BOS, UNK), min_length=2, no_repeat_ngram=3)
    options = {"constraints": rules, "end": EOS, "max_length": 9}
    texts = [
        generate(engine, start_ids(4), sampling=SamplingConfig(0.9, top_k=5), seed=3, **options)
        for engine in (by_torch, by_onnx)
    ]
    assert_same(*texts)
    prompts = [[BOS], [BOS, 5, 6], [BOS, 4]]
    together = generate(by_onnx, prompts, sampling=SamplingConfig(), seed=1, **options)
    alone = [
        generate(by_onnx, [prompt], sampling=SamplingConfig(), seed=1, keys=[row], **options)[0]
        for row, prompt in enumerate(prompts)
    ]
    assert_same(together, alone)
    beams = [
        beam_search(engine, start_ids(2), beam_size=3, n_best=2, **options) for engine in (by_torch, by_onnx)
    ]
    for found, expected in zip(*beams, strict=True):
        assert_same(found, expected)
    greedy = generate(by_onnx, start_ids(2), **options)
    assert_same([row[0] for row in beam_search(by_onnx, start_ids(2), beam_size=1, **options)], greedy)


def test_the_probabilities_of_all_strings_sum_to_one():
    """Of a tiny vocabulary: what ends within three tokens, and what has not ended by then."""
    engine = engines(replace(CONFIG, vocab_size=5))[1]
    total, open_ = 0.0, [((), 0.0)]
    for _ in range(4):
        still = []
        for tokens, log_prob in open_:
            state = engine.start(None, 1)
            logits, _ = engine.prefill(np.array([[BOS, *tokens]]), state)
            log_probs = logits[0] - np.log(np.exp(logits[0]).sum())
            total += np.exp(log_prob + log_probs[EOS])
            still += [((*tokens, t), log_prob + log_probs[t]) for t in range(5) if t != EOS]
        open_ = still
    total += sum(np.exp(log_prob) for _, log_prob in open_)
    assert total == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_layers": 0}, "num_layers: 0 is outside 1 to 12"),
        ({"attention_heads": 3}, "attention_heads: 3 does not divide hidden_size 16"),
        ({"window": 0}, "window: 0 must be 1 or more"),
        ({"dropout": -0.1}, "dropout: -0.1 is outside 0 to 1"),
    ],
)
def test_wrong_sizes_are_named(wrong, message):
    with pytest.raises(UserError, match=message):
        replace(CONFIG, **wrong)


def test_it_has_no_context():
    for engine in engines(CONFIG):
        with pytest.raises(ValueError, match="no context"):
            engine.start(np.zeros((1, 2, 3), np.float32), 1)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("sampling", [SamplingConfig(), SamplingConfig(0), SamplingConfig(1.2, 5, 0.9, 0.01)])
def test_blocks_are_written_as_they_are_stepped(config, precision, sampling, monkeypatch):
    _, engine = engines(config, precision)
    prompts = [[BOS], [BOS, 5, 6, 7], [BOS, 8]] * 2
    made = []
    write = OnnxTransformer.write
    monkeypatch.setattr(OnnxTransformer, "write", lambda *a: made.append(write(*a)) or made[-1])
    options = {"sampling": sampling, "end": EOS, "max_length": 40, "seed": 4}
    found = generate(engine, prompts, **options)
    # Beyond the window what is seen changes with every token: that is stepped.
    assert any(block is not None for block in made) == (config.window == 64)
    monkeypatch.setattr(OnnxTransformer, "write", lambda *_: None)
    assert_same(found, generate(engine, prompts, **options))
