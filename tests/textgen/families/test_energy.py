"""The energy: without one it is the base; its partition function lies between two estimates."""

import numpy as np
import pytest

from textgen.families.energy import chosen, log_partition


def test_without_an_energy_it_is_the_base():
    found = log_partition(np.zeros(50))
    assert found.value == found.error == found.above == 0
    uniforms = (np.arange(1000) + 0.5) / 1000
    assert (np.bincount(chosen(np.zeros((1000, 4)), uniforms)) == 250).all()


def test_log_z_is_told_with_its_error_and_from_both_sides():
    rng = np.random.default_rng(0)
    true = 0.5  # of exp(x), x standard normal
    below, above, within = [], [], []
    for _ in range(400):
        found = log_partition(-rng.normal(size=60))
        below.append(found.value)
        above.append(found.above)
        within.append(abs(found.value - true) < 2.5 * found.error)
    assert np.mean(below) < true < np.mean(above) + 0.02 and np.mean(above) > np.mean(below)
    assert np.mean(within) > 0.85
    many = log_partition(-rng.normal(size=200_000))
    assert many.value == pytest.approx(true, abs=5 * many.error) and many.error < 0.01


def test_candidates_are_drawn_by_their_energies():
    energies = np.tile([0.0, np.log(2), np.inf, 100.0], (3000, 1))
    share = np.bincount(chosen(energies, np.random.default_rng(0).random(3000)), minlength=4) / 3000
    np.testing.assert_allclose(share, [2 / 3, 1 / 3, 0, 0], atol=0.03)
    assert chosen(np.array([[5.0, 5.0]]), np.array([1.0])).tolist() == [1]
