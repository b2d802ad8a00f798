"""What may come next and what is chosen: degenerate settings, honest frequencies, rules that always hold."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from textgen.errors import UserError
from textgen.sampling import GREEDY, Constraints, SamplingConfig, constrain, log_softmax, sample, uniform_rows

END = 2
NAN, INF = float("nan"), float("inf")
ROW = np.array([0.5, -1.0, 2.0, -INF, 1.0, 1.9], dtype=np.float32)


def draw(config, row=ROW, count=20_000, seed=0):
    """Share of each id among `count` draws from one row of logits."""
    logits = np.tile(row, (count, 1))
    ids = sample(logits, np.random.default_rng(seed).random(count), config)
    return np.bincount(ids, minlength=len(row)) / count


def candidates(config, row):
    """Ids that can be drawn at all."""
    uniforms = np.append(np.linspace(0, 1, 2001)[:-1], np.nextafter(1, 0))
    return set(sample(np.tile(np.float32(row), (len(uniforms), 1)), uniforms, config).tolist())


def softmax(row, temperature=1.0):
    weights = np.exp((row - row.max()) / temperature)
    return weights / weights.sum()


def allowed(logits, history, end=END, left=9, **rules):
    """Ids that `constrain` leaves to one row after `history`."""
    out = constrain(np.float32([logits]), np.array([history], dtype=int), Constraints(**rules), end, left)
    return set(np.nonzero(np.isfinite(out[0]))[0].tolist())


@pytest.mark.parametrize("temperature", [0, 0.0, 1e-30, 5e-324, 1e-3])
def test_a_temperature_of_nothing_takes_the_most_likely(temperature):
    assert candidates(SamplingConfig(temperature=temperature), ROW) == {2}


@pytest.mark.parametrize("temperature", [1e9, 1e30, 1e308])
def test_a_huge_temperature_is_uniform_but_never_chooses_the_impossible(temperature):
    shares = draw(SamplingConfig(temperature=temperature))
    assert shares[3] == 0
    np.testing.assert_allclose(shares[[0, 1, 2, 4, 5]], 0.2, atol=0.015)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_frequencies_are_the_softmax(temperature):
    expected = softmax(ROW.astype(float), temperature)
    error = np.sqrt(expected * (1 - expected) / 20_000)
    assert (np.abs(draw(SamplingConfig(temperature=temperature)) - expected) <= 4 * error).all()


@pytest.mark.parametrize(
    ("options", "kept"),
    [({"top_k": 3}, [2, 4, 5]), ({"top_p": 0.7}, [2, 5]), ({"min_p": 0.3}, [2, 4, 5])],
    ids=str,
)
def test_frequencies_of_what_is_kept_are_its_softmax(options, kept):
    expected = np.zeros(len(ROW))
    expected[kept] = softmax(ROW[kept].astype(float))
    np.testing.assert_allclose(draw(SamplingConfig(**options)), expected, atol=0.015)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1}, "temperature: -1"),
        ({"temperature": NAN}, "temperature: nan"),
        ({"temperature": INF}, "temperature: inf"),
        ({"temperature": -INF}, "temperature: -inf"),
        ({"top_k": -1}, "top_k: -1"),
        ({"top_p": -0.1}, "top_p: -0.1"),
        ({"top_p": 1.1}, "top_p: 1.1"),
        ({"top_p": NAN}, "top_p: nan"),
        ({"min_p": 2}, "min_p: 2"),
        ({"min_p": NAN}, "min_p: nan"),
    ],
    ids=str,
)
def test_impossible_sampling_is_refused_by_name(options, message):
    with pytest.raises(UserError, match=message):
        SamplingConfig(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repetition_penalty": 0}, "repetition_penalty: 0"),
        ({"repetition_penalty": NAN}, "repetition_penalty: nan"),
        ({"repetition_penalty": INF}, "repetition_penalty: inf"),
        ({"no_repeat_ngram": -1}, "no_repeat_ngram: -1"),
        ({"required": (4, 5), "banned": (5,)}, "required: 5 is banned too"),
    ],
    ids=str,
)
def test_impossible_constraints_are_refused_by_name(options, message):
    with pytest.raises(UserError, match=message):
        Constraints(**options)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"top_k": 0}, {0, 1, 2, 4, 5}),
        ({"top_k": 1}, {2}),
        ({"top_k": 2}, {2, 5}),
        ({"top_k": 5}, {0, 1, 2, 4, 5}),
        ({"top_k": 6}, {0, 1, 2, 4, 5}),
        ({"top_k": 10**9}, {0, 1, 2, 4, 5}),
        ({"top_p": 0}, {2}),
        ({"top_p": 1e-12}, {2}),
        ({"top_p": 1.0}, {0, 1, 2, 4, 5}),
        ({"top_p": 1.0, "top_k": 2}, {2, 5}),
        ({"min_p": 0}, {0, 1, 2, 4, 5}),
        ({"min_p": 1}, {2}),
        ({"min_p": 1, "top_p": 0, "top_k": 1}, {2}),
        ({"top_p": 0, "temperature": 1e300}, {2}),
    ],
    ids=str,
)
def test_edges_of_what_is_kept(options, kept):
    assert candidates(SamplingConfig(**options), ROW) == kept


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_top_k_keeps_exactly_k_even_with_ties(k):
    assert candidates(SamplingConfig(top_k=k), [1, 3, 3, 3, 3, 1]) == {1, 2, 3, 4, 5}.intersection(range(1, k + 1))


@pytest.mark.parametrize("top_p", [0.05, 0.3, 0.5, 0.77, 0.9, 0.999])
def test_top_p_keeps_the_smallest_set_that_reaches_p(top_p):
    row = np.random.default_rng(3).normal(size=12).astype(np.float32)
    shares = softmax(row.astype(float))
    order = np.argsort(-shares)
    size = int(np.searchsorted(np.cumsum(shares[order]), top_p)) + 1
    assert candidates(SamplingConfig(top_p=top_p), row) == set(order[:size].tolist())


@pytest.mark.parametrize("config", [GREEDY, SamplingConfig(temperature=2), SamplingConfig(top_k=1)])
def test_one_candidate_is_always_chosen(config):
    row = np.full(5, -INF, dtype=np.float32)
    row[3] = -80
    assert candidates(config, row) == {3}


@pytest.mark.parametrize("config", [SamplingConfig(), SamplingConfig(top_k=3), SamplingConfig(top_p=0.8)])
def test_a_row_does_not_depend_on_its_neighbours(config):
    logits = np.random.default_rng(0).normal(size=(40, 7)).astype(np.float32)
    uniforms = np.random.default_rng(1).random(40)
    alone = [sample(logits[n : n + 1], uniforms[n : n + 1], config)[0] for n in range(40)]
    assert sample(logits, uniforms, config).tolist() == alone


def test_uniforms_of_a_key_are_the_same_in_any_batch():
    def columns(seed, keys):
        return np.stack(list(islice(uniform_rows(seed, keys), 200)), axis=1)

    together = columns(5, [0, 1, 7])
    assert ((together >= 0) & (together < 1)).all()
    for row, key in enumerate([0, 1, 7]):
        np.testing.assert_array_equal(columns(5, [key])[0], together[row])
    assert len(np.unique(together)) == together.size
    assert not np.isin(columns(6, [0, 1, 7]), together).any()
    assert not np.isin(columns(None, [0]), columns(None, [0])).any()
    with pytest.raises(UserError, match="seed: -1"):
        columns(-1, [0])


@pytest.mark.parametrize("value", [NAN, INF])
def test_a_broken_model_is_named(value):
    logits = np.zeros((2, 5), dtype=np.float32)
    logits[1, 3] = value
    with pytest.raises(UserError, match="model computed NaN or infinity"):
        constrain(logits, np.zeros((2, 0), int), Constraints(), END, 9)


def test_repetition_penalty_divides_positive_and_multiplies_negative_logits_once():
    logits = np.float32([[2.0, -2.0, 0.5, 3.0], [2.0, -2.0, 0.5, 3.0]])
    out = constrain(logits, np.array([[0, 1, 0], [3, 3, 3]]), Constraints(repetition_penalty=2), None, 9)
    np.testing.assert_array_equal(out, np.float32([[1.0, -4.0, 0.5, 3.0], [2.0, -2.0, 0.5, 1.5]]))
    assert logits[0, 0] == 2


@pytest.mark.parametrize(
    ("size", "history", "forbidden"),
    [
        (0, [4, 4, 4], set()),
        (1, [], set()),
        (1, [4, 5, 4], {4, 5}),
        (2, [4], set()),
        (2, [4, 4], {4}),
        (2, [4, 5, 4], {5}),
        (2, [4, 5, 4, 6, 4], {5, 6}),
        (3, [4, 5], set()),
        (3, [4, 4, 4], {4}),
        (3, [4, 5, 6, 4, 5], {6}),
        (3, [4, 5, 6, 5, 4], set()),
    ],
    ids=str,
)
def test_no_ngram_twice(size, history, forbidden):
    assert allowed([0] * 8, history, no_repeat_ngram=size) == set(range(8)) - forbidden


@pytest.mark.parametrize(
    ("history", "rules", "left", "expected"),
    [
        ([], {"banned": (0, 3)}, 9, {1, 2, 4, 5}),
        ([], {"min_length": 1}, 9, {0, 1, 3, 4, 5}),
        ([4], {"min_length": 1}, 9, {0, 1, 2, 3, 4, 5}),
        ([4], {"min_length": 2}, 1, {0, 1, 3, 4, 5}),
        ([4], {"not_final": (4,)}, 9, {0, 1, 3, 4, 5}),
        ([4, 5], {"not_final": (4,)}, 9, {0, 1, 2, 3, 4, 5}),
        ([], {"required": (4,)}, 9, {0, 1, 3, 4, 5}),
        ([4], {"required": (4,)}, 9, {0, 1, 2, 3, 4, 5}),
        ([1], {"required": (4,)}, 2, {4}),  # the last moment: the end comes after it
        ([1], {"required": (4,)}, 1, {4}),
        ([1], {"required": (4, 5)}, 3, {4, 5}),
        ([4], {"required": (4, 5)}, 2, {5}),
        ([4, 5], {"required": (4, 5)}, 1, {0, 1, 2, 3, 4, 5}),
        ([4], {"required": (4, 4)}, 1, {0, 1, 2, 3, 4, 5}),
        # Another rule forbids everything: the ban alone holds.
        ([0, 1, 3, 4, 5], {"no_repeat_ngram": 1, "min_length": 9, "banned": (0,)}, 9, {1, 2, 3, 4, 5}),
    ],
    ids=str,
)
def test_rules_leave_what_they_promise(history, rules, left, expected):
    assert allowed([0] * 6, history, left=left, **rules) == expected


def test_without_an_end_token_required_ids_come_in_the_very_last_steps():
    assert allowed([0] * 6, [1], end=None, left=2, required=(4,)) == {0, 1, 2, 3, 4, 5}
    assert allowed([0] * 6, [1], end=None, left=1, required=(4,)) == {4}


def test_a_required_id_that_the_model_or_a_rule_rules_out_is_let_through():
    assert allowed([0, 0, 0, 0, -INF, 0], [1], left=2, required=(4,)) == {4}
    assert allowed([0] * 6, [5, 4, 5], left=2, required=(3,), no_repeat_ngram=1) == {3}


def test_banning_everything_is_refused():
    with pytest.raises(UserError, match="banned: no token is left"):
        allowed([0] * 4, [], banned=(0, 1, 2, 3))


def test_log_softmax_sums_to_one_and_stays_finite():
    logits = np.float32([[1000, 999, -INF], [-1000, -1000, -1000]])
    np.testing.assert_allclose(np.exp(log_softmax(logits)).sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(log_softmax(logits)[1], np.log(1 / 3), rtol=1e-6)


SETTINGS = settings(deadline=None, database=None, derandomize=True, max_examples=300)
SAMPLINGS = st.builds(
    SamplingConfig,
    temperature=st.sampled_from([0, 1e-30, 0.5, 1.0, 7.0, 1e9]),
    top_k=st.integers(0, 12),
    top_p=st.floats(0, 1),
    min_p=st.floats(0, 1),
)
RULES = st.fixed_dictionaries(
    {
        "banned": st.sets(st.integers(0, 7), max_size=6).map(tuple),
        "required": st.sets(st.integers(3, 7), max_size=3).map(tuple),
        "not_final": st.sets(st.integers(0, 7), max_size=4).map(tuple),
        "min_length": st.integers(0, 6),
        "repetition_penalty": st.sampled_from([0.5, 1.0, 1.3, 100.0]),
        "no_repeat_ngram": st.integers(0, 3),
    }
)
LOGITS = st.lists(st.sampled_from([-INF]) | st.floats(-1e4, 1e4, width=32), min_size=8, max_size=8)


@given(LOGITS, st.lists(st.integers(3, 7), max_size=6), RULES, SAMPLINGS, st.integers(1, 9), st.floats(0, 1))
@SETTINGS
def test_whatever_the_rules_the_chosen_id_is_a_candidate_and_not_banned(row, history, rules, config, left, uniform):
    assume(not set(rules["banned"]) & set(rules["required"]))
    assume(any(np.isfinite(row[i]) for i in range(8) if i not in rules["banned"]))
    logits, past = np.float32([row, row]), np.array([history, history], dtype=int)
    kept = constrain(logits, past, Constraints(**rules), END, left)
    assert np.isfinite(kept).any(axis=1).all()
    chosen = sample(kept, np.array([min(uniform, np.nextafter(1, 0))] * 2), config)
    assert chosen[0] == chosen[1]
    assert 0 <= chosen[0] < 8
    assert np.isfinite(kept[0, chosen[0]])
    assert chosen[0] not in rules["banned"]
