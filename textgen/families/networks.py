"""The networks of a family by torch: built of their sizes, read, and made ready to run."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from textgen.decoder.config import DecoderConfig
from textgen.decoder.rnn import RNNDecoder
from textgen.engine.protocol import StepModel
from textgen.engine.torch import TorchEngine
from textgen.families.critic import Critic
from textgen.families.denoiser import Denoiser
from textgen.families.latent import Encode, LatentConfig
from textgen.families.stored import PARTS, Engines
from textgen.families.vae import LatentModel
from textgen.sequences.config import EncoderConfig
from textgen.sequences.encoder import RecurrentEncoder
from textgen.sequences.torch_encoder import TorchEncoder
from textgen.storage import bundle
from textgen.storage.bundle import Bundle, Header
from textgen.transformer.config import TransformerConfig
from textgen.transformer.engines import TorchTransformer
from textgen.transformer.network import TransformerDecoder


def build(config: Header) -> nn.Module:
    """The networks of a model of the `config` that `model.json` has, new."""
    if "latent" in config:
        encoder = RecurrentEncoder(EncoderConfig(**config["encoder"]))
        decoder = RNNDecoder(DecoderConfig(**config["decoder"]))
        return LatentModel(encoder, decoder, LatentConfig(**config["latent"]))
    size = config["vocab_size"]
    makers: dict[str, Any] = {
        "decoder": lambda sizes: RNNDecoder(DecoderConfig(**sizes)),
        "transformer": lambda sizes: TransformerDecoder(TransformerConfig(**sizes)),
        "critic": lambda sizes: Critic(RecurrentEncoder(EncoderConfig(**sizes)), size),
        "denoiser": lambda sizes: Denoiser(RecurrentEncoder(EncoderConfig(**sizes)), size),
    }
    return nn.ModuleDict({name: makers[name](config[name]) for name in PARTS[config["family"]]})


def read_network(stored: Bundle) -> nn.Module:
    """The networks that a model stores."""
    with bundle.describing(stored.folder / bundle.HEADER), torch.device("meta"):
        network = build(stored.header["config"])
    bundle.load_weights(stored, network, empty=[network])
    return network


def torch_engines(network: nn.Module) -> Engines:
    """A model's networks, ready to run."""

    def model() -> StepModel:
        parts = dict(network.named_children())
        if isinstance(decoder := parts.get("decoder"), RNNDecoder):
            return TorchEngine(decoder)
        transformer = parts["transformer"]
        assert isinstance(transformer, TransformerDecoder), "the one or the other"
        return TorchTransformer(transformer)

    def encode(name: str) -> Encode:
        part: Any = network if name == "encoder" else dict(network.named_children())[name]
        return TorchEncoder(part, next(network.parameters()).device)

    return Engines(model, encode)
