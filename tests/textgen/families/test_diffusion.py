"""Diffusion: its bound is a bound, and what is known stays."""

import itertools

import numpy as np
import pytest

from textgen.decoding.settings import GREEDY, Constraints, SamplingConfig
from textgen.decoding.writing import Writing
from textgen.errors import UserError
from textgen.families.diffusion import MASK, bound, filled, hidden, line_of, reveal, spread
from textgen.families.revealing import DiffusionWriter
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


def log_probs(logits):
    logits = logits.astype(np.float64)
    logits[..., MASK] = -np.inf
    return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)


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
    exact = -log_probs(one(np.full((3, 1), MASK), np.full((3, 1), True)))[np.arange(3), ids[:, 0]]
    np.testing.assert_allclose(bound(one, ids, 4000), exact, rtol=0.1)


def test_the_bound_is_the_mean_over_orders():
    """Of a continuous time the bound is the mean nats of telling the places one by one, over all orders."""
    denoise = toy()
    ids = np.array([[4, 6, EOS], [5, EOS, PAD]])
    expected = np.zeros(2)
    orders = list(itertools.permutations(range(T)))
    for order in orders:
        seen = np.full_like(ids, MASK)
        for place in order:
            expected -= log_probs(denoise(seen)[:, place])[np.arange(2), ids[:, place]]
            seen[:, place] = ids[:, place]
    np.testing.assert_allclose(bound(denoise, ids, 6000), expected / len(orders), rtol=0.03)


def test_how_much_is_hidden_is_spread_over_a_batch():
    rng = np.random.default_rng(0)
    counts = spread(200, 40, rng)
    assert np.histogram(counts, 10, (1, 41))[0].tolist() == [20] * 10
    seen = hidden(np.full((200, 40), 5), counts, rng.random((200, 40)))
    assert ((seen == MASK).sum(axis=1) == counts).all()


def test_a_lines_bound_depends_on_the_line_alone():
    ids = np.array([[4, 6, EOS], [5, EOS, PAD], [6, 6, 6]])
    for alike in (False, True):
        together = bound(toy(), ids, 8, alike=alike)
        for row in range(3):
            assert bound(toy(), ids[row : row + 1], 8, alike=alike)[0] == pytest.approx(together[row])


@pytest.mark.parametrize("steps", [1, 2, 3, 50])
def test_everything_is_told_at_the_end_and_what_is_known_stays(steps):
    given = np.full((5, T), MASK)
    given[:, 1] = 6
    stages = [stage.ids for stage in reveal(toy(), given, steps, SamplingConfig(), rngs(5))]
    assert len(stages) <= steps and not (stages[-1] == MASK).any()
    assert all((stage[:, 1] == 6).all() for stage in stages)
    for before, after in itertools.pairwise(stages):
        assert (after[before != MASK] == before[before != MASK]).all()
    assert not np.isin(stages[-1], [BOS, UNK]).any()


def test_nothing_is_asked_of_what_stands_behind_an_end():
    asked = []

    def denoise(ids, wanted):
        for row, places in zip(ids, wanted, strict=True):
            ends = np.flatnonzero(row == EOS)
            asked.extend(places[ends[0] :] if len(ends) else ())
        return toy()(ids, wanted)

    *_, stage = reveal(denoise, np.full((50, T), MASK), T, SamplingConfig(), rngs(50), ending=True)
    assert asked and not any(asked) and not (stage.ids == MASK).any()
    assert all((row[row.tolist().index(EOS) + 1 :] != MASK).all() for row in stage.ids if EOS in row)


def test_a_line_depends_on_its_own_draws_alone():
    given = np.full((4, T), MASK)
    *_, together = reveal(toy(), given, 3, SamplingConfig(), rngs(4))
    for row in range(4):
        *_, alone = reveal(toy(), given[:1], 3, SamplingConfig(), [np.random.default_rng((0, row))])
        assert (alone.ids[0] == together.ids[row]).all()


def test_greedy_takes_the_likeliest_and_the_surest_first():
    *_, found = reveal(toy(), np.array([[4, MASK, 5]]), 1, GREEDY, rngs(1))
    logits = toy()(np.array([[4, MASK, 5]]))[0, 1]
    logits[[MASK, UNK]] = -np.inf
    assert found.ids[0, 1] == logits.argmax()
    everything = np.full((1, T), MASK)
    first, second, last = (stage.ids[0] for stage in reveal(toy(), everything, T, GREEDY, rngs(1, seed=1)))
    logits = toy()(everything)[0]
    logits[:, [MASK, UNK]] = -np.inf
    probabilities = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    (told,) = np.flatnonzero(first != MASK)
    assert told == probabilities.max(axis=1).argmax() and (second == MASK).sum() == 1
    *_, again = reveal(toy(), everything, T, GREEDY, rngs(1, seed=7))
    assert (again.ids[0] == last).all()


def test_a_tokens_log_probability_is_that_of_when_it_was_told():
    given = np.array([[MASK, 5, MASK]])
    first, second = reveal(toy(), given, 2, SamplingConfig(), rngs(1, seed=3))
    (place,) = np.flatnonzero(first.ids[0] != given[0])
    expected = log_probs(toy()(given)[0, place])[first.ids[0, place]]
    assert first.log_probs[0, place] == pytest.approx(expected) and first.log_probs[0, 1] == 0
    (other,) = {0, 2} - {place}
    expected = log_probs(toy()(first.ids)[0, other])[second.ids[0, other]]
    assert second.log_probs[0, other] == pytest.approx(expected)


def test_no_step_is_refused():
    with pytest.raises(UserError, match="steps: 0 must be 1 or more"):
        next(reveal(toy(), np.full((1, T), MASK), 0, GREEDY, rngs(1)))


# --- a writer of lines


RULES = {"constraints": Constraints(min_length=1), "end": EOS, "max_length": 9, "sampling": SamplingConfig()}


def told(writer, prompts, keys, **options):
    columns = list(writer.write(prompts, Writing(seed=5, keys=keys, **{**RULES, **options})))
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
    for ((gap, last),) in [
        [found] for found in writer.filled_in([[5], None, [6], None], SamplingConfig(), 1, range(5))
    ]:
        assert len(gap) >= 1 and len(last) >= 1 and len(gap) + len(last) <= 3
        assert not {EOS, PAD, BOS, UNK, MASK} & {*gap, *last}
    with pytest.raises(
        UserError, match="a line of 6 tokens is too long; this diffusion model's lines have 5"
    ):
        writer.filled_in([[5] * 5, None], SamplingConfig(), 1, [0])


def test_a_share_of_a_line_is_told_anew():
    writer = DiffusionWriter(toy(), T)
    for share, kept in ((0.5, 1), (1.0, 0)):
        for line in writer.revised([5, 6], share, SamplingConfig(), 1, range(6)):
            assert len(line) == 2 and (line[0] == 5) + (line[1] == 6) >= kept
    with pytest.raises(UserError, match="a line of 3 tokens is too long"):
        writer.revised([5] * 3, 0.5, SamplingConfig(), 1, [0])


def test_what_it_cannot_do_is_refused_by_name():
    writer = DiffusionWriter(toy(), T)
    with pytest.raises(UserError, match="repetition_penalty"):
        told(writer, [[BOS]], [0], constraints=Constraints(repetition_penalty=1.2))
    with pytest.raises(UserError, match="prompt: 4 tokens are too many; this model's lines have 2 at most"):
        told(writer, [[BOS, 4, 4, 4, 4]], [0])
    with pytest.raises(UserError, match="required: this model does not write from left to right"):
        told(writer, [[BOS]], [0], constraints=Constraints(required=(5,)))
    with pytest.raises(UserError, match="a line of 3 tokens is too long"):
        writer.line_nats([[4, 4, 4, EOS]])
    with pytest.raises(UserError, match="a model of lines"):
        writer.stream_nats(np.array([4]), BOS, 1)


def test_steps_may_be_fewer_or_more_than_places():
    calls = []

    def counted(ids, wanted):
        calls.append(len(ids))
        return toy()(ids, wanted)

    for steps in (1, 2, 30):
        calls.clear()
        told(DiffusionWriter(counted, T), [[BOS]], [0], steps=steps)
        assert len(calls) <= min(steps, T)


def test_what_stands_behind_an_end_is_no_part_of_a_line():
    assert DiffusionWriter._told([4, PAD, 5], np.array([-1.0, -2.0, -3.0])) == [(4, -1.0), (EOS, -5.0)]
    assert DiffusionWriter._told([4, EOS, PAD], np.array([-1.0, -2.0, -3.0])) == [(4, -1.0), (EOS, -5.0)]
    assert DiffusionWriter._told([4, 5, 6], np.array([-1.0, -2.0, -3.0])) == [(4, -1.0), (5, -2.0), (6, -3.0)]
