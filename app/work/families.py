"""The families of text models for the page: which are in the box, what to say of each, and how they compare."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from textgen.engine.text_model import BOX
from textgen.errors import UserError
from textgen.generator import TextGenerator
from textgen.storage.bundle import read_header

PREFIX = "captions-"
"""What the names of the models begin with that were trained on one corpus, to be compared."""
FIGURES = "captions.json"
EXPLAINED = {
    "autoregressive": (
        "Autoregressive",
        "A recurrent network reads what stands there and says what word comes next, one after the other. All it needs to "
        "remember fits into a few hundred numbers.",
    ),
    "transformer": (
        "Transformer",
        "Says the next word, too, but looks back at every word before it instead of keeping a summary. On as little text as "
        "this it is about as good.",
    ),
    "vae": (
        "Variational autoencoder",
        "Draws a point of a map of sentences first, then says the sentence that lies there. Points near each other are "
        "sentences alike, so that one can walk from one to another.",
    ),
    "flow": (
        "Normalising flow",
        "The same map, and a second network that has learnt where on it sentences lie and where none do. On these captions "
        "that is a small gain: the map is nearly even.",
    ),
    "gan": (
        "Adversarial network",
        "Two networks play: one writes, the other tells written lines from real ones, and the first learns from what gives it "
        "away. Here it did what a slightly higher temperature does.",
    ),
    "energy": (
        "Energy-based model",
        "The recurrent network proposes sixteen lines, and a judge that sees whole lines picks one. Slow to write with, but "
        "it notices what only shows at the end.",
    ),
    "diffusion": (
        "Diffusion",
        "All words are hidden at first and appear one by one, in any order, each fitting to those on both sides. So it fills "
        "gaps, which no other here can.",
    ),
}
"""Of each family, in the order they are shown: its title, and two sentences."""


def folders() -> dict[str, Path]:
    """The folder of the model of each family that is in the box to be compared."""
    found = {}
    for folder in BOX.folders():
        if folder.name.startswith(PREFIX):
            # One that is damaged is told of where it is asked for.
            with contextlib.suppress(UserError):
                found[read_header(folder, BOX.kind)["config"].get("family", "autoregressive")] = folder
    return {family: found[family] for family in EXPLAINED if family in found}


def figures() -> Mapping[str, Any] | None:
    """What `textgen compare --json` found of them, where it lies beside them."""
    try:
        found: Mapping[str, Any] = json.loads((BOX.folder / FIGURES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("models") and found.get("real") else None


def lines_of(generator: TextGenerator, count: int, temperature: float, seed: int) -> Iterator[str]:
    """Lines that a model writes."""
    for text in generator.generate_each(n=count, length=40, temperature=temperature, seed=seed):
        yield text.text
