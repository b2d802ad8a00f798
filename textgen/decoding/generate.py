"""Generation, written once for text and captions: a stream of columns of ids, one a row and step.

It knows a model only as a `StepModel`. Letters: N rows, B contexts (pictures or prompts), V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Required, TypedDict, Unpack

import numpy as np

from textgen.decoding.constraints import Constraints, check_fits, constrain
from textgen.decoding.sampling import GREEDY, SamplingConfig, log_probs_of, sample, uniform_rows
from textgen.engine.protocol import State, StepModel
from textgen.text.tokenizer import PAD


@dataclass(frozen=True)
class Generated:
    """One generated text: its ids without the end token, and how it came to stop."""

    ids: tuple[int, ...]
    log_prob: float
    """Sum of the model's own log-probabilities, the end token's included when it was reached."""
    finished: bool
    """False: cut at the length limit."""


class Column(NamedTuple):
    """One step of a stream."""

    ids: np.ndarray  # (N,); PAD in rows that have ended
    log_probs: np.ndarray  # (N,); 0 in rows that have ended


def stream(
    model: StepModel,
    prompts: Sequence[Sequence[int]] | np.ndarray,
    *,
    context: np.ndarray | None = None,
    lengths: np.ndarray | None = None,
    sampling: SamplingConfig = GREEDY,
    constraints: Constraints = Constraints(),
    end: int | None,
    max_length: int,
    seed: int | None = None,
    keys: Sequence[int] | None = None,
) -> Iterator[Column]:
    """Reads `prompts`, N rows of one or more ids, on, a column of N ids at a time.

    `context` (B, L, D), with `lengths` (B,) where they differ, is shared evenly by the rows, whose prompts are then of one
    length. Row n draws from `(seed, keys[n])` (n itself unless told),
    so the same key gives the same text in any batch. Stops when every row has produced `end`, or after
    `max_length` columns.
    """
    check_fits(constraints, end, max_length)
    rows = len(prompts)
    active, open_ = np.arange(rows), np.ones(rows, dtype=bool)
    share = 1 if context is None else rows // len(context)
    draws = uniform_rows(seed, range(rows) if keys is None else keys)
    history = np.empty((rows, max_length), dtype=np.int64)
    logits, state = _prefill(model, prompts, context, lengths)
    for length in range(max_length):
        steps_left = max_length - length
        allowed = constrain(logits, history[:, :length], constraints, end, steps_left)
        chosen = sample(allowed, next(draws)[active], sampling)
        column = Column(chosen.copy(), log_probs_of(logits, chosen))
        if len(active) < rows or not open_.all():
            found, column = column, Column(np.full(rows, PAD), np.zeros(rows))
            for part, whole in zip(found, column, strict=True):
                whole[active[open_]] = part[open_]
        yield column
        history[:, length] = chosen
        if steps_left == 1:
            return
        if end is not None and (chosen == end).any():
            open_ = open_ & (chosen != end)
            # Rows of a context stay until the last of them ends: how many they are decides the last bit of each.
            going = open_.reshape(-1, share).any(axis=1).repeat(share).nonzero()[0]
            if not len(going):
                return
            if len(going) < len(active):
                active, open_, history, chosen = active[going], open_[going], history[going], chosen[going]
                state = model.select(state, going)
        logits, state = model.step(chosen, state)


def _prefill(
    model: StepModel,
    prompts: Sequence[Sequence[int]] | np.ndarray,
    context: np.ndarray | None,
    lengths: np.ndarray | None,
) -> tuple[np.ndarray, State]:
    """Logits and state after the prompts; those of one length are read in one call."""
    sizes = np.array([len(prompt) for prompt in prompts])
    if context is not None or (sizes == sizes[0]).all():
        return model.prefill(np.asarray(prompts), model.start(context, len(prompts), lengths))
    order = np.argsort(sizes, kind="stable")
    read = []
    for size in np.unique(sizes):
        rows = np.flatnonzero(sizes == size)
        read.append(
            model.prefill(np.array([prompts[row] for row in rows.tolist()]), model.start(None, len(rows)))
        )
    back = np.argsort(order)
    return np.concatenate([logits for logits, _ in read])[back], model.select(
        model.join([state for _, state in read]), back
    )


class Options(TypedDict, total=False):
    """What `stream` takes by name."""

    context: np.ndarray | None
    lengths: np.ndarray | None
    sampling: SamplingConfig
    constraints: Constraints
    end: Required[int | None]
    max_length: Required[int]
    seed: int | None
    keys: Sequence[int] | None


def generate(
    model: StepModel, prompts: Sequence[Sequence[int]] | np.ndarray, **options: Unpack[Options]
) -> list[Generated]:
    """The whole of `stream`, a sequence a row; takes the same options."""
    columns = list(stream(model, prompts, **options))
    ids = np.stack([column.ids for column in columns], axis=1)
    log_probs = np.stack([column.log_probs for column in columns], axis=1).sum(axis=1)
    return [
        _sequence(row, log_prob, options["end"])
        for row, log_prob in zip(ids.tolist(), log_probs, strict=True)
    ]


def _sequence(ids: list[int], log_prob: float, end: int | None) -> Generated:
    if end is None or end not in ids:
        return Generated(tuple(ids), float(log_prob), False)
    return Generated(tuple(ids[: ids.index(end)]), float(log_prob), True)
