"""A normalising flow on a latent vector: affine couplings (RealNVP; Dinh et al. 2017), which have an exact density and an
exact inverse.

It is the prior of sentences' latent vectors, learnt with their encoder (in the spirit of Ziegler and Rush 2019): from a
vector z to u, which is standard normal. Letters of the shapes: N rows, Z latent features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from textgen.errors import UserError

LIMIT = 2.0  # of the logarithm of a coupling's scale: exp(2) times at most, so that no vector explodes


@dataclass(frozen=True)
class FlowConfig:
    """Sizes of a flow; stored in the model's file."""

    size: int
    """Features Z of a vector, two or more."""
    couplings: int = 6
    """Affine couplings, each of which changes one half by the other."""
    hidden_size: int = 128
    """Features between the two matrices of a coupling."""

    def __post_init__(self) -> None:
        if self.size < 2:
            raise UserError(f"size: {self.size} must be 2 or more")
        for name in ("couplings", "hidden_size"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}: {getattr(self, name)} must be 1 or more")

    def halves(self, coupling: int) -> tuple[np.ndarray, np.ndarray]:
        """Places of the features that a coupling reads, and of those that it changes; they take turns."""
        places = np.arange(self.size)
        return places[places % 2 == coupling % 2], places[places % 2 != coupling % 2]


def log_normal(u: np.ndarray) -> np.ndarray:
    """Log-density (N,) of `u` (N, Z) under the standard normal."""
    found: np.ndarray = -0.5 * (u * u + np.log(2 * np.pi)).sum(axis=-1)
    return found


class NumpyFlow:
    """The flow of stored weights, without torch."""

    def __init__(self, config: FlowConfig, weights: Mapping[str, np.ndarray]):
        """`weights`: the state dict of `textgen.families.flow_network.CouplingFlow`."""
        self._config, self._weights = config, weights

    def forward(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`u` (N, Z) of vectors `z` (N, Z), and the log-determinants (N,) of du / dz."""
        u, total = z.astype(np.float64), np.zeros(len(z))
        for coupling in range(self._config.couplings):
            reads, changes = self._config.halves(coupling)
            log_scale, shift = self._between(coupling, u[:, reads], len(changes))
            u[:, changes] = u[:, changes] * np.exp(log_scale) + shift
            total += log_scale.sum(axis=-1)
        return u, total

    def inverse(self, u: np.ndarray) -> np.ndarray:
        """The vectors `z` (N, Z) of `u` (N, Z)."""
        z = u.astype(np.float64)
        for coupling in reversed(range(self._config.couplings)):
            reads, changes = self._config.halves(coupling)
            log_scale, shift = self._between(coupling, z[:, reads], len(changes))
            z[:, changes] = (z[:, changes] - shift) * np.exp(-log_scale)
        return z

    def log_density(self, z: np.ndarray) -> np.ndarray:
        """Exact log-density (N,) of `z` (N, Z)."""
        u, log_det = self.forward(z)
        return log_normal(u) + log_det

    def _between(self, coupling: int, x: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        of = f"couplings.{coupling}."
        hidden = np.tanh(x @ self._weights[of + "0.weight"].T + self._weights[of + "0.bias"])
        out = hidden @ self._weights[of + "2.weight"].T + self._weights[of + "2.bias"]
        return LIMIT * np.tanh(out[:, :count] / LIMIT), out[:, count:]
