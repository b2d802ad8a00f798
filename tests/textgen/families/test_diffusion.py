"""Diffusion: its bound is a bound, and what is known stays."""

import itertools

import numpy as np
import pytest

from textgen.decoding.sampling import GREEDY, SamplingConfig
from textgen.errors import UserError
from textgen.families.diffusion import MASK, bound, filled, hidden, line_of, log_softmax, reveal
from textgen.text.tokenizer import BOS, EOS, PAD, UNK

V, T = 7, 3


def toy(seed=0):
    """Logits that depend on all that can be seen, as a network's do."""
    weights = np.random.default_rng(seed).normal(size=(T, V, T, V)) * 0.7

    def denoise(ids):
        seen = np.eye(V)[ids]
        return np.einsum("ntv,tvsw->nsw", seen, weights).astype(np.float32)

    return denoise


def rngs(count, seed=0):
    return [np.random.default_rng((seed, row)) for row in range(count)]


def test_lines_are_filled_and_come_back():
    lines = [(4, 5, EOS), (6, EOS), (4, 4, 4, EOS), (EOS,)]
    ids = filled(lines, T)
    assert ids.tolist() == [[4, 5, EOS], [6, EOS, PAD], [4, 4, 4], [EOS, PAD, PAD]]
    assert [line_of(row) for row in ids] == [(4, 5), (6,), (4, 4, 4), ()]


def test_with_one_place_the_bound_is_exact():
    """What is hidden is hidden alone: its nats are those of the one prediction, whatever the share."""
    denoise = toy()
    ids = np.array([[4], [5], [EOS]])
    one = lambda seen: np.repeat(denoise(np.tile(seen, (1, T)))[:, :1], 1, axis=1)  # noqa: E731
    exact = -log_softmax(one(np.full((3, 1), MASK)))[np.arange(3), 0, ids[:, 0]]
    np.testing.assert_allclose(bound(one, ids, 4000, seed=1), exact, rtol=0.1)


def test_the_bound_is_the_mean_over_orders():
    """Of a continuous time the bound is the mean nats of telling the places one by one, over all orders."""
    denoise = toy()
    ids = np.array([[4, 6, EOS], [5, EOS, PAD]])
    expected = np.zeros(2)
    orders = list(itertools.permutations(range(T)))
    for order in orders:
        seen = np.full_like(ids, MASK)
        for place in order:
            expected -= log_softmax(denoise(seen))[np.arange(2), place, ids[:, place]]
            seen[:, place] = ids[:, place]
    np.testing.assert_allclose(bound(denoise, ids, 6000, seed=2), expected / len(orders), rtol=0.03)


def test_the_shares_of_a_batch_are_spread():
    seen, shares = hidden(np.full((200, 40), 5), np.random.default_rng(0))
    assert np.histogram(shares, 10, (0, 1))[0].tolist() == [20] * 10
    np.testing.assert_allclose((seen == MASK).mean(axis=1), shares, atol=0.3)


@pytest.mark.parametrize("steps", [1, 2, 3, 50])
def test_everything_is_told_at_the_end_and_what_is_known_stays(steps):
    given = np.full((5, T), MASK)
    given[:, 1] = 6
    stages = list(reveal(toy(), given, steps, SamplingConfig(), rngs(5)))
    assert len(stages) <= steps and not (stages[-1] == MASK).any()
    assert all((stage[:, 1] == 6).all() for stage in stages)
    for before, after in itertools.pairwise(stages):
        assert (after[before != MASK] == before[before != MASK]).all()
    assert not np.isin(stages[-1], [BOS, UNK]).any()


def test_a_line_depends_on_its_own_draws_alone():
    given = np.full((4, T), MASK)
    *_, together = reveal(toy(), given, 3, SamplingConfig(), rngs(4))
    for row in range(4):
        *_, alone = reveal(toy(), given[:1], 3, SamplingConfig(), [np.random.default_rng((0, row))])
        assert (alone[0] == together[row]).all()


def test_greedy_takes_the_likeliest():
    *_, found = reveal(toy(), np.array([[4, MASK, 5]]), 1, GREEDY, rngs(1))
    logits = toy()(np.array([[4, MASK, 5]]))[0, 1]
    logits[[MASK, UNK]] = -np.inf
    assert found[0, 1] == logits.argmax()


def test_no_step_is_refused():
    with pytest.raises(UserError, match="steps: 0 must be 1 or more"):
        next(reveal(toy(), np.full((1, T), MASK), 0, GREEDY, rngs(1)))
