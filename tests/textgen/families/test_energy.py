"""The energy: without one it is the base; its partition function lies between two estimates."""

import numpy as np
import pytest

from textgen.decoding.generate import Column
from textgen.decoding.settings import GREEDY, Constraints, SamplingConfig
from textgen.decoding.writing import Writing
from textgen.errors import UserError
from textgen.families.energy import EnergyWriter, chosen, log_partition
from textgen.text.tokenizer import BOS, EOS


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


class Base:
    """Writes lines of one token, drawn by the row's key alone."""

    likelihood, reads_prompts = "exact", True

    def write(self, prompts, how):
        greedy = how.sampling.greedy
        ids = [4 if greedy else 4 + np.random.default_rng((how.seed, key)).integers(4) for key in how.keys]
        yield Column(np.array(ids), np.full(len(ids), np.log(0.25)))
        yield Column(np.full(len(ids), EOS), np.zeros(len(ids)))

    def line_nats(self, lines):
        return np.full(len(lines), np.log(4))


RULES = {"constraints": Constraints(), "end": EOS, "max_length": 5, "seed": 3}


def written(writer, keys, sampling=SamplingConfig()):
    columns = list(writer.write([[BOS]] * len(keys), Writing(keys=keys, sampling=sampling, **RULES)))
    return columns[0].ids.tolist()


def test_the_lines_are_the_bases_weighed():
    odd = EnergyWriter(
        Base(), lambda lines: np.array([0.0 if line[0] == 5 else 3.0 for line in lines]), 0.0, 8
    )
    share = np.bincount(written(odd, range(600)), minlength=8)[4:] / 600
    assert share[1] > 0.7
    level = EnergyWriter(Base(), lambda lines: np.zeros(len(lines)), 0.0, 8)
    np.testing.assert_allclose(np.bincount(written(level, range(2000)))[4:] / 2000, 0.25, atol=0.04)
    assert written(odd, range(20)) == [written(odd, [key])[0] for key in range(20)]


class Counting(Base):
    """Writes 4, 5, 6, ... up to its length, or to the end after eight."""

    def write(self, prompts, how):
        for token in [*range(4, 12), EOS][: how.max_length]:
            yield Column(np.full(len(how.keys), token), np.zeros(len(how.keys)))


def test_whole_lines_are_judged_and_then_cut():
    judged = []

    def energy(lines):
        judged.extend(lines)
        return np.zeros(len(lines))

    writer = EnergyWriter(Counting(), energy, 0.0, 2)
    columns = list(
        writer.write([[BOS]], Writing(keys=[0], sampling=SamplingConfig(), **RULES | {"max_length": 3}))
    )
    assert [column.ids.tolist() for column in columns] == [[4], [5], [6]]
    assert judged == [[*range(4, 12), EOS]] * 2


def test_greedy_has_nothing_to_choose_from():
    refuses = EnergyWriter(Base(), lambda lines: np.array([100.0 * (line[0] == 4) for line in lines]), 0.0)
    assert written(refuses, range(3), GREEDY) == [4, 4, 4]


def test_its_nats_are_the_bases_the_energy_and_log_z():
    """Of a base whose strings are few the energy-based model is exact: its probabilities sum to one."""
    energies = np.array([0.3, -1.0, 2.0, 0.0])
    writer = EnergyWriter(
        Base(), lambda lines: energies[[line[0] - 4 for line in lines]], np.log(np.exp(-energies).mean())
    )
    nats = writer.line_nats([[token, EOS] for token in range(4, 8)])
    assert np.exp(-nats).sum() == pytest.approx(1)
    with pytest.raises(UserError, match="a model of lines"):
        writer.stream_nats(np.array([4]), BOS, 1)
