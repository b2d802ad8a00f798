"""Lines from latent vectors: how a variational autoencoder is used once it is trained. Numpy only.

A vector is drawn from the prior, standard normal or a flow, and the recurrent decoder speaks about it as about a picture of
one cell. Letters of the shapes: N lines, Z latent features.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from textgen.decoding.generate import Column, Generated, generate, stream
from textgen.decoding.likelihood import BOUND
from textgen.decoding.settings import GREEDY, Constraints, SamplingConfig
from textgen.decoding.writing import LineWriter, Writing, drawn_seed
from textgen.engine.protocol import StepModel
from textgen.errors import UserError
from textgen.families.flow import FlowConfig, NumpyFlow, log_normal
from textgen.sequences.pooling import pooled
from textgen.text.batches import pad_rows, padded
from textgen.text.tokenizer import BOS, EOS, PAD, UNK

Encode = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Ids (B, L) and lengths (B,) to encoded tokens (B, L, D), 0 beyond the lengths."""
LOG_VARIANCES = (-8.0, 4.0)  # of the posterior: between these, in training as in use
_SAMPLES = 100  # of the posterior that a line's bound is made of
_ROWS = 1024  # lines read side by side
_LOGITS = 1 << 25  # in memory at a time
_LONGEST = 60  # tokens of a line that is spoken from a vector


@dataclass(frozen=True)
class LatentConfig:
    """How sentences and latent vectors go together; stored in the model's file."""

    latent_size: int = 32
    """Features Z of a latent vector."""
    couplings: int = 0
    """Of the flow that is the prior; 0 is a standard normal one."""
    flow_hidden: int = 128
    """Features within a coupling."""

    def __post_init__(self) -> None:
        if self.latent_size < 1:
            raise UserError(f"latent_size: {self.latent_size} must be 1 or more")
        if self.couplings < 0:
            raise UserError(f"couplings: {self.couplings} must be 0 (a normal prior) or more")

    @property
    def flow(self) -> FlowConfig | None:
        return FlowConfig(self.latent_size, self.couplings, self.flow_hidden) if self.couplings else None


@dataclass(frozen=True)
class Posterior:
    """A normal distribution a line."""

    mean: np.ndarray  # (N, Z)
    log_variance: np.ndarray  # (N, Z)

    def sample(self, noise: np.ndarray) -> np.ndarray:
        """Vectors (N, Z) for standard normal `noise` (N, Z)."""
        found: np.ndarray = self.mean + noise * np.exp(0.5 * self.log_variance)
        return found

    def log_density(self, z: np.ndarray) -> np.ndarray:
        """(N,) of vectors (N, Z)."""
        scaled = (z - self.mean) ** 2 / np.exp(self.log_variance)
        found: np.ndarray = -0.5 * (scaled + self.log_variance + math.log(2 * math.pi)).sum(axis=-1)
        return found

    def divergence(self) -> np.ndarray:
        """From the standard normal, in nats: (N,)."""
        each = self.mean**2 + np.exp(self.log_variance) - 1 - self.log_variance
        found: np.ndarray = 0.5 * each.sum(axis=-1)
        return found


class LatentWriter(LineWriter):
    """Lines from latent vectors, and the latent vectors of lines."""

    likelihood = BOUND
    reads_prompts = False

    def __init__(
        self,
        decoder: StepModel,
        encode: Encode,
        weight: np.ndarray,
        bias: np.ndarray,
        flow: NumpyFlow | None = None,
        samples: int = _SAMPLES,
        seed: int = 0,
    ):
        """`weight` (2Z, 2D) and `bias` (2Z,): from a line's pooled features to mean and log-variance. `samples`: of the
        posterior, for a line's bound, drawn by `seed` and the line."""
        self.decoder = decoder
        self.samples, self.seed = samples, seed
        self._encode, self._weight, self._bias, self._flow = encode, weight, bias, flow
        self.latent_size = len(bias) // 2

    def write(self, prompts: Sequence[Sequence[int]], how: Writing) -> Iterator[Column]:
        """As `Writer.write`: the vector of row n, too, is drawn by `(seed, keys[n])` alone. At temperature 0 nothing is drawn:
        every line is of the prior's middle. Log-probabilities are those of a line given its vector."""
        options = how.options()
        if any(list(prompt) != [BOS] for prompt in prompts):
            raise ValueError("it reads no prompts")
        options["seed"] = seed = drawn_seed(how.seed)
        if how.sampling.greedy:
            z = self.from_prior(np.zeros((len(how.keys), self.latent_size)))
        else:
            z = self.prior(seed, how.keys)
        options["context"] = z[:, None]
        return stream(self.decoder, prompts, **options)

    def prior(self, seed: int, keys: Sequence[int]) -> np.ndarray:
        """Vectors (N, Z) of the prior, one for each of N `keys`."""
        # A stream of its own: the words of a line are drawn by (seed, key).
        rngs = [np.random.default_rng((seed, key, 1)) for key in keys]
        return self.from_prior(np.stack([rng.standard_normal(self.latent_size) for rng in rngs]))

    def from_prior(self, u: np.ndarray) -> np.ndarray:
        """The vectors (N, Z) of the prior that standard normal `u` (N, Z) stand for."""
        z: np.ndarray = (u if self._flow is None else self._flow.inverse(u)).astype(np.float32)
        return z

    def posterior(self, lines: Sequence[Sequence[int]]) -> Posterior:
        """What vectors may stand for `lines`, ids that hold their end tokens."""
        ids, lengths = padded(lines)
        found = pooled(self._encode(ids, lengths), lengths) @ self._weight.T + self._bias
        mean, log_variance = np.split(found.astype(np.float64), 2, axis=-1)
        return Posterior(mean, log_variance.clip(*LOG_VARIANCES))

    def log_prior(self, z: np.ndarray) -> np.ndarray:
        """Log-density (N,) of vectors (N, Z)."""
        return log_normal(z) if self._flow is None else self._flow.log_density(z)

    def speak(self, z: np.ndarray, sampling: SamplingConfig = GREEDY, seed: int = 0) -> list[Generated]:
        """The line of each of vectors `z` (N, Z), the likeliest word each time unless `sampling` says otherwise."""
        return generate(
            self.decoder,
            np.full((len(z), 1), BOS),
            context=z[:, None].astype(np.float32),
            sampling=sampling,
            constraints=Constraints(banned=(PAD, BOS, UNK), min_length=1),
            end=EOS,
            max_length=_LONGEST,
            seed=seed,
        )

    def between(self, first: Sequence[int], last: Sequence[int], steps: int) -> np.ndarray:
        """Vectors (steps, Z) on the way from one line to another, their own at the ends; along the sphere (White 2016), as
        a straight line leads through vectors that are shorter than any line's."""
        mean = self.posterior([first, last]).mean
        lengths = np.maximum(np.linalg.norm(mean, axis=1), 1e-9)
        cosine = float(np.clip(mean[0] @ mean[1] / (lengths[0] * lengths[1]), -1, 1))
        angle, share = math.acos(cosine), np.linspace(0, 1, steps)[:, None]
        if angle < 1e-3 or math.pi - angle < 1e-3:
            found: np.ndarray = mean[0] + share * (mean[1] - mean[0])
            return found
        found = (np.sin((1 - share) * angle) * mean[0] + np.sin(share * angle) * mean[1]) / math.sin(angle)
        return found

    def line_nats(self, lines: Sequence[Sequence[int]]) -> np.ndarray:
        """An upper bound (lines,) by importance sampling (Burda et al. 2016): the more samples, the nearer."""
        found = np.empty(len(lines))
        order = np.argsort([len(line) for line in lines], kind="stable")
        rows = max(1, _ROWS // self.samples)
        for place in range(0, len(order), rows):
            chosen = order[place : place + rows]
            found[chosen] = self._bound([lines[row] for row in chosen])
        return found

    def _bound(self, lines: Sequence[Sequence[int]]) -> np.ndarray:
        posterior, samples = self.posterior(lines), self.samples
        each = [np.random.default_rng((self.seed, *line)) for line in lines]  # whatever lines are beside it
        noise = np.stack([rng.standard_normal((samples, self.latent_size)) for rng in each])  # (N, S, Z)
        many = Posterior(posterior.mean[:, None], posterior.log_variance[:, None])
        z = many.sample(noise)
        flat = z.reshape(-1, self.latent_size)
        # Each vector is a context of its own.
        nats = self.nats(np.repeat(np.arange(len(lines)), samples), lines, flat).reshape(len(lines), samples)
        weights = self.log_prior(flat).reshape(nats.shape) - many.log_density(z) - nats
        top = weights.max(axis=1, keepdims=True)
        found: np.ndarray = -(np.log(np.exp(weights - top).mean(axis=1)) + top[:, 0])
        return found

    def nats(self, rows: np.ndarray, lines: Sequence[Sequence[int]], z: np.ndarray) -> np.ndarray:
        """Nats (N,) of the lines `lines[rows[n]]` given vectors `z` (N, Z)."""
        inputs, targets = pad_rows(lines)
        found = np.empty(len(z))
        size = max(1, _LOGITS // (inputs.shape[1] * self.decoder.vocab_size))
        for start in range(0, len(z), size):
            part = slice(start, start + size)
            state = self.decoder.start(z[part, None].astype(np.float32), len(z[part]))
            given = targets[rows[part]]
            log_probs, _ = self.decoder.score(inputs[rows[part]], given, state)
            found[part] = -np.where(given == PAD, 0, log_probs).sum(axis=1)
        return found
