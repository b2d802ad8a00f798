"""How far probabilities can be trusted."""

import numpy as np
import pytest

from textgen.classification.reliability import expected_error, fit_temperature, reliability, softmax


def test_bins_hold_every_answer_once():
    sure = np.array([0.05, 0.55, 0.58, 1.0, 0.95])
    bins = reliability(sure, np.array([False, True, False, True, True]))
    assert [(one.right, one.size) for one in bins] == [(0.0, 1), (0.5, 2), (1.0, 2)]
    assert bins[1].told == pytest.approx(0.565)
    assert expected_error(bins) == pytest.approx((0.05 + 2 * 0.065 + 2 * 0.025) / 5)


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_the_temperature_of_logits_is_found(true):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 4)) * 2
    shares = softmax(logits)
    labels = (rng.random((len(shares), 1)) > shares.cumsum(axis=1)[:, :-1]).sum(axis=1)
    assert fit_temperature(logits * true, labels) == pytest.approx(true, rel=0.1)
