"""How a model is stepped: the protocol that decoding relies on and that every engine keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

State = Any

PART = 2048  # tokens of a prompt read in a call
NGRAM = 4  # tokens of the longest n-gram that a search graph can forbid to come twice


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


class Rules(NamedTuple):
    """What a search that an engine makes by itself may not say; as `textgen.decoding.constraints` has it."""

    banned: tuple[int, ...]
    not_final: tuple[int, ...]
    min_length: int
    no_repeat_ngram: int


class Continuations(NamedTuple):
    """What each step of a beam search found: of B contexts the C likeliest tokens after any of their beams, best first."""

    beams: np.ndarray  # (steps, B, C)
    tokens: np.ndarray  # (steps, B, C)
    totals: np.ndarray  # (steps, B, C) log-probabilities


class Choice(NamedTuple):
    """How an engine that writes by itself chooses; as `textgen.decoding.sampling` has it."""

    banned: tuple[int, ...]
    temperature: float
    top_k: int
    top_p: float
    min_p: float


class Written(NamedTuple):
    """A block of columns: what was chosen, and the state after it."""

    ids: np.ndarray  # (steps, N); behind a row's end what does not count
    log_probs: np.ndarray  # (steps, N)
    state: State


@runtime_checkable
class WritingItself(Protocol):
    """A `StepModel` that makes a block of tokens in one call."""

    def write(
        self, ids: np.ndarray, state: State, uniforms: np.ndarray, choice: Choice, end: int | None
    ) -> Written | None:
        """After `ids` (N,), by `uniforms` (steps, N); fewer steps where all rows end. None where it cannot choose so, or
        where a step went wrong, which is then for the caller to find step by step.
        """


@runtime_checkable
class Searching(Protocol):
    """A `StepModel` that makes the steps of a beam search in one call."""

    def search(
        self, ids: np.ndarray, state: State, width: int, rules: Rules, end: int, max_length: int
    ) -> Continuations | None:
        """After `ids` (B,) with `width` beams each, 2 x `width` candidates; None where it cannot keep the rules or where a
        step went wrong, which is then for the caller to find step by step.
        """
