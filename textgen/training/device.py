"""Where a model computes, and in which precision."""

from __future__ import annotations

import torch

from textgen.errors import UserError


def pick_device(name: str) -> torch.device:
    """`auto` is a GPU when there is one; a device asked for by name and absent is an error."""
    if name == "auto":
        # Of several processes each has a GPU of its own: the one that `processes.joined` chose.
        return (
            torch.device("cuda", torch.cuda.current_device())
            if torch.cuda.is_available()
            else torch.device("cpu")
        )
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise UserError(f"device: unknown {name!r}; known: auto, cpu, cuda")
    if device.type == "cuda" and (device.index or 0) >= (shown := torch.cuda.device_count()):
        count = f"{shown or 'no'} GPU{'s' * (shown > 1)}"
        raise UserError(
            f"device: {name} was asked for, but this machine shows {count}; use --device cpu or auto"
        )
    return device


def use_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether `precision` means bfloat16 on `device`."""
    if precision not in ("auto", "float32", "bfloat16"):
        raise UserError(f"precision: unknown {precision!r}; known: auto, float32, bfloat16")
    if precision != "auto":
        return precision == "bfloat16"
    return torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.cpu._is_avx512_bf16_supported()
