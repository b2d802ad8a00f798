"""Contexts that differ in length: what is beyond is not seen, by no engine, however a context is padded."""

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.onnx_models import (
    CONFIG,
    INDICES,
    D,
    V,
    assert_close,
    decoder,
    engines,
    onnx_engine,
    random_ids,
)
from textgen.decoder.config import CELL_SIZES, DecoderConfig
from textgen.decoding.beam import beam_search
from textgen.decoding.generate import generate
from textgen.errors import UserError
from textgen.text.tokenizer import BOS, EOS

LENGTHS = np.array([4, 1, 7])
CONTEXT = np.random.default_rng(2).normal(size=(3, 7, D)).astype(np.float32)
CONFIGS = [
    replace(CONFIG, cell=cell, num_layers=layers, context_size=D, context_lengths=True)
    for cell in CELL_SIZES
    for layers in (1, 2)
]


def with_garbage(seed=9):
    context = CONTEXT.copy()
    for row, length in enumerate(LENGTHS):
        context[row, length:] = np.random.default_rng(seed).normal(size=(7 - length, D)) * 5
    return context


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_both_engines_see_as_far_as_the_lengths(config):
    by_torch, by_onnx = engines(config)
    ids = random_ids(6, 4, V)
    found, state = by_onnx.prefill(ids, by_onnx.start(CONTEXT, 6, LENGTHS))
    expected, reference = by_torch.prefill(ids, by_torch.start(CONTEXT, 6, LENGTHS))
    assert_close(found, expected)
    assert_close(by_onnx.attention(state), by_torch.attention(reference))
    for row, looked in enumerate(by_onnx.attention(state)):
        assert not looked[:, LENGTHS[row // 2] :].any()
    assert_close(by_onnx.step(ids[:, 0], state)[0], by_torch.step(ids[:, 0], reference)[0])


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_padding_changes_nothing(config):
    ids = random_ids(3, 4, V)
    for engine in engines(config):
        found, state = engine.prefill(ids, engine.start(CONTEXT, 3, LENGTHS))
        other, _ = engine.prefill(ids, engine.start(with_garbage(), 3, LENGTHS))
        assert (found == other).all()
        after, _ = engine.step(ids[:, 0], state)
        for row, length in enumerate(LENGTHS):
            one = slice(row, row + 1)
            alone, of_one = engine.prefill(ids[one], engine.start(CONTEXT[one, :length], 1, LENGTHS[one]))
            assert_close(found[one], alone)
            assert_close(after[one], engine.step(ids[one, 0], of_one)[0])


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_rows_take_their_lengths_with_them(index):
    index, ids = np.array(index), random_ids(6, 3, V)
    more = random_ids(len(index), 1, V, seed=4)[:, 0]
    for engine in engines(CONFIGS[0]):
        state = engine.prefill(ids, engine.start(CONTEXT, 6, LENGTHS))[1]
        found, _ = engine.step(more, engine.select(state, index))
        for row, place in enumerate(index):
            own, one = place // 2, slice(place, place + 1)
            alone = engine.prefill(ids[one], engine.start(CONTEXT[own : own + 1], 1, LENGTHS[own : own + 1]))[
                1
            ]
            assert_close(found[row : row + 1], engine.step(more[row : row + 1], alone)[0])


def test_without_lengths_all_of_a_context_counts():
    for engine in engines(CONFIGS[0]):
        ids, whole = random_ids(3, 2, V), np.full(3, 7)
        found = engine.prefill(ids, engine.start(CONTEXT, 3))[0]
        assert_close(found, engine.prefill(ids, engine.start(CONTEXT, 3, whole))[0], 1e-6)


def test_in_8_bits_padding_changes_nothing_either():
    engine = onnx_engine(decoder(CONFIGS[0]), "int8")
    ids = random_ids(3, 4, V)
    found, other = (
        engine.prefill(ids, engine.start(context, 3, LENGTHS))[0] for context in (CONTEXT, with_garbage())
    )
    assert (found == other).all()


@pytest.mark.parametrize("beams", [1, 3])
def test_searching_together_is_searching_alone(beams):
    for engine in engines(CONFIGS[0]):
        prompts = np.full((3, 1), BOS)
        options = {"end": EOS, "max_length": 8}
        together = beam_search(engine, prompts, context=CONTEXT, lengths=LENGTHS, beam_size=beams, **options)
        sampled = generate(engine, prompts, context=with_garbage(), lengths=LENGTHS, **options)
        for row, length in enumerate(LENGTHS):
            one = slice(row, row + 1)
            alone = beam_search(
                engine,
                prompts[one],
                context=CONTEXT[one, :length],
                lengths=LENGTHS[one],
                beam_size=beams,
                **options,
            )
            assert [found.ids for found in together[row]] == [found.ids for found in alone[0]]
            greedy = generate(engine, prompts[one], context=CONTEXT[one], lengths=LENGTHS[one], **options)
            assert sampled[row].ids == greedy[0].ids


def test_lengths_without_a_context_are_refused():
    with pytest.raises(UserError, match="context_lengths: needs a context"):
        DecoderConfig(vocab_size=V, context_lengths=True)
