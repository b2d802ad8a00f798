"""What a step of training does to the weights: AdamW, and their moving average."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn


def make_optimizer(groups: Sequence[tuple[nn.Module, float]], weight_decay: float) -> torch.optim.AdamW:
    """AdamW over `groups`, modules with their peak rates; only matrices decay."""
    parameters = []
    for module, rate in groups:
        trained = [p for p in module.parameters() if p.requires_grad]
        for matrices, decay in ((True, weight_decay), (False, 0.0)):
            chosen = [p for p in trained if (p.dim() > 1) is matrices]
            if chosen:
                parameters.append({"params": chosen, "lr": rate, "peak": rate, "weight_decay": decay})
    return torch.optim.AdamW(parameters, betas=(0.9, 0.98), foreach=True)


class AveragedWeights:
    """Exponential moving average of a model's trained weights (Polyak averaging)."""

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.live: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
        self.kept: list[Tensor] = [p.detach().clone() for p in self.live] if decay else []

    @torch.no_grad()
    def update(self, step: int) -> None:
        if self.decay:
            # A short memory at first, or the start weighs on the average for ever.
            torch._foreach_lerp_(self.kept, self.live, 1 - min(self.decay, (1 + step) / (10 + step)))

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The model with averaged weights."""
        own = [p.detach().clone() for p in self.live] if self.decay else []
        with torch.no_grad():
            for p, value in zip(self.live if self.decay else [], self.kept, strict=True):
                p.copy_(value)
            try:
                yield
            finally:
                for p, value in zip(self.live if self.decay else [], own, strict=True):
                    p.copy_(value)
