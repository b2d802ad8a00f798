"""Diffusion: its bound is a bound, and what is known stays."""

import itertools

import numpy as np
import pytest

from textgen.decoding.constraints import Constraints
from textgen.decoding.sampling import GREEDY, SamplingConfig
from textgen.errors import UserError
from textgen.families.diffusion import (
    MASK,
    DiffusionWriter,
    bound,
    filled,
    hidden,
    line_of,
    log_softmax,
    reveal,
    spread,
)
from textgen.text.tokenizer import BOS, EOS, PAD, UNK

V, T = 7, 3


def toy(seed=0):
    """Logits that depend on all that can be seen, as a network's do."""
    weights = np.random.default_rng(seed).normal(size=(T, V, T, V)) * 0.7

    def denoise(ids, wanted=None):
        seen = np.eye(V)[ids]
        logits = np.einsum("ntv,tvsw->nsw", seen, weights).astype(np.float32)
        return logits if wanted is None else logits[wanted]

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
    one = lambda seen, wanted: denoise(np.tile(seen, (1, T)))[:, :1][wanted]  # noqa: E731
    exact = -log_softmax(one(np.full((3, 1), MASK), np.full((3, 1), True)))[np.arange(3), ids[:, 0]]
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
            expected -= log_softmax(denoise(seen)[:, place])[np.arange(2), ids[:, place]]
            seen[:, place] = ids[:, place]
    np.testing.assert_allclose(bound(denoise, ids, 6000, seed=2), expected / len(orders), rtol=0.03)


def test_how_much_is_hidden_is_spread_over_a_batch():
    rng = np.random.default_rng(0)
    counts = spread(200, 40, rng)
    assert np.histogram(counts, 10, (1, 41))[0].tolist() == [20] * 10
    seen = hidden(np.full((200, 40), 5), counts, rng.random((200, 40)))
    assert ((seen == MASK).sum(axis=1) == counts).all()


def test_of_what_is_given_nothing_is_hidden_or_counted():
    free = np.zeros((50, 6), bool)
    free[:, 2:4] = True
    seen = hidden(np.full((50, 6), 5), np.full(50, 2), np.random.default_rng(0).random((50, 6)), free)
    assert ((seen == MASK) == free).all()
    ids = np.array([[4, 6, EOS]])
    given = np.array([[4, MASK, EOS]])
    exact = -log_softmax(toy()(given)[:, 1])[0, 6]
    assert bound(toy(), ids, 5, seed=0, given=given)[0] == pytest.approx(exact, rel=1e-5)


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


# --- a writer of lines


RULES = {"constraints": Constraints(min_length=1), "end": EOS, "max_length": 9, "sampling": SamplingConfig()}


def told(writer, prompts, keys, **options):
    columns = list(writer.write(prompts, seed=5, keys=keys, **{**RULES, **options}))
    return np.stack([column.ids for column in columns], axis=1).tolist()


def test_lines_are_read_on_from_prompts_and_depend_on_their_keys_alone():
    writer = DiffusionWriter(toy(), T)
    prompts = [[BOS], [BOS, 5], [BOS], [BOS, 6, 4]]
    together = told(writer, prompts, [0, 1, 2, 3])
    for row, prompt in enumerate(prompts):
        alone = told(writer, [prompt], [row])[0]
        assert [token for token in together[row] if token] == [token for token in alone if token]
    assert all(row[0] not in (EOS, PAD, BOS, UNK) for row in together[:3])


def test_gaps_are_filled_and_the_rest_stays():
    writer = DiffusionWriter(toy(), 6)
    wide = np.random.default_rng(0).normal(size=(6, V)).astype(np.float32)
    writer.denoise = lambda ids, wanted: np.broadcast_to(wide, (*ids.shape, V))[wanted].copy()
    for line in writer.filled_in([[5], None, [6]], SamplingConfig(), 1, range(5)):
        assert line[0] == 5 and line[-1] == 6 and 3 <= len(line) <= 5
    with pytest.raises(UserError, match="infill: 5 words and 1 gaps are too many"):
        writer.filled_in([[5] * 5, None], SamplingConfig(), 1, [0])


def test_what_it_cannot_do_is_refused_by_name():
    writer = DiffusionWriter(toy(), T)
    with pytest.raises(UserError, match="repetition_penalty"):
        told(writer, [[BOS]], [0], constraints=Constraints(repetition_penalty=1.2))
    with pytest.raises(UserError, match="prompt: 4 tokens are too many; this model's lines have 2 at most"):
        told(writer, [[BOS, 4, 4, 4, 4]], [0])
    with pytest.raises(UserError, match="a line of 3 tokens is too long"):
        writer.line_nats([[4, 4, 4, EOS]])
    with pytest.raises(UserError, match="a model of lines"):
        writer.stream_nats(np.array([4]), BOS, 1)


def test_one_step_tells_all_at_once_and_many_one_by_one():
    stages = list(DiffusionWriter(toy(), T, steps=1).stages(np.full((2, T), MASK), SamplingConfig(), rngs(2)))
    assert len(stages) == 1
