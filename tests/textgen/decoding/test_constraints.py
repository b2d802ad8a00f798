"""What may come next: each rule in a table, and promises that hold under any of them together."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from textgen.decoding.constraints import constrain
from textgen.decoding.sampling import sample
from textgen.decoding.settings import Constraints, SamplingConfig
from textgen.errors import UserError

END = 2
NAN, INF = float("nan"), float("inf")


def allowed(logits, history, end=END, left=9, **rules):
    """Ids that `constrain` leaves to one row after `history`."""
    out = constrain(np.float32([logits]), np.array([history], dtype=int), Constraints(**rules), end, left)
    return set(np.nonzero(np.isfinite(out[0]))[0].tolist())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repetition_penalty": 0}, "repetition_penalty: 0"),
        ({"repetition_penalty": NAN}, "repetition_penalty: nan"),
        ({"repetition_penalty": INF}, "repetition_penalty: inf"),
        ({"repetition_penalty": -1.2}, "repetition_penalty: -1.2"),
        ({"repetition_penalty": 1e38}, "repetition_penalty: 1e\\+38"),
        ({"repetition_penalty": 1e-50}, "repetition_penalty: 1e-50"),
        ({"no_repeat_ngram": -1}, "no_repeat_ngram: -1"),
        ({"required": (4, 5), "banned": (5,)}, "required: 5 is banned too"),
    ],
    ids=str,
)
def test_impossible_constraints_are_refused_by_name(options, message):
    with pytest.raises(UserError, match=message):
        Constraints(**options)


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
def test_whatever_the_rules_the_chosen_id_is_a_candidate_and_not_banned(
    row, history, rules, config, left, uniform
):
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


def test_a_required_id_counts_once_however_often_it_is_asked_for():
    once, twice = (
        constrain(np.float32([[5, 4, 3, 2]]), np.array([[0]]), Constraints(required=ids), None, 2)
        for ids in ((2,), (2, 2))
    )
    np.testing.assert_array_equal(once, twice)


def test_a_list_of_ids_is_as_good_as_a_tuple():
    assert Constraints(banned=[1], required=[2], not_final=[0]) == Constraints((1,), (2,), (0,))
