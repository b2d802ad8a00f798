"""What decides the training of a family; apart from `training`, so that the command line can show it without torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, NamedTuple

from tyro.conf import arg

from textgen.errors import UserError
from textgen.training.config import LEVELS
from textgen.training.export import check_graphs


class Sizes(NamedTuple):
    """What a family's main network has unless told: about as many parameters as the others, of 2,500 words."""

    layers: int
    hidden: int
    embedding: int


SIZES = {
    "transformer": Sizes(3, 192, 192),
    "vae": Sizes(1, 320, 192),
    "flow": Sizes(1, 128, 1),
    "gan": Sizes(1, 96, 64),
    "energy": Sizes(1, 96, 64),
    "diffusion": Sizes(2, 160, 192),
}
_WORDS = ("level", "vocabulary", "min_count")
_OWN = {
    "transformer": (*_WORDS, "layers", "hidden", "heads", "dropout"),
    "vae": (
        *_WORDS,
        "layers",
        "hidden",
        "embedding",
        "dropout",
        "latent",
        "word_dropout",
        "free_nats",
        "divergence_weight",
        "annealing",
    ),
    "flow": ("hidden", "couplings"),
    "gan": ("layers", "hidden", "embedding", "dropout", "policy_rate"),
    "energy": ("layers", "hidden", "embedding", "dropout"),
    "diffusion": (*_WORDS, "layers", "hidden", "embedding", "dropout"),
}
"""The settings that not all families have."""
BASES = {"flow": "vae", "gan": "autoregressive", "energy": "autoregressive"}
"""The families that start from a trained model, and from one of which family."""


@dataclass(frozen=True)
class FamilyConfig:
    """Everything that decides a training; kept in the run's folder and in the model card."""

    family: Annotated[str, arg(metavar="NAME")]
    """transformer (Vaswani et al. 2017), vae (Bowman et al. 2016), flow (a vae's prior; Ziegler and Rush 2019), gan (SeqGAN;
    Yu et al. 2017), energy (Deng et al. 2020) or diffusion (Sahoo et al. 2024); without this option: autoregressive."""
    base: Annotated[Path | None, arg(metavar="NAME|DIR")] = None
    """The trained model that a flow (a vae), a gan or an energy (a recurrent one of lines) starts from."""
    level: str = "word"
    """char or word."""
    columns: Annotated[tuple[str, ...], arg(metavar="COLUMN...")] = ()
    """Columns of a CSV, by name or by number from 1; each row is a line."""
    held_out: float = 0.1
    """Share at the end of each file that is held out, to judge by."""
    vocabulary: int = 10_000
    """Most words of a word model; the others become unknown."""
    min_count: int = 1
    """Characters or words seen less often become unknown."""
    max_line: int = 100
    """Tokens that a line is cut to."""
    layers: Annotated[int | None, arg(metavar="INT")] = None
    """Layers of the network, of a gan's discriminator: of a transformer 3, of a diffusion 2, else 1 unless told."""
    hidden: Annotated[int | None, arg(metavar="INT")] = None
    """Its features: of a transformer 192, of a vae's decoder 320, of a flow's couplings 128, of a diffusion 160, of an energy
    and a discriminator 96 in each direction."""
    embedding: Annotated[int | None, arg(metavar="INT")] = None
    """Features of a token: 192, of an energy and a discriminator 64; a transformer's are its --hidden."""
    heads: int = 6
    """Attention heads of a transformer."""
    dropout: float = 0.3
    """Share of activations dropped."""
    latent: int = 32
    """Features of a vae's latent vector."""
    word_dropout: float = 0.3
    """Share of the words that are hidden from a vae's decoder, so that it needs the vector."""
    free_nats: float = 0.25
    """Nats of each feature of a vae's vector that cost nothing (Kingma et al. 2016)."""
    divergence_weight: float = 1.0
    """What the weight of a vae's divergence rises to (Higgins et al. 2017). Below 1 its vectors say more and lie less
    normally, which a flow makes up for."""
    annealing: float = 0.3
    """Share of a vae's training in which the weight of its divergence rises."""
    couplings: int = 6
    """Affine couplings of a flow."""
    policy_rate: float = 0.02
    """Rate of a gan's generator, as a share of --learning-rate, which is its discriminator's."""
    batch: int = 32
    """Lines read side by side."""
    epochs: int = 20
    """Passes over the corpus."""
    learning_rate: float = 0.003
    """Peak rate."""
    weight_decay: float = 0.01
    """AdamW's."""
    ema: float = 0.998
    """Decay a step of the averaged weights that are judged and kept."""
    patience: int = 0
    """Stop after this many epochs without a better held-out score; 0 runs them all."""
    judged: int = 2000
    """Most held-out lines that are judged after an epoch; all are at the end."""
    notes: Path | None = None
    """Markdown for the model's card: what it is bad at, licences, whatever its users should know."""
    seed: int = 1
    precision: str = "auto"
    """auto, float32 or bfloat16."""
    device: str = "auto"
    """auto, cpu or cuda."""
    save_minutes: float = 5.0
    """Minutes between checkpoints within an epoch."""
    graphs: str = "auto"
    """ONNX graphs at the end: int8, float32, none, or auto, which is int8 where it costs nothing that can be measured."""

    def __post_init__(self) -> None:
        check_graphs(self.graphs)
        if self.family not in SIZES:
            known = ", ".join(SIZES)
            raise UserError(
                f"family: unknown {self.family!r}; known: {known}; without --family it is autoregressive"
            )
        if self.level not in LEVELS:
            raise UserError(f"level: unknown {self.level!r}; known: {', '.join(LEVELS)}")
        if (self.family in BASES) != (self.base is not None):
            if self.base is None:
                raise UserError(
                    f"base: a {self.family} starts from a trained {BASES[self.family]} model; name it by --base"
                )
            raise UserError(f"base: a {self.family} starts from nothing; leave --base out")
        for field in fields(self):
            has_it = all(field.name not in own for own in _OWN.values()) or field.name in _OWN[self.family]
            if not has_it and getattr(self, field.name) != field.default:
                raise UserError(f"{field.name}: a {self.family} has no such setting; leave it out")
        for name in ("layers", "hidden", "embedding"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise UserError(f"{name}: {getattr(self, name)} must be 1 or more")
        for name in ("vocabulary", "min_count", "heads", "latent", "couplings", "batch", "epochs", "judged"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}: {getattr(self, name)} must be 1 or more")
        if self.max_line < 2:
            raise UserError(f"max_line: {self.max_line} must be 2 or more")
        rates = ("learning_rate", "weight_decay", "policy_rate", "free_nats", "divergence_weight")
        for name in (*rates, "patience", "save_minutes"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UserError(f"{name}: {getattr(self, name)} must be 0 or more")
        for name in ("dropout", "word_dropout", "annealing", "ema"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name}: {getattr(self, name)} is outside 0 to 1")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"seed: {self.seed} is outside 0 to {2**32 - 1}")

    @property
    def sizes(self) -> Sizes:
        own = SIZES[self.family]
        return Sizes(self.layers or own.layers, self.hidden or own.hidden, self.embedding or own.embedding)
