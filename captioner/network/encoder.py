"""The eyes: a torchvision classification backbone, cut before its classifier, as a grid of features."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from textgen.errors import UserError

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

M = TypeVar("M", bound=nn.Module)


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


class Encoder(nn.Module):
    """Pixels to a grid of features; batch norm is folded into the convolutions, in training too.

    Folding is the same function as batch norm with frozen statistics, which is how a backbone is
    fine-tuned on small batches, and takes a third of the time.
    """

    def __init__(self, name: str, backbone: nn.Sequential):
        super().__init__()
        self.name = name
        self.backbone = backbone.to(memory_format=torch.channels_last)
        self.mean: Tensor  # the two are no weights, and move with the model
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1) * 255, persistent=False)
        with torch.no_grad():
            self.feature_size = self.eval()(torch.zeros(1, 64, 64, 3, dtype=torch.uint8)).shape[-1]

    def train(self, mode: bool = True) -> Encoder:
        super().train(mode)
        # A norm that stands before its convolution (densenet) cannot be folded; it is frozen all the same.
        for module in self.backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def forward(self, pixels: Tensor) -> Tensor:
        """Features (B, L, D) of RGB `pixels` (B, S, S, 3), uint8."""
        # Permuting HWC bytes gives channels_last without a copy.
        x = (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std
        return self.backbone(x).flatten(2).transpose(1, 2)


def build_encoder(name: str) -> Encoder:
    """An untrained encoder of the kind that `name` says, to be filled by `load_state_dict`."""
    return Encoder(name, _fold(_cut(name, _backbone(name))))


def pretrained_encoder(name: str, weights: Path | None = None) -> Encoder:
    """An encoder with ImageNet weights: torchvision's own download, or a local file.

    `weights` is a .safetensors or .pth state dict of the whole model or of its features only.
    """
    backbone = _backbone(name)
    state = _read(weights) if weights else _download(name)
    own = backbone.state_dict()
    cut = _cut(name, backbone)  # shares its tensors with the backbone
    kept = {id(value) for value in cut.state_dict(keep_vars=True).values()}
    wanted = {key for key, value in backbone.state_dict(keep_vars=True).items() if id(value) in kept}
    wanted = {key for key in wanted if not key.endswith("num_batches_tracked")}
    if missing := sorted(wanted - set(state)):
        raise UserError(
            f"{weights or name}: not weights of {name}: {missing[0]} is missing ({len(missing)} in all)"
        )
    for key in wanted:
        if state[key].shape != own[key].shape:
            raise UserError(f"{weights or name}: {key} is {tuple(state[key].shape)}, not of {name}")
        own[key].copy_(state[key])  # mnasnet's load_state_dict wants a version that files need not have
    return Encoder(name, _fold(cut))


def _backbone(name: str) -> nn.Module:
    if name not in ENCODERS:
        import difflib

        near = difflib.get_close_matches(name, ENCODERS, n=1)
        hint = f"did you mean {near[0]}? Known" if near else "known"
        raise UserError(f"encoder: unknown {name!r}; {hint}: {', '.join(ENCODERS)}")
    return _torchvision_models().get_model(name, weights=None).eval()


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


def _cut(name: str, backbone: nn.Module) -> nn.Sequential:
    return ENCODERS[name](backbone).eval()


def _download(name: str) -> dict[str, Tensor]:
    weights = _torchvision_models().get_model_weights(name).DEFAULT
    try:
        return weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:  # URLError is the first, a wrong hash the second
        raise UserError(
            f"encoder: the weights of {name} could not be downloaded ({error}); "
            "give a local file with --encoder-weights FILE"
        ) from error


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {key: value for key, value in state.items() if isinstance(value, Tensor)}
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file (--encoder-weights)") from error
    except Exception as error:  # every loader has its own for a damaged file
        raise UserError(f"{path}: not a .safetensors or .pth file of weights, or damaged") from error


def _fold(module: M) -> M:
    """`module` with every batch norm folded into the convolution that it follows, in place."""
    children = list(module.named_children())
    for (name, child), (next_name, following) in pairwise(children):
        if isinstance(child, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
            setattr(module, name, fuse_conv_bn_eval(child, following))
            setattr(module, next_name, nn.Identity())
    for child in module.children():
        _fold(child)
    return module
