"""What is chosen: degenerate settings, honest frequencies, rows that never feel their neighbours."""

from itertools import islice

import numpy as np
import pytest

from textgen.decoding.sampling import log_softmax, sample, uniform_rows
from textgen.decoding.settings import GREEDY, SamplingConfig
from textgen.errors import UserError

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
        ({"top_k": 3, "temperature": 1e300}, {2, 4, 5}),
    ],
    ids=str,
)
def test_edges_of_what_is_kept(options, kept):
    assert candidates(SamplingConfig(**options), ROW) == kept


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_top_k_keeps_exactly_k_even_with_ties(k):
    assert candidates(SamplingConfig(top_k=k), [1, 3, 3, 3, 3, 1]) == set(range(1, k + 1))


@pytest.mark.parametrize("top_p", [0.05, 0.3, 0.5, 0.77, 0.9, 0.999])
def test_top_p_keeps_the_smallest_set_that_reaches_p(top_p):
    row = np.random.default_rng(3).normal(size=12).astype(np.float32)
    shares = softmax(row.astype(float))
    order = np.argsort(-shares)
    size = int(np.searchsorted(np.cumsum(shares[order]), top_p)) + 1
    assert candidates(SamplingConfig(top_p=top_p), row) == set(order[:size].tolist())


@pytest.mark.parametrize(("top_p", "size"), [(0.25, 1), (0.5, 2), (0.500001, 3), (0.75, 3), (1.0, 4)])
def test_top_p_stops_where_p_is_reached_exactly(top_p, size):
    assert candidates(SamplingConfig(top_p=top_p), [1, 1, 1, 1]) == set(range(size))


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


def test_log_softmax_sums_to_one_and_stays_finite():
    logits = np.float32([[1000, 999, -INF], [-1000, -1000, -1000]])
    np.testing.assert_allclose(np.exp(log_softmax(logits)).sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(log_softmax(logits)[1], np.log(1 / 3), rtol=1e-6)


@pytest.mark.slow
def test_frequencies_of_a_large_vocabulary_are_the_softmax_and_nothing_forbidden_is_drawn():
    random, count = np.random.default_rng(4), 100_000
    row = (3 * random.normal(size=10_000)).astype(np.float32)
    row[random.random(len(row)) < 0.2] = -INF
    uniforms = (np.arange(count) + 0.5) / count
    ids = np.concatenate(
        [
            sample(np.tile(row, (100, 1)), uniforms[start : start + 100], SamplingConfig())
            for start in range(0, count, 100)
        ]
    )
    found = np.bincount(ids, minlength=len(row))
    assert not found[row == -INF].any()
    assert np.abs(found - count * softmax(row.astype(float))).max() <= 1.5
