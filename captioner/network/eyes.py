"""A model's encoder and bridge, ready to see: pixels to a context, by ONNX Runtime or by torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from captioner.network.model import CaptionModel

Eyes = Callable[[np.ndarray], np.ndarray]
"""Pixels (B, S, S, 3), uint8, to a context (B, L, D), float32."""


def onnx_eyes(graph: bytes, weights: Mapping[str, np.ndarray], threads: int = 0) -> Eyes:
    """Eyes of an exported encoder, with as many `threads`.

    0 is all cores for a picture that comes alone, and one for several or while another picture is being seen.
    """
    from textgen.engine.session import AloneOrBeside

    # A batch norm that could not be folded, densenet's, keeps a count of batches that no graph reads.
    read = {name: weights[name] for name in weights if not name.endswith(".num_batches_tracked")}
    sessions = AloneOrBeside(graph, read, threads)
    return lambda pixels: sessions.run({"pixels": pixels}, single=len(pixels) == 1)[0]


def torch_eyes(model: CaptionModel) -> Eyes:
    """Eyes of a `CaptionModel`."""
    import torch

    model.eval()

    def see(pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            # A copy of what PIL keeps to itself: torch takes no read-only memory.
            pixels = np.require(pixels, requirements=["C", "W"])
            return model.context(torch.from_numpy(pixels)).float().numpy()

    return see
