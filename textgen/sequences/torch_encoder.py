"""A sentence encoder by torch, as `OnnxEncoder` is by ONNX Runtime."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class Reader(Protocol):
    """A model that reads sentences."""

    def eval(self) -> Reader: ...

    def context(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Encoded tokens (B, L, D) of `ids` (B, L), of which the first `lengths` (B,) count; 0 beyond them."""


class TorchEncoder:
    """`Reader.context` in numpy."""

    def __init__(self, model: Reader, device: torch.device):
        self._model = model.eval()
        self._device = device

    def __call__(self, ids: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            given = (
                torch.from_numpy(np.ascontiguousarray(array)).to(self._device) for array in (ids, lengths)
            )
            context: np.ndarray = self._model.context(*given).float().cpu().numpy()
        return context
