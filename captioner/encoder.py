"""The eyes: a torchvision classification backbone, cut before its classifier, as a grid of features."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from textgen.errors import UserError

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def _features(model: nn.Module) -> nn.Sequential:
    return nn.Sequential(*model.features.children())


def _without_head(model: nn.Module) -> nn.Sequential:
    return nn.Sequential(*list(model.children())[:-2])  # pooling and classifier


# Backbone -> how it is cut. The last feature map at 224 pixels is 7 x 7 for all of them.
ENCODERS: dict[str, Callable[[nn.Module], nn.Sequential]] = {
    "mobilenet_v2": _features,
    "mobilenet_v3_small": _features,
    "mobilenet_v3_large": _features,
    "efficientnet_b0": _features,
    "efficientnet_b1": _features,
    "efficientnet_b2": _features,
    "efficientnet_v2_s": _features,
    "convnext_tiny": _features,
    "convnext_small": _features,
    "densenet121": _features,
    "vgg16_bn": _features,
    "resnet18": _without_head,
    "resnet34": _without_head,
    "resnet50": _without_head,
    "resnet101": _without_head,
    "resnet152": _without_head,
    "resnext50_32x4d": _without_head,
    "wide_resnet50_2": _without_head,
}


class Encoder(nn.Module):
    """Pixels to a grid of features; batch norm is folded into the convolutions, in training too.

    Folding is the same function as batch norm with frozen statistics, which is how a backbone is
    fine-tuned on small batches, and takes a third of the time.
    """

    def __init__(self, name: str, backbone: nn.Sequential):
        super().__init__()
        self.name = name
        self.backbone = backbone.to(memory_format=torch.channels_last)
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1) * 255, persistent=False)
        with torch.no_grad():
            self.feature_size = self.eval()(torch.zeros(1, 64, 64, 3, dtype=torch.uint8)).shape[-1]

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
    own = {key for key, value in backbone.state_dict().items() if not key.endswith("num_batches_tracked")}
    cut = _cut(name, backbone)  # shares its tensors with the backbone
    kept = {id(value) for value in cut.state_dict(keep_vars=True).values()}
    wanted = {key for key, value in backbone.state_dict(keep_vars=True).items() if id(value) in kept} & own
    if missing := sorted(wanted - set(state)):
        raise UserError(
            f"{weights or name}: not weights of {name}: {missing[0]} is missing ({len(missing)} in all)"
        )
    for key in wanted:
        if state[key].shape != backbone.state_dict()[key].shape:
            raise UserError(f"{weights or name}: {key} is {tuple(state[key].shape)}, not of {name}")
    backbone.load_state_dict({key: state[key] for key in wanted}, strict=False)
    return Encoder(name, _fold(cut))


def _backbone(name: str) -> nn.Module:
    if name not in ENCODERS:
        import difflib

        near = difflib.get_close_matches(name, ENCODERS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UserError(f"encoder: unknown {name!r}{hint} Known: {', '.join(ENCODERS)}")
    from torchvision.models import get_model

    return get_model(name, weights=None).eval()


def _cut(name: str, backbone: nn.Module) -> nn.Sequential:
    return ENCODERS[name](backbone).eval()


def _download(name: str) -> dict[str, Tensor]:
    from torchvision.models import get_model_weights

    try:
        return get_model_weights(name).DEFAULT.get_state_dict(progress=False, check_hash=True)
    except OSError as error:  # URLError is one
        raise UserError(
            f"encoder: the weights of {name} could not be downloaded ({error}); "
            "give a local file with --encoder-weights FILE"
        ) from error


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file (--encoder-weights)") from error
    except Exception as error:  # every loader has its own for a damaged file
        raise UserError(f"{path}: not a .safetensors or .pth file of weights, or damaged") from error


def _fold(module: nn.Module) -> nn.Module:
    """`module` with every batch norm folded into the convolution that it follows, in place."""
    children = list(module.named_children())
    for (name, child), (next_name, following) in pairwise(children):
        if isinstance(child, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
            setattr(module, name, fuse_conv_bn_eval(child, following))
            setattr(module, next_name, nn.Identity())
    for child in module.children():
        _fold(child)
    return module
