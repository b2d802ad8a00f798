"""The ONNX engine computes what the torch engine computes, and keeps the `StepModel` contract by itself."""

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.onnx_models import (
    CELLS_AND_CONTEXT,
    CONFIG,
    GRID,
    INDICES,
    WIDE,
    D,
    V,
    assert_close,
    copied,
    decoder,
    each,
    engines,
    onnx_engine,
    random_context,
    random_ids,
)
from tests.helpers.step_models import assert_same, build, contexts, start_ids
from tests.helpers.text_models import corpus, trained
from textgen.decoder.config import CELL_SIZES
from textgen.decoding.beam import beam_search
from textgen.decoding.generate import generate
from textgen.decoding.settings import Constraints, SamplingConfig
from textgen.engine import onnx as onnx_engine_module
from textgen.engine import onnx_weights
from textgen.engine.torch import TorchEngine
from textgen.errors import UserError
from textgen.generator import TextGenerator
from textgen.graphs.text_model import export_model
from textgen.storage import graphs
from textgen.storage.bundle import weights_of
from textgen.storage.weights import Weights, pack, rounded
from textgen.text.tokenizer import BOS, EOS, PAD, UNK

PRECISIONS = graphs.PRECISIONS


@pytest.fixture(params=["table", "rounded table", "no table"])
def table(request, monkeypatch):
    """With layer 1's share of every token as a table to look up, in float32 or int8, and with the product it saves."""
    if request.param != "table":
        monkeypatch.setattr(onnx_weights, "_TABLE_BYTES", 0)
    if request.param == "no table":
        monkeypatch.setattr(onnx_weights, "_ROUNDED_TABLE_BYTES", 0)
    return request.param


def assert_same_attention(engine, state, other, others_state):
    found, expected = engine.attention(state), other.attention(others_state)
    assert (found is None) == (expected is None)
    if found is not None:
        assert_close(found, expected)


def states_of(engine, config, ids, batch=3):
    """The state after `ids`, read in one call."""
    return engine.prefill(ids, engine.start(random_context(config, batch), len(ids)))[1]


# --- float32 is torch


@each(GRID | WIDE)
def test_both_engines_compute_the_same(config, table):
    torch_, onnx = engines(config)
    assert ("table" in onnx._arrays) == (table == "table")
    ids, more = random_ids(6, 5, config.vocab_size), random_ids(6, 3, config.vocab_size, seed=4)
    context = random_context(config, 3)
    found, state = onnx.prefill(ids, onnx.start(context, 6))
    expected, reference = torch_.prefill(ids, torch_.start(context, 6))
    assert_close(found, expected)
    assert_same_attention(onnx, state, torch_, reference)
    for column in more.T:
        found, state = onnx.step(column, state)
        expected, reference = torch_.step(column, reference)
        assert_close(found, expected)
        assert_same_attention(onnx, state, torch_, reference)
    found, state = onnx.score(more, ids[:, :3], state)
    expected, reference = torch_.score(more, ids[:, :3], reference)
    assert_close(found, expected)
    assert_same_attention(onnx, state, torch_, reference)
    assert_close(onnx.step(ids[:, 0], state)[0], torch_.step(ids[:, 0], reference)[0])


@pytest.mark.parametrize("index", INDICES, ids=str)
@each(CELLS_AND_CONTEXT)
def test_both_engines_select_the_same_rows(config, index):
    torch_, onnx = engines(config)
    ids, index = random_ids(6, 3, V), np.array(index)
    more = random_ids(len(index), 3, V, seed=4)
    state = onnx.select(states_of(onnx, config, ids), index)
    reference = torch_.select(states_of(torch_, config, ids), index)
    assert_same_attention(onnx, state, torch_, reference)
    back = np.arange(len(index))[::-1]
    for again in (np.arange(len(index)), back):  # selecting from a selection, too
        for call in ("prefill", "step"):
            given = more if call == "prefill" else more[:, 0]
            found, after = getattr(onnx, call)(given, onnx.select(state, again))
            expected, after_reference = getattr(torch_, call)(given, torch_.select(reference, again))
            assert_close(found, expected)
            assert_same_attention(onnx, after, torch_, after_reference)


@pytest.mark.parametrize("cell", CELL_SIZES)
def test_both_engines_join_the_same_states(cell):
    config = replace(CONFIG, cell=cell)
    ids = [random_ids(rows, steps, V) for rows, steps in ((2, 1), (1, 4), (3, 2))]
    found, expected = (
        engine.step(np.arange(6), engine.join([states_of(engine, config, part) for part in ids]))[0]
        for engine in engines(config)
    )
    assert_close(found, expected)


def test_misuse_is_refused_as_by_torch():
    config = replace(CONFIG, context_size=D)
    for engine in engines(config):
        with pytest.raises(ValueError, match="5 rows cannot be shared evenly by 2 contexts"):
            engine.start(random_context(config, 2), 5)
        state = engine.start(random_context(config, 2), 2)
        with pytest.raises(ValueError, match="states with a context cannot be joined"):
            engine.join([state, state])


# --- 8 bits are near, and are 8 bits


@pytest.mark.slow  # many, for a change of the graphs
@each(GRID | WIDE)
def test_8_bits_are_near_float32_and_not_the_same(config, table):
    made = decoder(config)
    whole, rounded = (onnx_engine(made, precision) for precision in PRECISIONS)
    if table == "no table":
        assert "table" not in rounded._arrays
    else:
        assert rounded._arrays["table"].dtype == (np.float32 if table == "table" else np.int8)
    assert all(
        array.dtype == np.int8 for name, array in rounded._arrays.items() if name in ("recurrent0", "output")
    )
    ids, context = random_ids(6, 5, V), random_context(config, 3)
    (expected, _), (found, _) = (engine.prefill(ids, engine.start(context, 6)) for engine in (whole, rounded))
    assert_close(found, expected, atol=0.05)
    assert np.abs(found - expected).max() > 1e-5


def test_a_row_of_small_weights_keeps_its_precision():
    weight = np.stack([np.linspace(-1, 1, 200), np.linspace(-1e-3, 1e-3, 200), np.zeros(200)])
    steps, scale = rounded(weight.astype(np.float32), 64)
    assert steps.shape == (3, 200) and steps.dtype == np.int8 and scale.shape == (3,)
    error = np.abs(steps * scale[:, None] - weight)
    assert error[0].max() < 1 / 127 and error[1].max() < 1e-3 / 127 and not error[2].any()


def test_products_of_two_steps_fit_into_the_sums_of_old_processors():
    arrays = onnx_engine(decoder(CONFIG), "int8")._arrays
    assert 2 * 255 * int(np.abs(arrays["recurrent0"].astype(int)).max()) < 2**15


def test_an_unknown_precision_is_refused_by_name():
    with pytest.raises(UserError, match="precision: unknown 'int4'; known: float32, int8"):
        onnx_engine(decoder(CONFIG), "int4")


# --- what holds of the engine by itself


def exactly(precision):
    """In 8 bits to the last bit: a difference of one may round a state to another step, and change a whole text."""
    return 1e-5 if precision == "float32" else 0


@pytest.mark.parametrize("precision", PRECISIONS)
@each(CELLS_AND_CONTEXT | WIDE)
def test_a_prompt_in_one_call_equals_a_loop_of_steps(config, precision, table):
    engine, size = onnx_engine(decoder(config), precision), config.vocab_size
    ids, targets = random_ids(6, 5, size), random_ids(6, 5, size, seed=3)
    start = engine.start(random_context(config, 3), 6)
    logits, end = engine.prefill(ids, start)
    scores, scored = engine.score(ids, targets, start)
    state, attention = start, []
    for t in range(5):
        stepped, state = engine.step(ids[:, t], state)
        wide = stepped.astype(np.float64)
        expected = wide[np.arange(6), targets[:, t]] - np.log(np.exp(wide).sum(axis=1))
        np.testing.assert_allclose(scores[:, t], expected, atol=1e-5)
        attention.append(engine.attention(state))
    assert_close(logits, stepped, exactly(precision))
    for found in (end, scored):
        assert_close(found.memory, state.memory, exactly(precision))
        if config.context_size:
            assert_close(engine.attention(found), np.concatenate(attention, axis=1))


@pytest.mark.parametrize("precision", PRECISIONS)
@each(CELLS_AND_CONTEXT | WIDE)
def test_a_row_does_not_depend_on_the_others(config, precision):
    engine, size = onnx_engine(decoder(config), precision), config.vocab_size
    ids, context = random_ids(6, 4, size), random_context(config, 3)
    together, state = engine.prefill(ids, engine.start(context, 6))
    after, _ = engine.step(ids[:, 0], state)
    size = 2 if config.context_size else 1  # rows of one context stay together, as beams do
    for row in range(0, 6, size):
        rows, own = slice(row, row + size), None if context is None else context[row // 2 : row // 2 + 1]
        alone, state = engine.prefill(ids[rows], engine.start(own, size))
        assert_close(alone, together[rows], exactly(precision))
        assert_close(engine.step(ids[rows, 0], state)[0], after[rows], exactly(precision))


@pytest.mark.parametrize("precision", PRECISIONS)
@each(CELLS_AND_CONTEXT)
def test_a_prompt_read_in_parts_equals_one_call(config, precision, monkeypatch):
    engine, ids = onnx_engine(decoder(config), precision), random_ids(4, 11, V)
    start = engine.start(random_context(config, 2), 4)
    whole, end = engine.prefill(ids, start)
    calls, read = [], engine._whole
    monkeypatch.setattr(engine, "_whole", lambda *args: calls.append(args) or read(*args))
    monkeypatch.setattr(onnx_engine_module, "PART", 4)
    parts, last = engine.prefill(ids, start)
    # Attention is of one call, so a prompt that looks at a context is read in one.
    assert len(calls) == (1 if config.context_size else 3)
    assert_close(parts, whole, 0)
    assert_close(last.memory, end.memory, 0)


@each(CELLS_AND_CONTEXT)
def test_stepping_leaves_the_old_state_as_it_was(config):
    engine, ids = onnx_engine(decoder(config)), random_ids(4, 1, V)[:, 0]
    start = engine.start(random_context(config, 2), 4)
    first, state = engine.step(ids, start)
    engine.step(ids, engine.select(state, np.array([3, 2, 1, 0])))
    assert_close(engine.step(ids, start)[0], first, 0)


# --- generation knows no difference


@pytest.mark.parametrize("cell", CELL_SIZES)
@pytest.mark.parametrize("seed", range(3))
def test_both_engines_generate_the_same(cell, seed):
    made = build(seed, cell=cell, end_bias=0.5)
    options = {"context": contexts(3), "end": EOS, "max_length": 12}
    rules = Constraints(banned=(PAD, BOS, UNK), no_repeat_ngram=3)
    found = []
    for engine in (TorchEngine(made), onnx_engine(made)):
        sampling = SamplingConfig(temperature=1.1)
        drawn = generate(engine, start_ids(6), sampling=sampling, seed=seed, constraints=rules, **options)
        beams = beam_search(engine, start_ids(3), beam_size=4, n_best=3, constraints=rules, **options)
        greedy = generate(engine, start_ids(3), constraints=rules, **options)
        one = beam_search(engine, start_ids(3), beam_size=1, constraints=rules, **options)
        assert_same([best[0] for best in one], greedy)
        found.append([*drawn, *greedy, *(text for best in beams for text in best)])
    assert_same(*found)
    assert len({text.ids for text in found[0]}) > 6


@pytest.fixture(scope="module", params=["char", "word", "lines"])
def generators(request, tmp_path_factory):
    """A trained model on torch, on ONNX Runtime in float32, and in 8 bits."""
    folders = [copied(trained(request.param), tmp_path_factory.mktemp(name)) for name in PRECISIONS]
    for folder, precision in zip(folders, PRECISIONS, strict=True):
        export_model(folder, precision)
    return [TextGenerator.load(trained(request.param), "torch"), *map(TextGenerator.load, folders)]


def texts(generator, prompt, **settings):
    return [(text.text, text.finished) for text in generator.generate(prompt, **settings)]


@pytest.mark.slow  # many, for a change of the graphs
@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.3])
def test_same_seed_same_text_from_both_engines(generators, temperature):
    torch_, onnx, _ = generators
    for prompt in ("", "In the evening Tom", "a moon"):
        settings = {"n": 3, "seed": 5, "length": 60, "temperature": temperature}
        assert texts(onnx, prompt, **settings) == texts(torch_, prompt, **settings)
        found, expected = (generator.score("Tom saw a boat." + prompt).nats for generator in (onnx, torch_))
        assert found == pytest.approx(expected, abs=1e-3)


def test_a_text_does_not_depend_on_its_batch_and_is_the_same_streamed(generators):
    for generator in generators:
        for seed in range(3):
            settings = {"seed": seed, "length": 80, "temperature": 1.0}
            alone = texts(generator, "In the", **settings)
            assert texts(generator, "In the", n=3, **settings)[:1] == alone
            mixed = generator.generate(["A", "In the", "Ann and Tom"], **settings)[1]
            assert [(text.text, text.finished) for text in mixed] == alone
            assert "".join(generator.stream("In the", **settings)) == alone[0][0]


def test_8_bits_cost_a_trained_model_next_to_nothing(generators):
    torch_, _, rounded = generators
    sample = "In the evening Tom saw a boat, and laughed." if not torch_.lines else "red moon sinks"
    found, expected = rounded.score(sample), torch_.score(sample)
    assert found.nats != expected.nats
    assert found.nats == pytest.approx(expected.nats, abs=0.02 * expected.tokens)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_nothing_but_zeros_is_computed_with(precision):
    config = next(config for config in CELLS_AND_CONTEXT.values() if config.context_size)
    made = decoder(config)
    context = np.zeros((2, 49, config.context_size), np.float32)
    for empty in (False, True):
        if empty:
            for parameter in made.parameters():
                parameter.data.zero_()
        engine = onnx_engine(made, precision)
        logits, state = engine.prefill(random_ids(2, 3, V), engine.start(context, 2))
        assert np.isfinite(logits).all() and np.isfinite(engine.step(np.array([0, 1]), state)[0]).all()
    assert not logits.any()


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_context_that_overflowed_is_refused(number):
    config = next(config for config in CELLS_AND_CONTEXT.values() if config.context_size)
    context = random_context(config, 2)
    context[1, 3, 0] = number
    with pytest.raises(UserError, match="the model computed NaN or infinity"):
        onnx_engine(decoder(config), "int8").start(context, 2)


# --- weights stored as they are computed


@pytest.mark.parametrize("name", CELLS_AND_CONTEXT)
def test_weights_stored_in_8_bits_are_computed_as_the_same_numbers(name):
    config = CELLS_AND_CONTEXT[name]
    weights = weights_of(decoder(config))
    steps = onnx_weights.stored_steps(config)
    assert {key for key, array in weights.items() if array.ndim > 1} == set(steps)
    packed = Weights(pack(weights, steps))
    expected = onnx_weights.decoder_arrays(config, weights, "int8")
    found = onnx_weights.decoder_arrays(config, packed, "int8")
    for key, array in expected.items():
        if array.dtype == np.int8 and key != "table":
            assert np.array_equal(found[key], array), key
    once = {key: packed[key] for key in packed}
    again = Weights(pack(once, steps))
    assert all(np.allclose(again[key], once[key], rtol=1e-5, atol=0) for key in once)


@pytest.mark.parametrize("kind", ["char", "word"])
def test_a_packed_model_is_half_as_large_and_writes_nearly_the_same(tmp_path, kind):
    wide, narrow = (copied(trained(kind), tmp_path / name) for name in ("wide", "narrow"))
    export_model(wide, "int8")
    export_model(narrow, "int8", pack=True)
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (wide, narrow)]
    assert sizes[1] < 0.65 * sizes[0]
    text = corpus(kind).read_text()[:2000]
    scores = [TextGenerator.load(folder).score(text).nats_per_token for folder in (wide, narrow)]
    assert scores[1] == pytest.approx(scores[0], abs=0.02)
    assert TextGenerator.load(narrow, "torch").score(text).nats_per_token == pytest.approx(
        scores[1], abs=0.02
    )
