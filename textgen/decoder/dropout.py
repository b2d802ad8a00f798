"""Dropout that costs next to nothing on a CPU, and does not depend on how many processes share a batch."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor, nn

from textgen.rows import drawn, share


class Dropout(nn.Dropout):
    """`nn.Dropout` with a share in steps of 1/256, and a byte of randomness an element.

    torch draws a number an element on a CPU, one after the other; that took a fifth of a text model's training. The first
    axis of what it is given is a batch's rows.
    """

    def forward(self, x: Tensor) -> Tensor:
        dropped = min(255, round(256 * self.p))
        if not (self.training and dropped) or (x.is_cuda and share().count == 1):
            return super().forward(x)

        def kept(shape: tuple[int, ...]) -> Tensor:
            words = torch.empty(-(-prod(shape) // 8), dtype=torch.int64, device=x.device)
            return words.random_(-(2**63), None).view(torch.uint8)[: prod(shape)].view(shape) >= dropped

        return x * drawn(tuple(x.shape), kept).to(x.dtype).mul_(256 / (256 - dropped))


def hide_tokens(ids: Tensor, hidden: float, by: int) -> Tensor:
    """`ids` (N, T), of which the share `hidden` is replaced by the token `by`: dropout on words."""
    draws = drawn(tuple(ids.shape), lambda shape: torch.rand(shape, device=ids.device))
    return ids.masked_fill(draws < hidden, by)
