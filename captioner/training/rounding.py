"""Training a decoder that will compute in 8 bits: its weights are rounded on the way forward (Jacob et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from textgen.decoder.rnn import RNNDecoder
from textgen.engine.onnx_weights import stored_steps

T = TypeVar("T")


class RoundedDecoder(nn.Module):
    """A decoder whose matrices are rounded as its graphs round them, a scale a row.

    Gradients are those of the weights as if they were not rounded: straight through (Bengio et al. 2013).
    """

    def __init__(self, decoder: RNNDecoder):
        super().__init__()
        self.decoder = decoder
        self._steps = stored_steps(decoder.config)

    def lend(self, use: Callable[[RNNDecoder], T]) -> T:
        """`use` of the decoder, rounded for as long as that takes."""
        weights = dict(self.decoder.named_parameters())
        rounded = {f"decoder.{name}": _rounded(weights[name], steps) for name, steps in self._steps.items()}
        found: T = functional_call(self, rounded, (use,))
        return found

    def forward(self, use: Callable[[RNNDecoder], T]) -> T:
        return use(self.decoder)


def _rounded(weight: Tensor, steps: int) -> Tensor:
    """`weight` (N, K) as `textgen.storage.weights.rounded` has it, with the gradient of `weight`."""
    with torch.no_grad():
        scale = weight.abs().amax(dim=1, keepdim=True) / steps
        rounding = (weight / torch.where(scale > 0, scale, 1)).round() * scale - weight
    return weight + rounding
