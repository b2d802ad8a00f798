"""A judge of lines: a recurrent encoder, pooled, to one number.

As the energy of an energy-based model it says how unlike a written line one is, as the discriminator of a generative
adversarial network how like.
"""

from __future__ import annotations

from torch import Tensor, nn

from textgen.decoder.dropout import Dropout
from textgen.sequences.encoder import RecurrentEncoder, pool


class Critic(nn.Module):
    """Lines `ids` (N, L), of which the first `lengths` (N,) count, to numbers (N,)."""

    def __init__(self, encoder: RecurrentEncoder, vocab_size: int):
        super().__init__()
        config = encoder.config
        self.embedding = nn.Embedding(vocab_size, config.embedding_size)
        nn.init.normal_(self.embedding.weight, std=config.embedding_size**-0.5)
        self.encoder = encoder
        self.output = nn.Linear(2 * config.output_size, 1)
        # At first no line is told from another: an energy of 0 is the base.
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        self.dropout = Dropout(config.dropout)

    def context(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Encoded tokens (N, L, D); as `textgen.sequences.torch_encoder.Reader` has it."""
        found: Tensor = self.encoder(self.embedding(ids), lengths)
        return found

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        found: Tensor = self.output(self.dropout(pool(self.context(ids, lengths), lengths)))
        return found.squeeze(-1)
