"""An encoder is torchvision's backbone, whatever file its weights come from; a wrong file is one line (row 20)."""

import builtins
import os
from importlib.metadata import PackageNotFoundError
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import get_model
from torchvision.models._api import WeightsEnum

from captioner.network.backbones import ENCODERS, MEAN, STD
from captioner.network.encoder import build_encoder, pretrained_encoder
from tests.helpers.encoders import assert_close, refusal

pytestmark = pytest.mark.slow  # builds all of torchvision's encoders

SMALL = "mobilenet_v3_small"
LAST = (
    "features",
    "layer4",
    "trunk_output",
    "conv5",
    "layers",
)  # what torchvision calls the stage before pooling


def torchvision_model(name):
    """A whole classifier with batch norms that are far from doing nothing."""
    torch.manual_seed(0)
    model = get_model(name, weights=None).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 1.5)
            for tensor in (module.bias.data, module.running_mean):
                tensor.normal_(std=0.1)
    return model


def own_features(model, pixels):
    """What torchvision's forward computes before it pools (densenet: before a ReLU in place, too)."""
    kept = []
    last = next(getattr(model, name) for name in LAST if hasattr(model, name))
    handle = last.register_forward_hook(lambda module, inputs, output: kept.append(output.clone()))
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    with torch.no_grad():
        model((pixels.permute(0, 3, 1, 2) / 255 - mean) / std)
    handle.remove()
    return kept[0].flatten(2).transpose(1, 2)


@pytest.fixture(scope="module")
def pixels():
    return torch.randint(
        0, 256, (2, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


@pytest.fixture(scope="module")
def small():
    return torchvision_model(SMALL)


# --- the table


def test_the_encoders_that_people_know_are_in_the_table():
    names = [
        "mobilenet_v2",
        "mobilenet_v3_large",
        "efficientnet_b0",
        "resnet50",
        "resnet101",
        "convnext_tiny",
    ]
    assert set(names) <= set(ENCODERS)


@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_gives_a_grid_of_7_by_7(name):
    # regnet computes its widths as tensors: it cannot be built without memory
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        encoder = build_encoder(name)
        features = encoder(torch.zeros(2, 224, 224, 3, dtype=torch.uint8))
    assert encoder.name == name
    assert features.shape == (2, 49, encoder.feature_size)


@pytest.mark.parametrize("name", ["mobilenet_v3_smal", "resnet", "vit", "", "../model"])
def test_an_unknown_encoder_lists_the_known(name):
    message = refusal(build_encoder, name)
    assert message.startswith(f"encoder: unknown {name!r}; ")
    assert message.endswith(f"nown: {', '.join(ENCODERS)}")
    assert ("did you mean mobilenet_v3_small?" in message) == (name == "mobilenet_v3_smal")


# --- the same function


OF_EVERY_FAMILY = """mobilenet_v2 mobilenet_v3_large efficientnet_b0 convnext_tiny densenet121 resnet18 regnet_y_400mf
shufflenet_v2_x1_0 mnasnet1_0"""


@pytest.mark.parametrize("name", OF_EVERY_FAMILY.split())
def test_an_encoder_is_torchvisions_own_features(tmp_path, pixels, name):
    model = torchvision_model(name)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    expected = own_features(model, pixels)
    encoder = pretrained_encoder(name, tmp_path / "weights.safetensors")
    with torch.no_grad():
        features = encoder(pixels)
        assert_close(features, expected)
        assert features.shape == (2, 4, encoder.feature_size)

        filled = build_encoder(name)
        filled.load_state_dict(encoder.state_dict())
        assert torch.equal(filled(pixels), features)


@pytest.mark.parametrize("name", ["mobilenet_v2", "densenet121", "resnet18"])
def test_batch_norm_is_frozen_in_training(pixels, name):
    encoder = build_encoder(name)
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    with torch.no_grad():
        expected = encoder.eval()(pixels)
        assert torch.equal(encoder.train()(pixels), expected)
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())
    assert encoder.training and not encoder.eval().training


@pytest.mark.parametrize("name", [SMALL, "resnet18"])
def test_frozen_layers_are_the_first_ones_and_nothing_else_is_frozen(name):
    encoder = build_encoder(name).requires_grad_(True)
    encoder.freeze(0)
    assert all(parameter.requires_grad for parameter in encoder.parameters())
    encoder.freeze(3)
    layers = [m for m in encoder.modules() if next(m.parameters(recurse=False), None) is not None]
    trained = [{p.requires_grad for p in layer.parameters(recurse=False)} for layer in layers]
    assert trained == [{False}] * 3 + [{True}] * (len(layers) - 3)
    encoder.freeze(10_000)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_pictures_of_any_size_and_number_give_their_grid():
    encoder = build_encoder(SMALL)
    for count, side, cells in ((1, 32, 1), (3, 96, 9), (2, 100, 16)):
        pixels = torch.zeros(count, side, side, 3, dtype=torch.uint8)
        assert encoder(pixels).shape == (count, cells, encoder.feature_size)


# --- weights from a file


def features_only(state):
    return {key: value for key, value in state.items() if key.startswith("features.")}


@pytest.mark.parametrize("form", [dict, features_only])
@pytest.mark.parametrize(("suffix", "save"), [(".safetensors", save_file), (".pth", torch.save)])
def test_a_file_of_the_whole_model_or_its_features_will_do(tmp_path, small, pixels, form, suffix, save):
    path = tmp_path / f"weights{suffix}"
    save(form(small.state_dict()), path)
    with torch.no_grad():
        assert_close(pretrained_encoder(SMALL, path)(pixels), own_features(small, pixels))


class Bomb:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_pickle_with_code_is_refused_and_runs_nothing(tmp_path, small):
    for suffix in (".pth", ".safetensors"):
        path = tmp_path / f"weights{suffix}"
        torch.save({**small.state_dict(), "bomb": Bomb(tmp_path / "ran")}, path)
        assert refusal(pretrained_encoder, SMALL, path).startswith(f"{path}: not a .safetensors or .pth file")
        assert not (tmp_path / "ran").exists()


FILES = {
    "of another architecture": (
        lambda state: get_model("resnet18", weights=None).state_dict(),
        "not weights of",
    ),
    "of no weights": (lambda state: {}, "not weights of mobilenet_v3_small: features.0.0.weight is missing"),
    "of a checkpoint around the weights": (lambda state: {"model": state, "epoch": 3}, "not weights of"),
    "of numbers under the right names": (lambda state: dict.fromkeys(state, 1), "not weights of"),
    "of a list": (
        lambda state: list(state.values()),
        "not a .safetensors or .pth file of weights, or damaged",
    ),
    "of a number": (lambda state: 3, "not a .safetensors or .pth file of weights, or damaged"),
    "of other shapes": (
        lambda state: {**state, "features.0.0.weight": torch.zeros(16, 3, 5, 5)},
        "features.0.0.weight is (16, 3, 5, 5), not of mobilenet_v3_small",
    ),
}


@pytest.mark.parametrize(("form", "expected"), FILES.values(), ids=FILES)
def test_a_wrong_file_is_one_line_that_names_it(tmp_path, small, form, expected):
    path = tmp_path / "weights.pth"
    torch.save(form(small.state_dict()), path)
    message = refusal(pretrained_encoder, SMALL, path)
    assert message.startswith(f"{path}: ") and expected in message


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_truncated_or_missing_file_is_one_line_that_names_it(tmp_path, small, suffix):
    path = tmp_path / f"weights{suffix}"
    assert refusal(pretrained_encoder, SMALL, path) == f"{path}: no such file (--encoder-weights)"
    (save_file if suffix == ".safetensors" else torch.save)(small.state_dict(), path)
    whole = path.read_bytes()
    for data in (b"", b"<html>\n</html>", whole[:1000], whole[: len(whole) // 2], whole[:-100]):
        path.write_bytes(data)
        message = refusal(pretrained_encoder, SMALL, path)
        assert message == f"{path}: not a .safetensors or .pth file of weights, or damaged"


# --- weights from the internet, and torchvision itself


@pytest.mark.parametrize(
    "error",
    [
        URLError(OSError(-2, "Name or service not known")),
        TimeoutError("timed out"),
        RuntimeError('invalid hash value (expected "047dcff4", got "e3b0c442")'),
    ],
)
def test_without_the_download_the_flag_for_a_file_is_named(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(WeightsEnum, "get_state_dict", fail)
    message = refusal(pretrained_encoder, SMALL)
    assert message.startswith(f"encoder: the weights of {SMALL} could not be downloaded ({error}); ")
    assert message.endswith("give a local file with --encoder-weights FILE")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("operator torchvision::nms does not exist"),
        ImportError("undefined symbol: _ZN3c10\nmore of it"),
        AttributeError("partially initialized module 'torchvision' has no attribute 'extension'"),
        ModuleNotFoundError("No module named 'torchvision'"),
    ],
)
def test_a_torchvision_for_another_torch_is_named_with_the_cure(monkeypatch, error):
    real = builtins.__import__

    def fail(name, *rest):
        if name.partition(".")[0] == "torchvision":
            raise error
        return real(name, *rest)

    def version(name):
        if isinstance(error, ModuleNotFoundError):
            raise PackageNotFoundError(name)
        return "0.1.2"

    monkeypatch.setattr(builtins, "__import__", fail)
    monkeypatch.setattr("importlib.metadata.version", version)
    found = "(none)" if isinstance(error, ModuleNotFoundError) else "0.1.2"
    reason = str(error).splitlines()[0]
    assert refusal(build_encoder, SMALL) == (
        f"torchvision {found} does not work with torch {torch.__version__} ({reason}); "
        "install them as a pair: pip install --force-reinstall torch torchvision"
    )
