"""A residual energy-based model (Deng et al. 2020): a language model's own samples, weighed by how much they look like
what people write.

p(x) = base(x) exp(-E(x)) / Z. The energy E learns to tell lines from the base's samples (noise-contrastive estimation,
Gutmann and Hyvarinen 2010): at its optimum exp(-E) is the ratio of the two. Numpy only; N lines, K candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from textgen.decoding.generate import Column
from textgen.decoding.likelihood import ESTIMATE
from textgen.decoding.writing import LineWriter, Writer, Writing, drawn_seed
from textgen.text.tokenizer import EOS, PAD

Energy = Callable[[Sequence[Sequence[int]]], np.ndarray]
"""Lines, ids that hold their end tokens where they came to it, to their energies (N,)."""
CANDIDATES = 16  # of the base, one of which is taken
_WHOLE = 400  # tokens of a candidate, which comes to its end long before
_KEYS = 1 << 40  # candidate k of a row has its key + k times this: no other row's


class Partition(NamedTuple):
    """log Z, from samples of the base."""

    value: float
    """Logarithm of the mean of exp(-E): below the true one on average, nearer with more samples."""
    error: float
    """Its standard error."""
    above: float
    """As it is estimated with each sample left out, extrapolated (jackknife): above on average where `value` is below."""


def log_partition(energies: np.ndarray) -> Partition:
    """From the energies (K,) of samples of the base, two or more."""
    weights = -energies.astype(np.float64)
    count = len(weights)
    whole = _log_mean(weights)
    top = weights.max()
    powers = np.exp(weights - top)
    # Without each one in turn: (sum - own) / (K - 1).
    left_out = np.log(np.maximum(powers.sum() - powers, 1e-300) / (count - 1)) + top
    jackknife = count * whole - (count - 1) * left_out.mean()
    error = np.sqrt((count - 1) / count * ((left_out - left_out.mean()) ** 2).sum())
    return Partition(float(whole), float(error), float(max(jackknife, whole)))


def _log_mean(values: np.ndarray) -> float:
    top = values.max()
    return float(np.log(np.exp(values - top).mean()) + top)


def chosen(energies: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """Which of the K candidates of each of N lines is taken, (N,): drawn by exp(-E), for `energies` (N, K) and `uniforms`
    (N,) in 0..1 (self-normalised importance sampling). With no energy each is as likely."""
    weights = np.exp(-(energies - energies.min(axis=1, keepdims=True)).astype(np.float64))
    steps = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)
    found: np.ndarray = (uniforms[:, None] >= steps).sum(axis=1)
    return np.minimum(found, energies.shape[1] - 1)


class EnergyWriter(LineWriter):
    """A base whose lines are drawn again by their energies (self-normalised importance sampling)."""

    likelihood = ESTIMATE
    reads_prompts = True

    def __init__(self, base: Writer, energy: Energy, log_z: float, candidates: int = CANDIDATES):
        """`log_z` as `log_partition` estimates it."""
        self.base, self.energy, self.log_z, self.candidates = base, energy, log_z, candidates

    def write(self, prompts: Sequence[Sequence[int]], how: Writing) -> Iterator[Column]:
        """As `Writer.write`; all columns come at once, when the candidates are there. Their log-probabilities are the
        base's: what the energy adds is a whole line's."""
        seed = drawn_seed(how.seed)
        # Greedy candidates are all the same.
        count = 1 if how.sampling.greedy else self.candidates
        keys = [key + candidate * _KEYS for key in how.keys for candidate in range(count)]
        # Whole lines are judged, and cut afterwards: half of a line looks like no line.
        candidates = replace(how, seed=seed, keys=keys, max_length=max(how.max_length, _WHOLE))
        columns = list(self.base.write([prompt for prompt in prompts for _ in range(count)], candidates))
        ids = np.stack([column.ids for column in columns], axis=1)  # (N K, T)
        log_probs = np.stack([column.log_probs for column in columns], axis=1)
        lines = [
            [*prompt[1:], *ended(row)]
            for prompt, row in zip((p for p in prompts for _ in range(count)), ids.tolist(), strict=True)
        ]
        energies = self.energy(lines).reshape(len(prompts), count)
        uniforms = np.array([np.random.default_rng((seed, key, 2)).random() for key in how.keys])
        taken = np.arange(len(prompts)) * count + chosen(energies, uniforms)
        for column in range(min(ids.shape[1], how.max_length)):
            yield Column(ids[taken, column], log_probs[taken, column])

    def line_nats(self, lines: Sequence[Sequence[int]]) -> np.ndarray:
        """An estimate (lines,): the base's nats, the energy, and log Z."""
        return self.base.line_nats(lines) + self.energy(lines) + self.log_z


def ended(ids: Sequence[int]) -> list[int]:
    """A generated row up to its end token, that included; without what pads it."""
    found = list(ids)
    return [token for token in found[: found.index(EOS) + 1 if EOS in found else None] if token != PAD]
