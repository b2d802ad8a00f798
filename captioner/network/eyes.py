"""A model's encoder and bridge, ready to see: pixels to a context, by ONNX Runtime or by torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from textgen.engine.forks import renew_in_children

if TYPE_CHECKING:
    from captioner.network.model import CaptionModel

Eyes = Callable[[np.ndarray], np.ndarray]
"""Pixels (B, S, S, 3), uint8, to a context (B, L, D), float32."""


def onnx_eyes(graph: bytes, weights: Mapping[str, np.ndarray], threads: int = 0) -> Eyes:
    """Eyes of an exported encoder, with as many `threads`.

    0 is all cores for a picture that comes alone, and one for several or while another picture is being seen.
    """
    # A batch norm that could not be folded, densenet's, keeps a count of batches that no graph reads.
    read = {name: weights[name] for name in weights if not name.endswith(".num_batches_tracked")}
    return _OnnxEyes(graph, read, threads)


class _OnnxEyes:
    """A session for a picture that comes alone, and one for all others, made when it is first wanted."""

    def __init__(self, graph: bytes, weights: Mapping[str, np.ndarray], threads: int):
        from textgen.engine.session import session

        self._alone = session(graph, weights, threads)
        self._session = cache(lambda: session(graph, weights, threads or 1))
        self.renew_after_fork()
        renew_in_children(self)

    def renew_after_fork(self) -> None:
        self._looking, self._building = Lock(), Lock()

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        looking = self._looking
        if len(pixels) == 1 and looking.acquire(blocking=False):
            try:
                return self._alone.run(None, {"pixels": pixels})[0]
            finally:
                looking.release()
        with self._building:
            beside = self._session()
        return beside.run(None, {"pixels": pixels})[0]


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
