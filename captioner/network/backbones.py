"""Backbones: classification networks of torchvision and timm, cut after their last feature map."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from textgen.errors import UserError
from textgen.storage.typed import missing

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
_SMALL = 64  # pixels a side that torchvision's backbones can be measured on
TIMM = "timm/"  # what the names of its backbones begin with here


@dataclass(frozen=True)
class Backbone:
    """A network from normalised RGB (B, 3, S, S) to a grid of features (B, D, h, w)."""

    module: nn.Module
    feature_size: int
    """D."""
    mean: tuple[float, ...] = MEAN
    """Of the pixels as it wants them, from 0 to 1."""
    std: tuple[float, ...] = STD
    size: int = 224
    """Pixels a side that it was made for."""


def _features(model: nn.Module) -> nn.Sequential:
    return nn.Sequential(*model.get_submodule("features").children())


def _without(last: int) -> Callable[[nn.Module], nn.Sequential]:
    """All of a backbone's stages but the `last` ones: pooling and classifier."""
    return lambda model: nn.Sequential(*list(model.children())[:-last])


# How a family of backbones is cut -> its members. At 224 pixels the last feature map is 7 x 7 for all of them.
_FAMILIES = {
    _features: """convnext_base convnext_small convnext_tiny densenet121 densenet169 densenet201 efficientnet_b0
    efficientnet_b1 efficientnet_b2 efficientnet_b3 efficientnet_b4 efficientnet_v2_m efficientnet_v2_s mobilenet_v2
    mobilenet_v3_large mobilenet_v3_small vgg16 vgg16_bn vgg19_bn""",
    _without(
        2
    ): """regnet_x_800mf regnet_y_400mf regnet_y_3_2gf resnet18 resnet34 resnet50 resnet101 resnet152
    resnext50_32x4d resnext101_32x8d wide_resnet50_2""",
    _without(1): "mnasnet1_0 shufflenet_v2_x1_0",
}
ENCODERS: dict[str, Callable[[nn.Module], nn.Sequential]] = {
    name: cut for cut, names in _FAMILIES.items() for name in names.split()
}
"""Backbone's name in torchvision -> how it is cut."""


def _measured(module: nn.Module, probe: int, **settings: Any) -> Backbone:
    """`module` as a backbone, its features counted on a picture of `probe` pixels a side."""
    module.eval()
    with torch.no_grad():
        shape = module(torch.zeros(1, 3, probe, probe)).shape
    if len(shape) != 4:
        raise UserError("encoder: its features are no grid; choose a convolutional network")
    return Backbone(module, shape[1], **settings)


class TimmFeatures(nn.Module):
    """A timm model without its classifier."""

    def __init__(self, model: Any):
        super().__init__()
        model.reset_classifier(0)
        self.model: Any = model  # timm has no base class that says what these do
        # Windowed transformers keep the features last.
        self.features_last = str(getattr(model, "output_fmt", "NCHW")).endswith("NHWC")

    def forward(self, x: Tensor) -> Tensor:
        features = self.model.forward_features(x)
        return features.permute(0, 3, 1, 2) if self.features_last else features


def build_backbone(name: str) -> Backbone:
    """An untrained backbone: one of `ENCODERS`, or `timm/NAME`. Raises UserError when it is unknown, or gives no grid."""
    if name.startswith(TIMM):
        return _cut_timm(_timm_model(name))
    return _cut(name, _torchvision_model(name))


def pretrained_backbone(name: str, weights: Path | None = None) -> Backbone:
    """A backbone with ImageNet weights: torchvision's or timm's own download, or a local file.

    `weights` is a .safetensors or .pth state dict of the whole model or of its features only.
    """
    timm = name.startswith(TIMM)
    model = _timm_model(name) if timm else _torchvision_model(name)
    download = _download_timm if timm else _download
    state = _read(weights) if weights else download(name)
    own = model.state_dict()
    # The cut backbone shares its tensors with the whole model.
    backbone = _cut_timm(model) if timm else _cut(name, model)
    kept = {id(value) for value in backbone.module.state_dict(keep_vars=True).values()}
    wanted = {key for key, value in model.state_dict(keep_vars=True).items() if id(value) in kept}
    wanted = {key for key in wanted if not key.endswith("num_batches_tracked")}
    if missing := sorted(wanted - set(state)):
        raise UserError(
            f"{weights or name}: not weights of {name}: {missing[0]} is missing ({len(missing)} in all)"
        )
    for key in wanted:
        if state[key].shape != own[key].shape:
            raise UserError(f"{weights or name}: {key} is {tuple(state[key].shape)}, not of {name}")
        own[key].copy_(state[key])  # mnasnet's load_state_dict wants a version that files need not have
    return backbone


def _torchvision_model(name: str) -> nn.Module:
    if name not in ENCODERS:
        _refuse(name, ENCODERS)
    return _torchvision_models().get_model(name, weights=None).eval()


def _refuse(name: str, known: Iterable[str]) -> NoReturn:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise UserError(
        f"encoder: unknown {name!r}; {hint}timm's are called {TIMM}NAME; known: {', '.join(ENCODERS)}"
    )


def _torchvision_models() -> ModuleType:
    """`torchvision.models`. A torchvision built for another torch fails in many ways, all of them at import."""
    try:
        from torchvision import models
    except (ImportError, RuntimeError, AttributeError, OSError) as error:
        from importlib.metadata import PackageNotFoundError, version

        try:
            found = version("torchvision")
        except PackageNotFoundError:
            found = "(none)"
        raise UserError(
            f"torchvision {found} does not work with torch {torch.__version__} ({str(error).partition(chr(10))[0]}); "
            "install them as a pair: pip install --force-reinstall torch torchvision"
        ) from error
    return models


def _timm() -> ModuleType:
    try:
        import timm
    except ImportError as error:
        raise UserError("encoder: timm is not installed: pip install 'captioner[train]'") from error
    return timm


def _timm_model(name: str) -> nn.Module:
    timm, own = _timm(), name.removeprefix(TIMM)
    if not timm.is_model(own):
        _refuse(name, [TIMM + known for known in timm.list_models()])
    return timm.create_model(own, pretrained=False).eval()


def _cut(name: str, model: nn.Module) -> Backbone:
    return _measured(ENCODERS[name](model), _SMALL)


def _cut_timm(model: nn.Module) -> Backbone:
    settings: dict[str, Any] = vars(model)["pretrained_cfg"]
    size = settings["input_size"][-1]
    return _measured(TimmFeatures(model), size, mean=settings["mean"], std=settings["std"], size=size)


def _download_timm(name: str) -> dict[str, Tensor]:
    try:
        return _timm().create_model(name.removeprefix(TIMM), pretrained=True).state_dict()
    except Exception as error:  # its hub has many ways to fail, without a base of their own
        raise UserError(_no_download(name, error)) from error


def _download(name: str) -> dict[str, Tensor]:
    weights = _torchvision_models().get_model_weights(name).DEFAULT
    try:
        return weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:  # URLError is the first, a wrong hash the second
        raise UserError(_no_download(name, error)) from error


def _no_download(name: str, error: Exception) -> str:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return f"encoder: the weights of {name} could not be downloaded ({reason}); give a local file with --encoder-weights FILE"


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {key: value for key, value in state.items() if isinstance(value, Tensor)}
    except FileNotFoundError as error:
        raise UserError(f"{path}: {missing(path, 'no such file')} (--encoder-weights)") from error
    except Exception as error:  # every loader has its own for a damaged file
        raise UserError(f"{path}: not a .safetensors or .pth file of weights, or damaged") from error
