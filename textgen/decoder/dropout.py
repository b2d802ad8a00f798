"""Dropout that costs next to nothing on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """`nn.Dropout` with a share in steps of 1/256, and a byte of randomness an element.

    torch draws a number an element on a CPU, one after the other; that took a fifth of a text model's training.
    """

    def forward(self, x: Tensor) -> Tensor:
        dropped = min(255, round(256 * self.p))
        if not (self.training and dropped) or x.is_cuda:
            return super().forward(x)
        words = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= dropped
        return x * kept.to(x.dtype).mul_(256 / (256 - dropped))
