"""The decoder: one forward pass equals a loop of steps, and rows never feel their neighbours."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from textgen.decoder.rnn import CELLS, DecoderConfig, RNNDecoder
from textgen.engine.torch import TorchEngine
from textgen.errors import UserError

V, E, H, D, L = 11, 6, 8, 5, 4
CONFIG = DecoderConfig(vocab_size=V, embedding_size=E, hidden_size=H, attention_heads=2)
GRID = [
    replace(CONFIG, cell=cell, num_layers=layers, context_size=context, tie_embeddings=tied)
    for cell, layers, context, tied in product(CELLS, (1, 2, 3, 4), (0, D), (True, False))
]
CELLS_AND_CONTEXT = [replace(CONFIG, cell=cell, context_size=size) for cell in CELLS for size in (0, D)]


def name(config):
    context = "attention" if config.context_size else "plain"
    return f"{config.cell}{config.num_layers}-{context}-{'tied' if config.tie_embeddings else 'untied'}"


def build(config, seed=0):
    """A decoder of random weights, larger than the usual start: every part shows in the logits."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        decoder = RNNDecoder(config).eval()
        with torch.no_grad():
            for parameter in decoder.parameters():
                parameter.copy_(torch.randn(parameter.shape) * 0.5)
    return decoder.requires_grad_(False)


def random_ids(rows, steps, seed=1):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, V, (rows, steps)))


def random_context(config, batch, seed=2):
    if not config.context_size:
        return None
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(batch, L, D)).astype(np.float32))


def assert_close(found, expected):
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def assert_same_state(found, expected):
    for states, others in zip(found.layers, expected.layers, strict=True):
        for state, other in zip(states, others, strict=True):
            assert_close(state, other)


@pytest.mark.parametrize("config", GRID, ids=name)
def test_forward_equals_a_loop_of_steps(config):
    decoder, ids = build(config), random_ids(4, 6)
    start = decoder.start(random_context(config, 2), 4)
    logits, end = decoder(ids, start)
    assert logits.shape == (4, 6, V)
    table, state = decoder.gate_table(), start
    for t in range(6):
        column, state = decoder.step(ids[:, t], state, table)
        assert_close(column, logits[:, t])
        if config.context_size:
            assert_close(state.attention[:, 0], end.attention[:, t])
    assert_same_state(state, end)


@pytest.mark.parametrize("config", GRID, ids=name)
def test_a_prompt_in_one_call_equals_step_by_step(config):
    engine, ids = TorchEngine(build(config)), random_ids(2, 5).numpy()
    context = random_context(config, 2)
    start = engine.start(None if context is None else context.numpy(), 2)
    logits, _ = engine.prefill(ids, start)
    state = start
    for t in range(5):
        stepped, state = engine.step(ids[:, t], state)
    assert logits.shape == (2, V)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(stepped, logits, atol=1e-5)


@pytest.mark.parametrize("config", CELLS_AND_CONTEXT, ids=name)
@pytest.mark.parametrize("middle", [1, 3, 5])
def test_state_carried_over_two_halves_equals_one_call(config, middle):
    decoder, ids = build(config), random_ids(3, 6)
    start = decoder.start(random_context(config, 3), 3)
    whole, end = decoder(ids, start)
    first, state = decoder(ids[:, :middle], start)
    second, state = decoder(ids[:, middle:], state)
    assert_close(torch.cat([first, second], dim=1), whole)
    assert_same_state(state, end)


@pytest.mark.parametrize("config", CELLS_AND_CONTEXT, ids=name)
def test_rows_of_a_batch_equal_rows_alone(config):
    decoder, ids = build(config), random_ids(6, 4)
    context = random_context(config, 3)
    together, _ = decoder(ids, decoder.start(context, 6))
    for row in range(6):
        own = None if context is None else context[row // 2 : row // 2 + 1]
        alone, _ = decoder(ids[row : row + 1], decoder.start(own, 1))
        assert_close(together[row : row + 1], alone)


@pytest.mark.parametrize(
    "index",
    [
        [0, 1, 2, 3, 4, 5],
        [5, 4, 3, 2, 1, 0],
        [0, 0, 0, 2, 2, 2, 4, 4, 4],  # one to many
        [1, 1, 3, 2, 5, 5],  # beams: shuffled within a context
        [2, 3],  # contexts dropped
        [3],
        [0, 2, 3],  # uneven shares
        [0, 1, 2, 4, 5, 5, 5],
        [0, 2, 0, 2],  # rows of one context apart
        [4, 0, 0, 1, 5],
    ],
    ids=str,
)
@pytest.mark.parametrize("config", CELLS_AND_CONTEXT, ids=name)
def test_selected_rows_give_the_logits_of_the_rows_alone(config, index):
    decoder, ids = build(config), random_ids(6, 3)
    context, more = random_context(config, 3), random_ids(len(index), 3, seed=4)
    _, state = decoder(ids, decoder.start(context, 6))
    state = decoder.select(state, torch.tensor(index))
    assert state.rows == len(index)
    logits, _ = decoder(more, state)
    # Selecting from a selection, too: reversed, and back.
    back = torch.arange(len(index)).flip(0)
    twice, _ = decoder(more, decoder.select(decoder.select(state, back), back))
    for place, row in enumerate(index):
        own = None if context is None else context[row // 2 : row // 2 + 1]
        _, alone = decoder(ids[row : row + 1], decoder.start(own, 1))
        expected, _ = decoder(more[place : place + 1], alone)
        assert_close(logits[place : place + 1], expected)
        assert_close(twice[place : place + 1], expected)


@pytest.mark.parametrize("config", CELLS_AND_CONTEXT, ids=name)
def test_padding_after_the_end_of_a_row_changes_nothing_before_it(config):
    decoder, ids = build(config), random_ids(2, 6)
    start = decoder.start(random_context(config, 2), 2)
    padded = ids.clone()
    padded[0, 3:] = 0
    assert_close(decoder(padded, start)[0][0, :3], decoder(ids, start)[0][0, :3])
    assert_close(decoder(padded, start)[0][0, :3], decoder(ids[:, :3], start)[0][0])
    assert_close(decoder(padded, start)[0][1], decoder(ids, start)[0][1])


@pytest.mark.parametrize("config", CELLS_AND_CONTEXT, ids=name)
def test_stepping_leaves_the_old_state_as_it_was(config):
    decoder, ids = build(config), random_ids(4, 1)[:, 0]
    start = decoder.start(random_context(config, 2), 4)
    table = decoder.gate_table()
    first, state = decoder.step(ids, start, table)
    decoder.step(ids, decoder.select(state, torch.tensor([3, 2, 1, 0])), table)
    again, _ = decoder.step(ids, start, table)
    assert torch.equal(first, again)


@pytest.mark.parametrize("cell", CELLS)
def test_attention_has_its_shape_and_sums_to_one(cell):
    decoder = build(replace(CONFIG, cell=cell, context_size=D))
    start = decoder.start(random_context(decoder.config, 2), 4)
    _, state = decoder(random_ids(4, 3), start)
    assert state.attention.shape == (4, 3, L)
    assert (state.attention >= 0).all()
    assert_close(state.attention.sum(-1), torch.ones(4, 3))
    engine = TorchEngine(decoder)
    assert engine.attention(engine.step(np.zeros(4, int), start)[1]).shape == (4, 1, L)


def test_plain_text_has_no_attention():
    engine = TorchEngine(build(CONFIG))
    _, state = engine.prefill(random_ids(2, 3).numpy(), engine.start(None, 2))
    assert engine.attention(state) is None


def test_the_context_is_seen():
    config = replace(CONFIG, context_size=D)
    decoder, ids = build(config), random_ids(2, 3)
    logits = [decoder(ids, decoder.start(random_context(config, 1, seed), 2))[0] for seed in (2, 3)]
    assert (logits[0] - logits[1]).abs().max() > 0.1


@pytest.mark.parametrize("config", GRID, ids=name)
def test_every_parameter_is_trained(config):
    decoder = build(config).requires_grad_(True)
    logits, _ = decoder(random_ids(2, 3), decoder.start(random_context(config, 2), 2))
    logits.square().sum().backward()
    for key, parameter in decoder.named_parameters():
        assert parameter.grad is not None, key
        # A bias of all keys alike cancels in the softmax.
        assert key == "key.bias" or parameter.grad.abs().max() > 0, key


@pytest.mark.parametrize(("context", "features"), [(0, H), (D, 2 * H)])
def test_untied_tokens_have_output_weights_of_their_own_even_where_the_sizes_agree(context, features):
    config = replace(CONFIG, vocab_size=features, context_size=context, tie_embeddings=False)
    assert RNNDecoder(config).project.weight.shape == (features, features)


@pytest.mark.parametrize(("context", "features"), [(0, H), (D, 2 * H)])
def test_forward_equals_steps_where_the_tied_sizes_agree(context, features):
    config = replace(CONFIG, embedding_size=features, context_size=context)
    decoder, ids = build(config), random_ids(2, 2)
    start = decoder.start(random_context(config, 1), 2)
    _, state = decoder.step(ids[:, 0], start, decoder.gate_table())
    last, _ = decoder.step(ids[:, 1], state, decoder.gate_table())
    assert_close(last, decoder(ids, start)[0][:, 1])


def test_rows_that_contexts_cannot_share_evenly_are_refused():
    config = replace(CONFIG, context_size=D)
    with pytest.raises(ValueError, match="5 rows cannot be shared evenly by 2 contexts"):
        build(config).start(random_context(config, 2), 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cell": "transformer"}, "cell: unknown 'transformer'; known: lstm, gru, rnn"),
        ({"num_layers": 0}, "num_layers: 0"),
        ({"num_layers": 5}, "num_layers: 5"),
        ({"vocab_size": 0}, "vocab_size: 0"),
        ({"embedding_size": 0}, "embedding_size: 0"),
        ({"hidden_size": -1}, "hidden_size: -1"),
        ({"context_size": -1}, "context_size: -1"),
        ({"context_size": D, "attention_heads": 3}, "attention_heads: 3 does not divide hidden_size 8"),
        ({"context_size": D, "attention_heads": 0}, "attention_heads: 0"),
        ({"dropout": 1.0}, "dropout: 1.0"),
        ({"dropout": -0.1}, "dropout: -0.1"),
        ({"dropout": float("nan")}, "dropout: nan"),
    ],
    ids=str,
)
def test_an_impossible_config_is_refused_by_name(change, message):
    with pytest.raises(UserError, match=message):
        replace(CONFIG, **change)
