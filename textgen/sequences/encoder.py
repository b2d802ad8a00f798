"""The recurrent encoder: a sentence's embedded tokens to a context for the decoder, or for a classifier.

Letters of the shapes: B sentences, L tokens, E embedding, H hidden, D = H a direction.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from textgen.decoder.dropout import Dropout
from textgen.decoder.rnn import CELLS
from textgen.sequences.config import EncoderConfig


class RecurrentEncoder(nn.Module):
    """A stack of recurrent layers in one direction or in both (Schuster and Paliwal 1997).

    Padding stands behind a sentence. The backward layers read it turned round within its own length, so that neither
    direction meets padding before the sentence is over: no result depends on it, and nothing needs to be packed.
    """

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.config = config
        layer = CELLS[config.cell].layer
        self.layers = nn.ModuleDict(
            {
                direction: nn.ModuleList(
                    layer(config.layer_input(index), config.hidden_size, batch_first=True)
                    for index in range(config.num_layers)
                )
                for direction in config.directions
            }
        )
        self.dropout = Dropout(config.dropout)

    def forward(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """Encoded tokens (B, L, D) of `embedded` (B, L, E), of which the first `lengths` (B,) count; 0 beyond them."""
        places = torch.arange(embedded.shape[1], device=embedded.device)
        inside = places < lengths[:, None]  # (B, L)
        turned = torch.where(inside, lengths[:, None] - 1 - places, places)
        x = embedded
        for index in range(self.config.num_layers):
            x = self.dropout(x)
            x = torch.cat(
                [self._read(x, direction, index, turned) for direction in self.config.directions], -1
            )
        return x * inside[..., None]

    def _read(self, x: Tensor, direction: str, index: int, turned: Tensor) -> Tensor:
        stack = self.layers[direction]
        assert isinstance(stack, nn.ModuleList), "a list of layers a direction"
        if direction == self.config.directions[0]:
            out: Tensor = stack[index](x)[0]
            return out
        out = stack[index](_turn(x, turned))[0]
        return _turn(out, turned)


def _turn(x: Tensor, turned: Tensor) -> Tensor:
    """`x` (B, L, F) in the order `turned` (B, L)."""
    return x.gather(1, turned[..., None].expand(-1, -1, x.shape[-1]))


def pool(context: Tensor, lengths: Tensor) -> Tensor:
    """The mean and the largest of each feature (B, 2D) of encoded tokens (B, L, D), 0 beyond the `lengths` (B,)."""
    outside = torch.arange(context.shape[1], device=context.device) >= lengths[:, None]  # (B, L)
    mean = context.sum(dim=1) / lengths[:, None]
    largest = context.masked_fill(outside[..., None], -torch.inf).amax(dim=1)
    return torch.cat([mean, largest], dim=-1)
