"""A tiny model of lines of every family, trained here in seconds."""

import atexit
import tempfile
from functools import cache
from pathlib import Path

from textgen.families.training import train_family
from textgen.families.training_config import BASES, FamilyConfig
from textgen.train import train
from textgen.training.config import TrainConfig

LINES = [
    f"a {size} {noun} {verb} {where}"
    for size in ("small", "big", "brown")
    for noun in ("dog", "cat", "man", "boy", "girl", "bird")
    for verb in ("runs", "sits", "sleeps", "plays")
    for where in ("outside", "in the grass", "on a bench")
]
_SIZES = {
    "transformer": {"hidden": 24, "layers": 2, "heads": 2, "dropout": 0.0},
    "vae": {"hidden": 24, "embedding": 12, "latent": 4, "dropout": 0.0},
    "flow": {},
    "gan": {"dropout": 0.0},
    "energy": {"hidden": 12, "embedding": 8, "dropout": 0.0},
    "diffusion": {"hidden": 16, "embedding": 16, "layers": 1, "dropout": 0.0},
}
SHARED = {
    "batch": 16,
    "ema": 0.9,
    "device": "cpu",
    "precision": "float32",
    "learning_rate": 0.01,
}


@cache
def folder() -> Path:
    """A folder that lasts as long as the process."""
    made = tempfile.TemporaryDirectory()
    atexit.register(made.cleanup)
    return Path(made.name)


@cache
def corpus() -> Path:
    """Lines in an order without a pattern; the last are held out."""
    path = folder() / "lines.txt"
    path.write_text("".join(f"{LINES[(place * 101) % len(LINES)]}\n" for place in range(len(LINES))))
    return path


def settings(family: str, **changed: object) -> FamilyConfig:
    base = trained(BASES[family]) if family in BASES else None
    return FamilyConfig(family, base, **{"epochs": 4, **SHARED, **_SIZES[family], **changed})


@cache
def trained(family: str) -> Path:
    """The folder of a model, exported."""
    out = folder() / family
    if family == "autoregressive":
        sizes = {"hidden": 24, "embedding": 12, "layers": 1, "dropout": 0.0}
        train([corpus()], out, TrainConfig(level="word", lines=True, epochs=4, **sizes, **SHARED))
    else:
        train_family([corpus()], out, settings(family))
    return out
