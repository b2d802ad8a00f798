"""`StepModel` by torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from textgen.engine.forks import renew_in_children
from textgen.engine.protocol import PART

if TYPE_CHECKING:
    from torch import Tensor

    from textgen.decoder.rnn import DecoderState, RNNDecoder


class TorchEngine:
    """`StepModel` on an `RNNDecoder`; float32, whatever precision the weights were stored in."""

    def __init__(self, decoder: RNNDecoder):
        import torch

        self._torch = torch
        self._decoder = decoder.eval()
        self._device = decoder.output_bias.device
        self.vocab_size = decoder.config.vocab_size
        with torch.inference_mode():
            self._table = decoder.gate_table()
        renew_in_children(self)

    def renew_after_fork(self) -> None:
        # OpenMP waits for ever for threads that only the parent has.
        self._torch.set_num_threads(1)

    def _tensor(self, array: np.ndarray) -> Tensor:
        return self._torch.from_numpy(np.require(array, requirements=["C", "W"])).to(self._device)

    def start(self, context: np.ndarray | None, rows: int, lengths: np.ndarray | None = None) -> DecoderState:
        with self._torch.inference_mode():
            tensors = (None if array is None else self._tensor(array) for array in (context, lengths))
            return self._decoder.start(next(tensors), rows, next(tensors))

    def prefill(self, ids: np.ndarray, state: DecoderState) -> tuple[np.ndarray, DecoderState]:
        with self._torch.inference_mode():
            # In parts, so that a book as a prompt takes no more memory than a page; attention is of one call.
            size = PART if state.keys is None else ids.shape[1]
            for start in range(0, ids.shape[1], size):
                features, state = self._decoder.hidden(self._tensor(ids[:, start : start + size]), state)
            return self._decoder.logits(features[:, -1]).float().cpu().numpy(), state

    def step(self, ids: np.ndarray, state: DecoderState) -> tuple[np.ndarray, DecoderState]:
        with self._torch.inference_mode():
            logits, state = self._decoder.step(self._tensor(ids), state, self._table)
            return logits.float().cpu().numpy(), state

    def score(
        self, ids: np.ndarray, targets: np.ndarray, state: DecoderState
    ) -> tuple[np.ndarray, DecoderState]:
        with self._torch.inference_mode():
            logits, state = self._decoder(self._tensor(ids), state)
            chosen = self._tensor(targets).unsqueeze(-1)
            return logits.float().log_softmax(-1).gather(-1, chosen).squeeze(-1).cpu().numpy(), state

    def select(self, state: DecoderState, index: np.ndarray) -> DecoderState:
        with self._torch.inference_mode():
            return self._decoder.select(state, self._tensor(index))

    def join(self, states: Sequence[DecoderState]) -> DecoderState:
        with self._torch.inference_mode():
            return self._decoder.join(states)

    def attention(self, state: DecoderState) -> np.ndarray | None:
        return None if state.attention is None else state.attention.float().cpu().numpy()
