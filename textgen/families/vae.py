"""A variational autoencoder of sentences (Bowman et al. 2016): an encoder's latent vector starts the recurrent decoder, as
a context of one cell.

Against posterior collapse: words of the decoder's input are hidden, and each latent feature has some nats free
(Kingma et al. 2016). The prior is standard normal, or a flow. Letters of the shapes: N sentences, L tokens, Z latent features.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from textgen.decoder.rnn import RNNDecoder
from textgen.families.flow_network import CouplingFlow
from textgen.families.latent import LOG_VARIANCES, LatentConfig
from textgen.sequences.encoder import RecurrentEncoder, pool
from textgen.text.tokenizer import PAD, UNK


class Posterior:
    """A normal distribution a sentence."""

    def __init__(self, mean: Tensor, log_variance: Tensor):
        """(N, Z) each."""
        self.mean, self.log_variance = mean, log_variance

    def sample(self, noise: Tensor) -> Tensor:
        """Vectors (..., N, Z) for standard normal `noise` of that shape; the gradient flows through."""
        return self.mean + noise * torch.exp(0.5 * self.log_variance)

    def log_density(self, z: Tensor) -> Tensor:
        """(..., N) of vectors (..., N, Z)."""
        scaled = (z - self.mean) ** 2 / self.log_variance.exp()
        return -0.5 * (scaled + self.log_variance + math.log(2 * math.pi)).sum(dim=-1)

    def divergence(self) -> Tensor:
        """Kullback-Leibler divergence from the standard normal of each feature, in nats: (N, Z)."""
        return 0.5 * (self.mean**2 + self.log_variance.exp() - 1 - self.log_variance)


class LatentModel(nn.Module):
    """Encoder, decoder, and the prior of what lies between."""

    def __init__(self, encoder: RecurrentEncoder, decoder: RNNDecoder, config: LatentConfig):
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.decoder = decoder
        self.posterior_of = nn.Linear(2 * encoder.config.output_size, 2 * config.latent_size)
        self.flow = CouplingFlow(config.flow) if config.flow else None

    def posterior(self, ids: Tensor, lengths: Tensor) -> Posterior:
        """What latent vectors may stand for sentences `ids` (N, L), of which the first `lengths` (N,) count."""
        found = self.posterior_of(pool(self.context(ids, lengths), lengths)).float()
        middle, log_variance = found.chunk(2, dim=-1)
        return Posterior(middle, log_variance.clamp(*LOG_VARIANCES))

    def context(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Encoded tokens (N, L, D); as `textgen.sequences.torch_encoder.Reader` has it."""
        found: Tensor = self.encoder(self.decoder.embedding(ids), lengths)
        return found

    def log_prior(self, z: Tensor) -> Tensor:
        """Log-density (N,) of vectors (N, Z)."""
        if self.flow is not None:
            return self.flow.log_density(z)
        return -0.5 * (z * z + math.log(2 * math.pi)).sum(dim=-1)

    def nats(self, inputs: Tensor, targets: Tensor, z: Tensor) -> Tensor:
        """Negative log-likelihood (N,) of the sentences `targets` (N, T) after `inputs`, given vectors (N, Z)."""
        state = self.decoder.start(z[:, None], len(z))
        logits, _ = self.decoder(inputs, state)
        each = F.cross_entropy(logits.float().transpose(1, 2), targets, reduction="none", ignore_index=PAD)
        return each.sum(dim=1)

    def loss(
        self,
        ids: Tensor,
        lengths: Tensor,
        inputs: Tensor,
        targets: Tensor,
        weight: float,
        free_nats: float,
        word_dropout: float,
    ) -> tuple[Tensor, dict[str, float]]:
        """What training lets fall, in nats a token: reconstruction, and `weight` times the divergence from the prior.

        The divergence is from the standard normal, and counts where it is above `free_nats` a feature; a flow is fitted
        afterwards.
        """
        posterior = self.posterior(ids, lengths)
        z = posterior.sample(torch.randn_like(posterior.mean))
        hidden = (torch.rand(inputs.shape, device=inputs.device) < word_dropout) & (inputs > UNK)
        nats = self.nats(inputs.masked_fill(hidden, UNK), targets, z)
        each = posterior.divergence().mean(dim=0)
        divergence, counted = each.sum(), each.clamp(min=free_nats).sum()
        tokens = (targets != PAD).sum() / len(targets)
        value = (nats.mean() + weight * counted) / tokens
        return value, {"divergence": float(divergence.detach()), "nats": float(nats.mean().detach() / tokens)}
