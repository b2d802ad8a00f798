"""The variational autoencoder: bounds that are bounds, and a decoder that is the recurrent one."""

import math
from dataclasses import asdict

import numpy as np
import pytest
import torch

from textgen.decoder.rnn import DecoderConfig, RNNDecoder
from textgen.decoding.settings import Constraints, SamplingConfig
from textgen.decoding.writing import Writing
from textgen.errors import UserError
from textgen.families.energy import ended
from textgen.families.latent import LatentConfig
from textgen.families.networks import torch_engines
from textgen.families.stored import writer_of
from textgen.families.vae import LatentModel, Posterior
from textgen.sequences.config import EncoderConfig
from textgen.sequences.encoder import RecurrentEncoder
from textgen.storage.bundle import weights_of
from textgen.text.batches import pad_rows, padded
from textgen.text.tokenizer import BOS, EOS, PAD, UNK

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


def writer(made, samples=100, seed=0):
    """As it is used."""
    config = {"family": "vae", "latent": asdict(made.config)}
    found = writer_of(config, weights_of(made), torch_engines(made))
    found.samples, found.seed = samples, seed
    return found


def exact_nats(used):
    """Of a latent vector of one feature, by integration over a fine grid."""
    grid = np.linspace(-8, 8, 1601)
    found = []
    for row in range(len(LINES)):
        nats = used.nats(np.full(len(grid), row), LINES, grid[:, None])
        weights = used.log_prior(grid[:, None]) - nats + math.log(grid[1] - grid[0])
        found.append(-np.logaddexp.reduce(weights))
    return np.array(found)


def test_the_bound_falls_to_the_exact_nats_with_more_samples():
    made = model()
    exact = exact_nats(writer(made))
    few, many = (
        np.mean([writer(made, samples, seed).line_nats(LINES) for seed in range(times)], axis=0)
        for samples, times in ((1, 200), (400, 12))
    )
    assert (few > exact - 0.1).all() and (many < few + 0.1).all()
    np.testing.assert_allclose(many, exact, atol=0.08)


@pytest.mark.parametrize("couplings", [0, 3])
def test_in_use_it_computes_what_it_computed_in_training(couplings):
    made = model(latent=4, couplings=couplings)
    used = writer(made)
    ids, lengths, inputs, targets = batch()
    with torch.no_grad():
        expected, found = made.posterior(ids, lengths), used.posterior(LINES)
        z = torch.randn(3, 4)
        for name in ("mean", "log_variance"):
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name).numpy(), atol=1e-5)
        np.testing.assert_allclose(used.log_prior(z.numpy()), made.log_prior(z).numpy(), atol=1e-4)
        np.testing.assert_allclose(
            used.nats(np.arange(3), LINES, z.numpy()), made.nats(inputs, targets, z).numpy(), atol=1e-4
        )
    np.testing.assert_allclose(
        found.divergence(), expected.divergence().sum(dim=1).detach().numpy(), atol=1e-4
    )


RULES = {
    "sampling": SamplingConfig(),
    "constraints": Constraints(banned=(PAD, BOS, UNK), min_length=1),
    "end": EOS,
    "max_length": 8,
}


def lines(used, keys, seed=3):
    columns = list(used.write([[BOS]] * len(keys), Writing(seed=seed, keys=keys, **RULES)))
    return [ended(row) for row in np.stack([column.ids for column in columns], axis=1).tolist()]


@pytest.mark.parametrize("couplings", [0, 3])
def test_lines_depend_on_their_keys_alone(couplings):
    used = writer(model(latent=4, couplings=couplings))
    together = lines(used, range(6))
    assert together == [lines(used, [key])[0] for key in range(6)]
    assert together != lines(used, range(6), seed=4)
    with pytest.raises(ValueError, match="no prompts"):
        list(used.write([[BOS, 4]], Writing(seed=1, keys=[0], **RULES)))


def test_on_the_way_from_one_line_to_another_both_are_at_the_ends():
    used = writer(model(latent=5))
    mean = used.posterior([LINES[0], LINES[2]]).mean
    way = used.between(LINES[0], LINES[2], 7)
    np.testing.assert_allclose(way[[0, -1]], mean, atol=1e-9)
    lengths = np.linalg.norm(way, axis=1)
    assert lengths.min() > 0.9 * np.linalg.norm(mean, axis=1).min()  # not through the middle
    np.testing.assert_allclose(used.between(LINES[0], LINES[0], 3), mean[[0, 0, 0]], atol=1e-9)
    assert len(used.speak(way)) == 7


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
