"""What each family's training lets fall, a recipe a family: its networks, which of them are trained, and the loss.

Letters of the shapes: N lines, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from textgen.decoder.config import DecoderConfig
from textgen.decoder.rnn import RNNDecoder
from textgen.decoding.generate import generate
from textgen.decoding.settings import SamplingConfig
from textgen.engine.torch import TorchEngine
from textgen.families.critic import Critic
from textgen.families.diffusion import MASK, filled, hidden, spread
from textgen.families.energy import log_partition
from textgen.families.latent import LatentConfig
from textgen.families.networks import build
from textgen.families.training_config import FamilyConfig
from textgen.families.vae import LatentModel
from textgen.sequences.config import EncoderConfig
from textgen.sequences.encoder import RecurrentEncoder
from textgen.storage.bundle import Header
from textgen.text.batches import TextBatch, padded
from textgen.text.tokenizer import BOS, EOS, PAD
from textgen.training.trainer import Groups
from textgen.transformer.config import TransformerConfig
from textgen.transformer.network import TransformerDecoder

_PARTITION = 4000  # lines of the base that log Z is estimated from
_OF_PARTITION = 1 << 40  # what those are drawn by beside the seed: no step's number

Loss = Callable[[TextBatch, int], tuple[Tensor, dict[str, float]]]


@dataclass
class Recipe:
    """A family's training."""

    network: nn.Module
    """All that is stored, and what is only trained beside it."""
    config: Header
    """Its sizes, as `model.json` has them."""
    groups: Groups
    """What is trained, with its peak rates."""
    loss: Loss
    stored: nn.Module
    """What of the network is stored."""
    measure: Callable[[], Header] = dict
    """What is measured of the model as it is, for its config."""


def recipe_of(config: FamilyConfig, vocab_size: int, steps: int, places: int, base: Any) -> Recipe:
    """The recipe of `config.family`: for a vocabulary, so many steps of training, lines of so many places at most, and the
    base that it starts from, as `textgen.families.training` reads it, or None."""
    torch.manual_seed(config.seed)
    return _RECIPES[config.family](config, vocab_size, steps, places, base)


def _transformer(config: FamilyConfig, vocab_size: int, steps: int, places: int, base: None) -> Recipe:
    sizes = config.sizes
    made = TransformerConfig(
        vocab_size, sizes.layers, sizes.hidden, config.heads, 4 * sizes.hidden, dropout=config.dropout
    )
    parts = {"family": "transformer", "vocab_size": vocab_size, "transformer": asdict(made)}
    network = build(parts)
    transformer: Any = dict(network.named_children())["transformer"]
    assert isinstance(transformer, TransformerDecoder), "as it was built"

    def loss(batch: TextBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        inputs, targets = _tensors(network, batch.inputs, batch.targets)
        features, _ = transformer.hidden(inputs, transformer.start(None, len(inputs)))
        real = targets != PAD
        return F.cross_entropy(transformer.logits(features[real]).float(), targets[real]), {}

    return Recipe(network, parts, [(network, config.learning_rate)], loss, network)


def _vae(config: FamilyConfig, vocab_size: int, steps: int, places: int, base: None) -> Recipe:
    sizes = config.sizes
    decoder = DecoderConfig(
        vocab_size,
        num_layers=sizes.layers,
        embedding_size=sizes.embedding,
        hidden_size=sizes.hidden,
        context_size=config.latent,
        dropout=config.dropout,
        attention_heads=1,
    )
    encoder = EncoderConfig(num_layers=1, embedding_size=sizes.embedding, hidden_size=128, dropout=0.1)
    latent = LatentConfig(config.latent)
    parts = {"family": "vae", "vocab_size": vocab_size, "decoder": asdict(decoder)}
    parts |= {"encoder": asdict(encoder), "latent": asdict(latent)}
    network = build(parts)
    assert isinstance(network, LatentModel), "as it was built"
    rising = max(1, round(config.annealing * steps))

    def loss(batch: TextBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        inputs, targets = _tensors(network, batch.inputs, batch.targets)
        lengths = (targets != PAD).sum(dim=1)
        weight = config.divergence_weight * min(1.0, (step + 1) / rising)
        return network.loss(targets, lengths, inputs, targets, weight, config.free_nats, config.word_dropout)

    return Recipe(network, parts, [(network, config.learning_rate)], loss, network)


def _flow(config: FamilyConfig, vocab_size: int, steps: int, places: int, base: LatentModel) -> Recipe:
    """A prior of the vectors that a trained vae gives lines: all else of it stays as it is."""
    size = base.config.latent_size
    latent = LatentConfig(size, config.couplings, config.sizes.hidden)
    parts = {"family": "flow", "vocab_size": vocab_size, "latent": asdict(latent)}
    parts |= {"decoder": asdict(base.decoder.config), "encoder": asdict(base.encoder.config)}
    network = build(parts)
    assert isinstance(network, LatentModel) and network.flow is not None, "as it was built"
    network.load_state_dict(base.state_dict(), strict=False)
    flow = network.flow
    for part in (network.decoder, network.encoder, network.posterior_of):
        part.requires_grad_(False)

    def loss(batch: TextBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        (targets,) = _tensors(network, batch.targets)
        with torch.no_grad():
            network.encoder.eval()  # of a line the vectors that it has in use
            posterior = network.posterior(targets, (targets != PAD).sum(dim=1))
            z = posterior.sample(torch.randn_like(posterior.mean))
        with torch.autocast(z.device.type, enabled=False):
            return -flow.log_density(z).mean() / size, {}

    return Recipe(network, parts, [(flow, config.learning_rate)], loss, network)


def _energy(config: FamilyConfig, vocab_size: int, steps: int, places: int, base: RNNDecoder) -> Recipe:
    sizes = config.sizes
    encoder = EncoderConfig(
        num_layers=sizes.layers,
        embedding_size=sizes.embedding,
        hidden_size=sizes.hidden,
        dropout=config.dropout,
    )
    parts = {"family": "energy", "vocab_size": vocab_size, "decoder": asdict(base.config)}
    parts["critic"] = asdict(encoder)
    network = build(parts)
    critic: Any = dict(network.named_children())["critic"]
    decoder: Any = dict(network.named_children())["decoder"]
    decoder.load_state_dict(base.state_dict())
    decoder.requires_grad_(False)

    def loss(batch: TextBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        """Noise-contrastive: minus the energy is the logit of a written line against one of the base's."""
        written = [row[row != PAD].tolist() for row in batch.targets]
        drawn = _drawn(decoder, len(written), config, step)
        value, right = _told_apart(critic, written, drawn, energy=True)
        return value, {"told apart": right}

    def measure() -> Header:
        critic.eval()
        lines = _drawn(decoder, _PARTITION, config, _OF_PARTITION)
        with torch.no_grad():
            parts = [
                critic(*_lines(critic, lines[at : at + 500])).float().cpu()
                for at in range(0, len(lines), 500)
            ]
        return {"log_partition": log_partition(torch.cat(parts).numpy())._asdict()}

    return Recipe(network, parts, [(critic, config.learning_rate)], loss, network, measure)


def _gan(config: FamilyConfig, vocab_size: int, steps: int, places: int, base: RNNDecoder) -> Recipe:
    """A generator that was trained by likelihood, and a discriminator; the generator learns by policy gradient.

    The reward is of whole lines, its baseline the mean of the batch's others: the paper's roll-outs of a line's beginnings
    tell single words' rewards apart, at many times the cost.
    """
    sizes = config.sizes
    encoder = EncoderConfig(
        num_layers=sizes.layers,
        embedding_size=sizes.embedding,
        hidden_size=sizes.hidden,
        dropout=config.dropout,
    )
    critic = Critic(RecurrentEncoder(encoder), vocab_size)
    network = nn.ModuleDict({"decoder": base, "critic": critic})

    def loss(batch: TextBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        written = [row[row != PAD].tolist() for row in batch.targets]
        drawn = _drawn(base, len(written), config, step)
        apart, right = _told_apart(critic, written, drawn, energy=False)
        ids, lengths = _lines(critic, drawn)
        with torch.no_grad():
            critic.eval()
            reward = torch.sigmoid(critic(ids, lengths).float())
            critic.train()
        advantage = (reward - reward.mean()) * len(reward) / max(1, len(reward) - 1)
        start = torch.full_like(ids[:, :1], BOS)
        base.eval()  # as it wrote them, without dropout
        features, _ = base.hidden(torch.cat([start, ids[:, :-1]], dim=1), base.start(None, len(ids)))
        nll = F.cross_entropy(
            base.logits(features).float().transpose(1, 2), ids, reduction="none", ignore_index=PAD
        )
        policy = (advantage[:, None] * nll).sum() / lengths.sum()
        return apart + policy, {"told apart": right, "reward": float(reward.mean())}

    groups = [(base, config.policy_rate * config.learning_rate), (critic, config.learning_rate)]
    parts = {"family": "gan", "vocab_size": vocab_size, "decoder": asdict(base.config)}
    return Recipe(network, parts, groups, loss, base)


def _diffusion(config: FamilyConfig, vocab_size: int, steps: int, places: int, base: None) -> Recipe:
    sizes = config.sizes
    encoder = EncoderConfig(
        num_layers=sizes.layers,
        embedding_size=sizes.embedding,
        hidden_size=sizes.hidden,
        dropout=config.dropout,
    )
    parts = {"family": "diffusion", "vocab_size": vocab_size, "denoiser": asdict(encoder), "places": places}
    network = build(parts)
    denoiser: Any = dict(network.named_children())["denoiser"]

    def loss(batch: TextBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        """The bound: of k hidden places their nats times places / k."""
        rng = np.random.default_rng((config.seed, step))
        ids = filled([row[row != PAD].tolist() for row in batch.targets], places)
        counts = spread(len(ids), places, rng)
        seen, targets = _tensors(network, hidden(ids, counts, rng.random(ids.shape)), ids)
        weights = torch.from_numpy(places / counts).to(seen.device).float()[:, None].expand_as(seen)
        places_hidden = seen == MASK
        logits = denoiser.logits(denoiser.features(seen)[places_hidden]).float()
        nats = F.cross_entropy(logits, targets[places_hidden], reduction="none")
        return (weights[places_hidden] * nats).sum() / float((batch.targets != PAD).sum()), {}

    return Recipe(network, parts, [(network, config.learning_rate)], loss, network)


_RECIPES: dict[str, Callable[..., Recipe]] = {
    "transformer": _transformer,
    "vae": _vae,
    "flow": _flow,
    "gan": _gan,
    "energy": _energy,
    "diffusion": _diffusion,
}


def _tensors(network: nn.Module, *arrays: np.ndarray) -> list[Tensor]:
    device = next(network.parameters()).device
    return [torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in arrays]


def _lines(network: nn.Module, lines: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Ids (N, L) and lengths (N,)."""
    ids, lengths = _tensors(network, *padded(lines))
    return ids, lengths


def _drawn(decoder: RNNDecoder, count: int, config: FamilyConfig, key: int) -> list[list[int]]:
    """Lines that a decoder writes at temperature 1, with their end tokens where they came to them: cut where written ones
    are, so that nothing tells them apart by that."""
    training = decoder.training
    found = generate(
        TorchEngine(decoder),
        np.full((count, 1), BOS),
        sampling=SamplingConfig(),
        end=EOS,
        max_length=config.max_line,
        seed=int(np.random.SeedSequence((config.seed, key)).generate_state(1)[0]),
    )
    decoder.train(training)
    return [[*text.ids, *([EOS] if text.finished else [])] for text in found]


def _told_apart(
    critic: Critic, written: list[list[int]], drawn: list[list[int]], energy: bool
) -> tuple[Tensor, float]:
    """How badly written lines are told from drawn ones, and the share that is told right."""
    found = critic(*_lines(critic, written + drawn)).float()
    logits = -found if energy else found
    labels = torch.zeros_like(logits)
    labels[: len(written)] = 1
    right = float(((logits.detach() > 0) == (labels > 0)).float().mean())
    return F.binary_cross_entropy_with_logits(logits, labels), right
