"""A tiny classifier, trained here in seconds, of sentences about boats and about lamps."""

import atexit
import contextlib
import csv
import io
import random
import shutil
import tempfile
from functools import cache
from pathlib import Path

from textgen.classification.classifier import Classifier
from textgen.classification.stored import export_model
from textgen.classification.training import train_classes
from textgen.classification.training_config import ClassesConfig

TINY = ClassesConfig(
    vocabulary=420,
    hidden=12,
    embedding=12,
    dropout=0.1,
    tokens=300,
    epochs=25,
    learning_rate=1e-2,
    ema=0.9,
    held_out=0.2,
    graphs="none",
    device="cpu",
    precision="float32",
)
WORDS = {
    "sea": ("boat", "wave", "harbour"),
    "house": ("lamp", "chair", "window"),
    "sky": ("moon", "cloud", "star"),
}


def rows(count: int = 240, seed: int = 0) -> list[tuple[str, str]]:
    """Texts with their labels: a thing of each tells."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        label = rng.choice(sorted(WORDS))
        first, second = (
            rng.choice(("The old", "A red", "Her small")),
            rng.choice(("is gone", "was there", "fell down")),
        )
        found.append((f"{first} {rng.choice(WORDS[label])} {second}.", label))
    return found


@cache
def _folder() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="classifiers-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


@cache
def data() -> Path:
    """The CSV that `trained()` learnt from."""
    path = _folder() / "texts.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows()])
    return path


@cache
def trained() -> Path:
    """The folder of a trained model without a graph."""
    with contextlib.redirect_stderr(io.StringIO()):
        train_classes([data()], [], _folder() / "model", TINY)
    return _folder() / "model"


@cache
def exported(pack: bool = False) -> Path:
    """The same with a graph; with `pack` in 8 bits."""
    folder = _folder() / ("packed" if pack else "whole")
    shutil.copytree(trained(), folder, ignore=shutil.ignore_patterns("training"))
    export_model(folder, "int8" if pack else "float32", pack)
    return folder


@cache
def classifier(engine: str = "torch") -> Classifier:
    return Classifier.load(trained() if engine == "torch" else exported(), engine)
