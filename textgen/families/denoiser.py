"""The network of a diffusion model: it reads a line in both directions and tells what is hidden."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from textgen.decoder.dropout import Dropout
from textgen.sequences.encoder import RecurrentEncoder


class Denoiser(nn.Module):
    """Ids (N, T), `MASK` where hidden, to logits (N, T, V); it is told nothing of how much is hidden, which it sees.

    The output is tied with the embedding.
    """

    def __init__(self, encoder: RecurrentEncoder, vocab_size: int):
        super().__init__()
        config = encoder.config
        self.embedding = nn.Embedding(vocab_size, config.embedding_size)
        nn.init.normal_(self.embedding.weight, std=config.embedding_size**-0.5)
        self.encoder = encoder
        self.project = nn.Linear(config.output_size, config.embedding_size)
        self.output_bias = nn.Parameter(torch.zeros(vocab_size))
        self.dropout = Dropout(config.dropout)

    def context(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Encoded tokens (N, T, D); as `textgen.sequences.torch_encoder.Reader` has it."""
        found: Tensor = self.encoder(self.embedding(ids), lengths)
        return found

    def forward(self, ids: Tensor) -> Tensor:
        return self.logits(self.features(ids))

    def features(self, ids: Tensor) -> Tensor:
        """What `logits` takes, (N, T, D): training leaves out what is not hidden."""
        lengths = torch.full((len(ids),), ids.shape[1], device=ids.device)
        return self.dropout(self.context(ids, lengths))

    def logits(self, features: Tensor) -> Tensor:
        """Logits (..., V)."""
        return F.linear(self.project(features), self.embedding.weight, self.output_bias)
