"""A tiny captioned world, drawn here, and a model trained on it in seconds."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

# Small tensors gain nothing from a second thread, and lose much when the machine is busy.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from PIL import Image, ImageDraw

from tests.helpers.paths import SHARED

# What makes a test slow, by the fixtures it asks for.
_TRAINS = {"dev_evaluation", "tiny_model", "tiny_settings"}
_STARTS = {"java"}
_DRIVES = {"chromium"}
_PAGE = Path(__file__).with_name("app")
_QUICK, _PAGES, _LONG = range(3)  # the order in which they run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what is slow, and lets the quick tests run first: what is broken is known in seconds.

    Then come the tests of the page and those that start programs, at last those that train or drive a browser; those of
    a kind keep their order. A file whose tests are slow for another reason says so itself: `pytestmark`.
    """
    for item in items:
        if _kind(item) != _QUICK:
            item.add_marker(pytest.mark.slow)
        if _PAGE in item.path.parents:
            item.add_marker(pytest.mark.alone)
    items.sort(key=_kind)


def _kind(item: pytest.Item) -> int:
    fixtures = set(getattr(item, "fixturenames", ()))
    if fixtures & (_TRAINS | _DRIVES):
        return _LONG
    if fixtures & _STARTS or _PAGE in item.path.parents:
        return _PAGES
    return _LONG if item.get_closest_marker("slow") else _QUICK


COLOURS = {"red": (220, 30, 30), "green": (30, 180, 40), "blue": (40, 60, 220), "white": (240, 240, 240)}
SHAPES = ("circle", "square")


def draw(colour: str, shape: str, size: int = 64, offset: int = 0) -> Image.Image:
    """A coloured shape on grey."""
    image = Image.new("RGB", (size, size), (90, 90, 90))
    box = [size // 4 + offset, size // 4, 3 * size // 4 + offset, 3 * size // 4]
    pen = ImageDraw.Draw(image)
    (pen.ellipse if shape == "circle" else pen.rectangle)(box, fill=COLOURS[colour])
    return image


def world(folder: Path, copies: int = 6, size: int = 64) -> Path:
    """A CSV data set of drawn shapes: train, and one dev picture of each kind."""
    (folder / "Images").mkdir(parents=True)
    lines = ["image,caption,split"]
    for colour in COLOURS:
        for shape in SHAPES:
            for copy in range(copies):
                name = f"{colour}-{shape}-{copy}.png"
                draw(colour, shape, size, offset=2 * copy - copies).save(folder / "Images" / name)
                split = "dev" if copy == 0 else "train"
                lines += [f"{name},A {colour} {shape} on grey paper .,{split}"]
                lines += [f"{name},There is a {colour} {shape} .,{split}"]
    (folder / "shapes.csv").write_text("\n".join(lines) + "\n")
    return folder


def encoder_weights(path: Path, name: str = "mobilenet_v3_small") -> Path:
    """Random weights of a backbone, its batch norms fitted to the shapes so that its features tell them apart."""
    import numpy as np
    import torch
    from safetensors.torch import save_file
    from torchvision.models import get_model

    torch.manual_seed(0)
    model = get_model(name, weights=None).train()
    pictures = np.stack([np.asarray(draw(colour, shape)) for colour in COLOURS for shape in SHAPES])
    pixels = (torch.tensor(pictures).permute(0, 3, 1, 2) / 255 - 0.45) / 0.225
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        model.features(pixels)
    save_file(model.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def shapes(tmp_path_factory) -> Path:
    return world(tmp_path_factory.mktemp("shapes"))


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory) -> Path:
    return encoder_weights(tmp_path_factory.mktemp("weights") / "backbone.safetensors")


@pytest.fixture(scope="session")
def tiny_settings(weights_file) -> dict:
    """Settings with which every phase runs in a second or two."""
    return {
        "encoder": "mobilenet_v3_small",
        "encoder_weights": weights_file,
        "image_size": 64,
        "hidden": 32,
        "embedding": 32,
        "context": 32,
        "heads": 4,
        "dropout": 0.1,
        "feature_dropout": 0.0,
        "min_count": 1,
        "max_length": 12,
        "batch": 8,
        "captions": 2,
        "epochs": 22,
        "learning_rate": 1e-2,
        "finetune_epochs": 1,
        "finetune_encoder_rate": 1e-5,
        "finetune_rate": 1e-3,
        "scst_epochs": 1,
        "scst_samples": 3,
        "precision": "float32",
        "device": "cpu",
        "graphs": "none",
    }


@pytest.fixture(scope="session")
def tiny_model(shapes, tiny_settings, tmp_path_factory) -> Path:
    """The folder of a model trained on the shapes, through all three phases."""
    from captioner.train import train
    from captioner.training.config import TrainConfig

    folder = tmp_path_factory.mktemp("models") / "tiny"
    train(shapes, folder, TrainConfig(**tiny_settings))
    return folder


@pytest.fixture(scope="session")
def narrow_model(tiny_model, shapes, tmp_path_factory) -> Path:
    """The tiny model with its encoder in 8 bits, as the command line makes it."""
    from captioner.cli import main

    folder = tmp_path_factory.mktemp("models") / "narrow"
    shutil.copytree(tiny_model, folder, ignore=shutil.ignore_patterns("training"))
    assert main(["export", str(folder), "--pictures", str(shapes)]) == 0
    return folder


@pytest.fixture(scope="session")
def dev_captions() -> dict[str, tuple[str, ...]]:
    """Flickr8k's development split: picture -> its five captions, as people wrote them."""
    if not (SHARED / "flickr8k" / "captions.txt").is_file():
        pytest.skip("Flickr8k is not beside the checkout (../shared/flickr8k)")
    from captioner.data.examples import load_dataset

    captions = {example.id: example.captions for example in load_dataset(SHARED / "flickr8k").split("dev")}
    assert len(captions) == 1000 and {len(five) for five in captions.values()} == {5}
    return captions


@pytest.fixture(scope="session")
def dev_evaluation(dev_captions) -> tuple[dict, dict[str, str]]:
    """The model in the box on that split: its report and its captions."""
    from captioner import Captioner
    from captioner.data.examples import load_dataset
    from captioner.evaluate import evaluate

    # In float32: how 8 bits are rounded may depend on the processor.
    return evaluate(Captioner.load(engine="torch"), load_dataset(SHARED / "flickr8k"), "dev")
