"""The flow of `textgen.families.flow` to be trained, by torch."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from textgen.families.flow import LIMIT, FlowConfig


class CouplingFlow(nn.Module):
    """Vectors z (N, Z) to u, which is standard normal. It begins as the identity."""

    def __init__(self, config: FlowConfig):
        super().__init__()
        self.config = config
        couplings = []
        for coupling in range(config.couplings):
            reads, changes = config.halves(coupling)
            last = nn.Linear(config.hidden_size, 2 * len(changes))
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            couplings.append(nn.Sequential(nn.Linear(len(reads), config.hidden_size), nn.Tanh(), last))
        self.couplings = nn.ModuleList(couplings)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """`u` (N, Z), and the log-determinants (N,) of du / dz."""
        total = z.new_zeros(len(z))
        for place, coupling in enumerate(self.couplings):
            reads, changes = (torch.from_numpy(half).to(z.device) for half in self.config.halves(place))
            log_scale, shift = coupling(z[:, reads]).chunk(2, dim=-1)
            log_scale = LIMIT * torch.tanh(log_scale / LIMIT)
            z = z.index_copy(1, changes, z[:, changes] * log_scale.exp() + shift)
            total = total + log_scale.sum(dim=-1)
        return z, total

    def log_density(self, z: Tensor) -> Tensor:
        """Exact log-density (N,) of `z` (N, Z)."""
        u, log_det = self(z)
        normal: Tensor = -0.5 * (u * u + math.log(2 * math.pi)).sum(dim=-1)
        return normal + log_det
