"""The variational autoencoder: bounds that are bounds, and a decoder that is the recurrent one."""

import math

import numpy as np
import pytest
import torch

from textgen.decoder.rnn import DecoderConfig, RNNDecoder
from textgen.errors import UserError
from textgen.families.vae import LatentConfig, LatentModel, Posterior
from textgen.sequences.config import EncoderConfig
from textgen.sequences.encoder import RecurrentEncoder
from textgen.text.batches import pad_rows, padded
from textgen.text.tokenizer import EOS, PAD

V = 9
LINES = [[4, 5, 6, EOS], [7, EOS], [8, 4, 4, 5, 5, EOS]]


def model(latent=1, couplings=0, seed=0, ignored=False):
    torch.manual_seed(seed)
    encoder = RecurrentEncoder(EncoderConfig(embedding_size=6, hidden_size=5, num_layers=1, dropout=0.0))
    config = DecoderConfig(
        V, embedding_size=6, hidden_size=8, context_size=latent, attention_heads=2, dropout=0.0, num_layers=1
    )
    made = LatentModel(encoder, RNNDecoder(config), LatentConfig(latent, couplings, flow_hidden=8)).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.5)
        if ignored:
            for name in ("key", "value", "initial"):
                getattr(made.decoder, name).weight.zero_()
    return made


def batch(lines=LINES):
    ids, lengths = padded(lines)
    return tuple(map(torch.from_numpy, (ids, lengths, *pad_rows(lines))))


def exact_nats(made, inputs, targets):
    """Of a latent vector of one feature, by integration over a fine grid."""
    grid = torch.linspace(-8, 8, 1601)
    step = float(grid[1] - grid[0])
    with torch.no_grad():
        likelihood = torch.stack([-made.nats(inputs, targets, z.expand(len(inputs), 1)) for z in grid])
        prior = torch.stack([made.log_prior(z.view(1, 1))[0] for z in grid])
    return -(likelihood + prior[:, None] + math.log(step)).logsumexp(dim=0)


def test_the_bound_falls_to_the_exact_nats_with_more_samples():
    made = model()
    ids, lengths, inputs, targets = batch()
    exact = exact_nats(made, inputs, targets)
    few, many = (
        torch.stack([made.bound(ids, lengths, inputs, targets, samples, seed) for seed in range(seeds)]).mean(
            0
        )
        for samples, seeds in ((1, 400), (400, 3))
    )
    assert (few > exact - 0.1).all() and (many < few + 0.1).all()
    np.testing.assert_allclose(many.numpy(), exact.numpy(), atol=0.05)


def test_the_loss_is_the_elbo():
    """Without what is free or hidden: nats and divergence of one draw, a token."""
    made = model(latent=3)
    ids, lengths, inputs, targets = batch()
    torch.manual_seed(5)
    value, figures = made.loss(ids, lengths, inputs, targets, 1.0, 0.0, 0.0)
    torch.manual_seed(5)
    posterior = made.posterior(ids, lengths)
    z = posterior.sample(torch.randn_like(posterior.mean))
    expected = made.nats(inputs, targets, z) + posterior.divergence().sum(dim=1)
    tokens = (targets != PAD).sum() / len(targets)
    assert value.item() == pytest.approx((expected.mean() / tokens).item(), rel=1e-5)
    assert figures["divergence"] == pytest.approx(posterior.divergence().sum(dim=1).mean().item(), rel=1e-5)


def test_a_latent_vector_that_is_ignored_leaves_the_decoder():
    made = model(latent=3, ignored=True)
    _, _, inputs, targets = batch()
    with torch.no_grad():
        found = [made.nats(inputs, targets, torch.randn(3, 3)) for _ in range(2)]
    np.testing.assert_allclose(found[0].numpy(), found[1].numpy(), atol=1e-5)


@pytest.mark.parametrize("couplings", [0, 3])
def test_padding_changes_no_sentence(couplings):
    made = model(latent=4, couplings=couplings)
    ids, lengths, inputs, targets = batch()
    with torch.no_grad():
        together = made.posterior(ids, lengths)
        z = torch.randn(3, 4)
        nats = made.nats(inputs, targets, z)
        for row, line in enumerate(LINES):
            one = batch([line])
            alone = made.posterior(*one[:2])
            np.testing.assert_allclose(together.mean[row], alone.mean[0], atol=1e-5)
            np.testing.assert_allclose(nats[row], made.nats(*one[2:], z[row : row + 1])[0], atol=1e-4)


def test_the_divergence_is_that_of_normal_distributions():
    torch.manual_seed(0)
    posterior = Posterior(torch.randn(2, 3), torch.randn(2, 3))
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(posterior.mean, (0.5 * posterior.log_variance).exp()),
        torch.distributions.Normal(0.0, 1.0),
    )
    torch.testing.assert_close(posterior.divergence(), expected)


def test_free_nats_are_not_counted():
    made = model(latent=3)
    args = batch()
    torch.manual_seed(5)
    free, _ = made.loss(*args, 1.0, 100.0, 0.0)
    torch.manual_seed(5)
    none, _ = made.loss(*args, 0.0, 0.0, 0.0)
    tokens = float((args[3] != PAD).sum() / 3)
    assert free.item() == pytest.approx(none.item() + 300 / tokens, rel=1e-4)


def test_wrong_sizes_are_named():
    with pytest.raises(UserError, match="latent_size: 0"):
        LatentConfig(0)
    with pytest.raises(UserError, match="couplings: -1"):
        LatentConfig(2, -1)
