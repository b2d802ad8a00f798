"""How a model is stepped: the protocol that decoding relies on and that every engine keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

State = Any

PART = 2048  # tokens of a prompt read in a call


class StepModel(Protocol):
    """Numpy in, numpy out; N rows are decoded side by side. States are opaque and immutable."""

    vocab_size: int

    def start(self, context: np.ndarray | None, rows: int, lengths: np.ndarray | None = None) -> State:
        """State before the first token; `context` (B, L, D) is shared evenly by `rows`, or None.

        Contexts that differ in length are padded, and `lengths` (B,) says how many cells of each count.
        """

    def prefill(self, ids: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """A whole prompt `ids` (N, T) in one call: logits (N, V) after its last token."""

    def step(self, ids: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """One more token a row, `ids` (N,): logits (N, V)."""

    def score(self, ids: np.ndarray, targets: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """Log-probabilities (N, T) of `targets` (N, T), each after the one of `ids` (N, T) in its place."""

    def select(self, state: State, index: np.ndarray) -> State:
        """Rows by `index` (M,): one-to-many, beam reordering, dropping finished rows."""

    def join(self, states: Sequence[State]) -> State:
        """The rows of several states without a context, as one: prompts of several lengths in one batch."""

    def attention(self, state: State) -> np.ndarray | None:
        """Where the call that gave `state` looked, (N, T, L), mean over heads; None without a context or after `select`."""
