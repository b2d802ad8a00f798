"""What may come next: the rules that sampling and beam search share. Numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from textgen.decoding.settings import Constraints
from textgen.errors import UserError


def constrain(
    logits: np.ndarray, history: np.ndarray, constraints: Constraints, end: int | None, steps_left: int
) -> np.ndarray:
    """A copy of `logits` (N, V) with what may not come next at -inf; never a row without a candidate.

    `history` (N, t) are the tokens so far, prompt left out; `end` is the end token's id, if there is one;
    `steps_left` counts this step. NaN or +inf logits raise UserError: the model is broken, not the request.
    """
    never, not_final = _by_token(constraints, logits.shape[1])
    with np.errstate(invalid="ignore"):
        allowed = logits + never
    best = allowed.max(axis=1)
    if not np.isfinite(best).all():
        if not (best < np.inf).all():
            raise UserError(
                "the model computed NaN or infinity; its weights are damaged or its training diverged"
            )
        raise UserError("banned: no token is left to choose from")
    length = history.shape[1]
    if constraints.repetition_penalty != 1 and length:
        rows, recent = np.arange(len(history))[:, None], history[:, -constraints.repetition_window :]
        seen = allowed[rows, recent]
        penalty = np.float32(constraints.repetition_penalty)
        allowed[rows, recent] = np.where(seen > 0, seen / penalty, seen * penalty)

    forbidden = []
    if 0 < constraints.no_repeat_ngram <= length:
        forbidden.append(_repeating(history, constraints.no_repeat_ngram))
    required = sorted(set(constraints.required))
    missing = _missing(history, required) if required else None
    if end is not None:
        early = np.full(len(history), length < constraints.min_length)
        if length and constraints.not_final:
            early |= not_final[history[:, -1]]
        if missing is not None:
            early |= missing.any(axis=1)
        rows = early.nonzero()[0]
        forbidden.append((rows, np.full(len(rows), end)))
    forbidden = [(rows, ids) for rows, ids in forbidden if len(rows)]
    before = [allowed[place] for place in forbidden]
    for place in forbidden:
        allowed[place] = -np.inf
    if missing is not None:
        _press(allowed, missing, required, steps_left - (end is not None))
    if forbidden and (stuck := allowed.max(axis=1) == -np.inf).any():
        for (rows, ids), values in zip(forbidden, before, strict=True):
            allowed[rows[stuck[rows]], ids[stuck[rows]]] = values[stuck[rows]]
    return allowed


@lru_cache(maxsize=64)
def _by_token(constraints: Constraints, vocab_size: int) -> tuple[np.ndarray, np.ndarray]:
    """What to add to the logits (V,), and which tokens may not be the last ones (V,)."""
    never, not_final = np.zeros(vocab_size, np.float32), np.zeros(vocab_size, bool)
    never[list(constraints.banned)] = -np.inf
    not_final[list(constraints.not_final)] = True
    return never, not_final


def _repeating(history: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and ids that would make an n-gram of this size a second time."""
    count = history.shape[1] - size + 1
    same = np.ones((len(history), count), bool)
    for place in range(size - 1):
        same &= history[:, place : place + count] == history[:, count + place, None]
    rows, starts = np.nonzero(same)
    return rows, history[rows, starts + size - 1]


def _missing(history: np.ndarray, required: Sequence[int]) -> np.ndarray:
    """Which of the R required ids each row has not had: (N, R)."""
    return ~(history[:, :, None] == np.array(required)).any(axis=1)


def _press(logits: np.ndarray, missing: np.ndarray, required: Sequence[int], left: int) -> None:
    """Leaves nothing but required ids to rows that are missing as many as there are steps left."""
    ids = np.array(required, dtype=np.int64)
    for row in np.flatnonzero(missing.any(axis=1) & (missing.sum(axis=1) >= left)):
        wanted = ids[missing[row]]
        kept = logits[row, wanted]
        logits[row] = -np.inf
        # A required id that another rule forbids is let through: it was asked for by name.
        logits[row, wanted] = np.where(np.isfinite(kept), kept, 0.0)


def check_fits(constraints: Constraints, end: int | None, max_length: int) -> None:
    if max_length < 1:
        raise UserError(f"max_length: {max_length} must be 1 or more")
    needed = len(set(constraints.required)) + (end is not None)
    if constraints.required and needed > max_length:
        raise UserError(f"required: {needed} tokens with the end do not fit into {max_length}")
