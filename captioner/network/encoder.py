"""The eyes: a backbone as a grid of features, its batch norm folded into its convolutions."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from captioner.network.backbones import Backbone, build_backbone, pretrained_backbone

M = TypeVar("M", bound=nn.Module)
_WIDE: dict[type[nn.Conv2d], type[nn.Conv2d]] = {}


class Encoder(nn.Module):
    """Pixels to a grid of features; batch norm is folded into the convolutions, in training too.

    Folding is the same function as batch norm with frozen statistics, which is how a backbone is
    fine-tuned on small batches, and takes a third of the time.
    """

    def __init__(self, name: str, backbone: Backbone):
        super().__init__()
        self.name = name
        self.backbone = _fold(backbone.module).to(memory_format=torch.channels_last)
        self.mean: Tensor  # the two are no weights, and move with the model
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(backbone.mean).view(3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(backbone.std).view(3, 1, 1) * 255, persistent=False)
        self.size = backbone.size
        """Pixels a side that the backbone was made for."""
        self.feature_size = backbone.feature_size
        self.eval()

    def train(self, mode: bool = True) -> Encoder:
        super().train(mode)
        # A norm that stands before its convolution (densenet) cannot be folded; it is frozen all the same.
        for module in self.backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def freeze(self, layers: int) -> None:
        """Keeps the first `layers` layers (modules with weights of their own, in order) out of training."""
        weighted = [
            module for module in self.modules() if next(module.parameters(recurse=False), None) is not None
        ]
        for module in weighted[:layers]:
            module.requires_grad_(False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Features (B, L, D) of RGB `pixels` (B, S, S, 3), uint8."""
        # Permuting HWC bytes gives channels_last without a copy.
        x = (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std
        return self.backbone(x).flatten(2).transpose(1, 2)


def build_encoder(name: str) -> Encoder:
    """An untrained encoder of the kind that `name` says, to be filled by `load_state_dict`."""
    return Encoder(name, build_backbone(name))


def pretrained_encoder(name: str, weights: Path | None = None) -> Encoder:
    """An encoder with ImageNet weights, downloaded or from a local file, as `pretrained_backbone` finds them."""
    return Encoder(name, pretrained_backbone(name, weights))


def _fold(module: M) -> M:
    """`module` with every batch norm folded into the convolution that it follows, in place.

    timm's norms carry the activation that follows them: it stays.
    """
    children = list(module.named_children())
    for (name, child), (next_name, following) in pairwise(children):
        if isinstance(child, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
            setattr(module, name, fuse_conv_bn_eval(child, following))
            setattr(module, next_name, getattr(following, "act", None) or nn.Identity())
    for child in module.children():
        if isinstance(child, nn.Conv2d) and child.groups > 1:
            child.__class__ = _wide(type(child))
        _fold(child)
    return module


def _wide(kind: type[nn.Conv2d]) -> type[nn.Conv2d]:
    """A grouped convolution that stays in float32: on a CPU its bfloat16 gradient takes twice the whole step's time."""
    if kind not in _WIDE:

        class Wide(kind):  # type: ignore[misc, valid-type] # timm has convolutions of its own
            def forward(self, x: Tensor) -> Tensor:
                if not torch.is_autocast_enabled("cpu"):
                    return super().forward(x)
                with torch.autocast("cpu", enabled=False):
                    return super().forward(x.float())

        _WIDE[kind] = Wide
    return _WIDE[kind]
